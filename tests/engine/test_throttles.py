"""Throttles: slots are those of the leases, whatever happens; buckets owe what they owe; the timer is exact."""

import pytest

from invariants import check_memory, check_store
from lineshaft.engine import keys
from lineshaft.engine.engine import NEVER, Engine
from lineshaft.engine.records import BucketRecord, encode_record
from lineshaft.engine.retry import Report
from lineshaft.engine.settings import Settings, Throttle
from lineshaft.errors import StoreError
from lineshaft.job import decode_pushed, decode_stored
from lineshaft.store.faulty import FaultyStore

START = 1_700_000_000_000


class Box:
    """An engine with throttles on a disk that can crash."""

    def __init__(self, **throttles: Throttle) -> None:
        self.store = FaultyStore()
        self.now = START
        self.jobs = 0
        self.engine = Engine(self.store, Settings(throttles=throttles), lambda: 0.5, self.now)

    def push(self, count: int = 1, queue: str = "q") -> None:
        for _ in range(count):
            self.jobs += 1
            job = b'{"jid":"job-%05d","jobtype":"A","args":[],"queue":"%s"}' % (self.jobs, queue.encode())
            self.engine.push(decode_pushed(job))

    def fetch(self, holder: str = "w1", queue: str = "q") -> str | None:
        payload = self.engine.fetch([queue], holder)
        return None if payload is None else decode_stored(payload).jid

    def ack(self, jid: str | None, holder: str = "w1") -> None:
        assert jid is not None
        assert self.engine.ack(jid, holder)

    def later(self, seconds: float) -> None:
        self.now += round(seconds * 1000)
        self.engine.advance(self.now)
        while self.engine.tick() <= self.now:
            pass

    def commit(self) -> None:
        self.engine.commit()
        check_store(self.store)
        check_memory(self.engine)

    def restart(self, **throttles: Throttle) -> None:
        settings = Settings(throttles=throttles) if throttles else self.engine.state.settings
        self.store = self.store.crash(self.store.unsynced)
        self.engine = Engine(self.store, settings, lambda: 0.5, self.now)

    def apply(self, **throttles: Throttle) -> None:
        self.engine.apply(Settings(throttles=throttles))

    def held(self, queue: str = "q") -> int:
        shown: int = next(each["held"] for each in self.engine.views.throttles() if each["name"] == queue)
        return shown


def test_the_view() -> None:
    box = Box(q=Throttle(concurrency=3, worker=2, timeout=60_000), api=Throttle(rate=10, per=60_000))
    box.push(4)
    box.push(2, "api")
    box.fetch(), box.fetch(), box.fetch("w2"), box.fetch(queue="api")
    assert list(box.engine.views.throttles()) == [
        {
            "name": "api",
            "concurrency": None,
            "worker": None,
            "timeout": None,
            "rate": 10,
            "per": 60.0,
            "held": 1,
            "workers": 1,
            "workers_full": 0,
            "tokens": 9,
            "waiting": 1,
        },
        {
            "name": "q",
            "concurrency": 3,
            "worker": 2,
            "timeout": 60.0,
            "rate": None,
            "per": None,
            "held": 3,
            "workers": 2,
            "workers_full": 1,
            "tokens": None,
            "waiting": 1,
        },
    ]
    assert set(box.engine.figures()) == {
        "total_failures",
        "total_processed",
        "total_enqueued",
        "total_queues",
        "queues",
        "sets",
        "tasks",
    }


def test_a_job_that_does_not_run_takes_nothing() -> None:
    box = Box(q=Throttle(concurrency=1, rate=1, per=1000))
    box.engine.push(decode_pushed(b'{"jid":"job-late","jobtype":"A","args":[],"queue":"q","custom":{"expires_in":1}}'))
    box.now += 1500
    box.engine.advance(box.now)
    assert box.fetch() is None
    box.push()
    assert box.fetch() == "job-00001"
    assert box.fetch() is None


def test_a_restart_counts_slots_from_the_leases() -> None:
    box = Box(q=Throttle(concurrency=2))
    box.push(3)
    first = box.fetch()
    box.fetch()
    box.commit()
    box.ack(first)
    box.restart()
    assert box.held() == 2, "the ACK was not committed"
    assert box.fetch() is None
    box.ack(first)
    box.commit()
    box.restart()
    assert box.held() == 1
    assert box.fetch() == "job-00003"


def test_a_lease_that_a_crash_takes_back_holds_and_owes_nothing() -> None:
    box = Box(q=Throttle(concurrency=1, rate=1, per=60_000))
    box.push()
    box.commit()
    assert box.fetch() == "job-00001"
    box.restart()
    assert box.fetch() == "job-00001"
    box.commit()
    box.restart()
    assert (box.held(), next(box.engine.views.throttles())["tokens"]) == (1, 0)


@pytest.mark.parametrize("applied", [False, True])
def test_a_failed_commit(applied: bool) -> None:
    box = Box(q=Throttle(concurrency=1, rate=2, per=60_000))
    box.push(2)
    box.commit()
    assert box.fetch() == "job-00001"
    box.store.fail_commit(box.store.commits + 1, applied=applied)
    with pytest.raises(StoreError):
        box.engine.commit()
    box.store = box.store.crash(box.store.unsynced)
    box.engine.reload(box.store)
    assert box.held() == applied
    assert next(box.engine.views.throttles())["tokens"] == 2 - applied
    assert box.fetch() == (None if applied else "job-00001")


def test_what_a_bucket_owes_survives_a_restart_and_comes_back_with_time() -> None:
    box = Box(q=Throttle(rate=2, per=2000))
    box.push(5)
    assert [box.fetch() is None for _ in range(3)] == [False, False, True]
    box.commit()
    box.now += 999
    box.restart()
    assert box.fetch() is None
    box.later(0.001)
    assert box.fetch() == "job-00003"
    box.commit()
    box.restart(q=Throttle(rate=4, per=2000))
    assert [box.fetch() is None for _ in range(3)] == [False, False, True], "half of what was owed was not owed"


def test_a_clock_that_was_set_back_while_the_server_was_down() -> None:
    box = Box(q=Throttle(concurrency=1, timeout=10_000), api=Throttle(rate=1, per=10_000))
    box.push(2)
    box.push(2, "api")
    box.fetch(), box.fetch(queue="api")
    box.commit()
    box.now -= 3_600_000
    box.restart()
    assert (box.fetch(), box.fetch(queue="api")) == (None, None)
    box.later(10)
    assert (box.fetch(), box.fetch(queue="api")) == ("job-00002", "job-00004")


def test_a_clock_that_is_set_back_locks_nothing_and_opens_nothing() -> None:
    box = Box(q=Throttle(concurrency=1, timeout=10_000), api=Throttle(rate=1, per=10_000))
    box.push(2)
    box.push(2, "api")
    box.fetch(), box.fetch(queue="api")
    box.later(4)
    assert (box.fetch(), box.fetch(queue="api")) == (None, None)
    box.engine.shift(-3_600_000)
    box.now -= 3_600_000
    box.later(5.999)
    assert (box.fetch(), box.fetch(queue="api")) == (None, None)
    box.later(0.001)
    assert (box.fetch(), box.fetch(queue="api")) == ("job-00002", "job-00004")


def test_a_clock_that_goes_back_a_little() -> None:
    box = Box(q=Throttle(concurrency=2, timeout=1000))
    box.push(5)
    box.fetch()
    box.now -= 100
    box.engine.advance(box.now)
    box.fetch()
    box.later(1.1)
    assert [box.fetch() is None for _ in range(3)] == [False, False, True]


def test_the_timeout_is_per_lease() -> None:
    box = Box(q=Throttle(concurrency=1, timeout=5000))
    box.push(3)
    first = box.fetch()
    box.later(5)
    second = box.fetch()
    assert second == "job-00002"
    box.ack(first)
    assert (box.held(), box.fetch()) == (1, None), "the end of the first frees no slot of the second"
    box.engine.requeue(second, "w1", None)
    assert box.held() == 0
    assert box.fetch() == second, "a lease of its own"
    box.later(4.999)
    assert box.fetch() is None
    box.later(0.001)
    assert box.fetch() == "job-00003"


def test_a_limit_is_changed_while_jobs_run() -> None:
    box = Box()
    box.push(6)
    box.fetch(), box.fetch(), box.fetch("w2")
    box.apply(q=Throttle(concurrency=2))
    assert (box.held(), box.fetch()) == (3, None)
    box.ack("job-00001")
    box.ack("job-00002")
    assert (box.held(), box.fetch()) == (1, "job-00004")
    box.apply(q=Throttle(worker=1))
    assert (box.fetch(), box.fetch("w2"), box.fetch("w3")) == (None, None, "job-00005")
    box.apply()
    assert list(box.engine.views.throttles()) == []
    assert box.engine.state.leases.watchers == {}
    assert box.fetch() == "job-00006"
    box.ack("job-00004")
    box.commit()


def test_a_timeout_that_is_changed_counts_from_the_beginning_of_the_job() -> None:
    box = Box(q=Throttle(concurrency=1))
    box.push(2)
    box.fetch()
    box.later(8)
    box.apply(q=Throttle(concurrency=1, timeout=10_000))
    assert box.fetch() is None
    box.later(2)
    assert box.fetch() == "job-00002"


def test_a_reload_that_changes_nothing_leaves_the_gate() -> None:
    box = Box(q=Throttle(concurrency=1, timeout=1000, rate=3, per=9000))
    gate = box.engine.state.throttles.gates["q"]
    box.apply(q=Throttle(concurrency=1, timeout=1000, rate=3, per=9000))
    assert box.engine.state.throttles.gates["q"] is gate


def test_a_rate_that_is_changed_goes_on_with_what_is_owed_and_one_that_is_gone_leaves_nothing() -> None:
    box = Box(q=Throttle(rate=2, per=60_000))
    box.push(3)
    box.fetch(), box.fetch()
    box.commit()
    box.apply(q=Throttle(rate=2, per=1000))
    assert box.fetch() is None
    box.later(0.5)
    assert box.fetch() == "job-00003"
    box.commit()
    assert box.store.get(keys.throttle_key("q")) is not None
    box.apply(q=Throttle(concurrency=9))
    box.commit()
    assert box.store.get(keys.throttle_key("q")) is None


def test_a_throttle_that_is_gone_at_a_start_leaves_nothing() -> None:
    box = Box(q=Throttle(rate=2, per=60_000))
    box.push(1)
    box.fetch()
    box.commit()
    box.restart(other=Throttle(concurrency=1))
    box.commit()
    assert box.store.get(keys.throttle_key("q")) is None


def test_a_removed_queue_keeps_its_slots_and_a_flush_frees_all() -> None:
    box = Box(q=Throttle(concurrency=1, rate=5, per=60_000))
    box.push(2)
    box.fetch()
    box.engine.remove(["q"])
    box.push(1)
    assert (box.held(), box.fetch()) == (1, None)
    box.engine.fail("job-00001", "w1", Report("E", "m"))
    assert box.fetch() == "job-00003"
    box.commit()
    box.engine.flush()
    assert (box.held(), next(box.engine.views.throttles())["tokens"]) == (0, 5)
    box.push(2)
    assert (box.fetch(), box.fetch()) == ("job-00004", None)
    box.commit()


def test_the_timer_looks_only_while_somebody_waits() -> None:
    box = Box(q=Throttle(rate=1, per=10_000, concurrency=1, timeout=300_000))
    state = box.engine.state
    box.push(3)
    # A new queue does not know whether somebody waits, until it was asked.
    box.engine.want("q", wanted=False)
    box.engine.take_arrivals()
    first = box.fetch()
    assert box.fetch() is None
    assert state.throttles.next_at == NEVER
    box.engine.want("q", wanted=True)
    assert state.throttles.next_at == START + 300_000, "the next token is of no use while the only slot is taken"
    box.ack(first)
    assert box.engine.take_arrivals() == ["q"]
    assert box.fetch() is None
    assert state.throttles.next_at == START + 10_000
    box.later(9.999)
    assert box.engine.take_arrivals() == []
    box.later(0.001)
    assert box.engine.take_arrivals() == ["q"]
    assert state.throttles.next_at == NEVER
    box.engine.want("q", wanted=False)
    box.fetch()
    box.later(300)
    assert (box.engine.take_arrivals(), state.throttles.next_at) == ([], NEVER)


def test_a_record_that_cannot_be_does_not_stop_a_start() -> None:
    box = Box(q=Throttle(rate=2, per=1000))
    box.push(3)
    box.commit()
    box.store.commit({keys.throttle_key("q"): encode_record(BucketRecord(-5, 0, START + 10**9))}, [])
    box.restart()
    assert [box.fetch() is None for _ in range(3)] == [False, False, True]
