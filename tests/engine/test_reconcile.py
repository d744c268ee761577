"""A worker that has come back says what it has: what else it held at the start is given back, and nothing besides."""

import json
from collections.abc import Sized
from typing import Any

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.engine import keys
from lineshaft.engine.engine import Engine
from lineshaft.engine.records import LaneRules, encode_record
from lineshaft.engine.settings import QueueLimits, Settings, Throttle
from lineshaft.engine.value import split_value
from lineshaft.errors import StoreError
from lineshaft.job import decode_pushed, decode_stored
from lineshaft.store.faulty import FaultyStore

NOW = 1_764_000_000_000


class Box:
    """An engine on a disk that can crash; every step is committed and held against the laws."""

    def __init__(self, **rules: Any) -> None:
        self.settings = Settings(**rules)
        self.store = FaultyStore()
        self.engine = self.boot()

    def boot(self) -> Engine:
        engine = Engine(self.store, self.settings, lambda: 0.5, NOW)
        engine.commit()
        return engine

    def commit(self) -> None:
        self.engine.commit()
        check_store(self.store)
        check_memory(self.engine)

    def push(self, *jids: str, custom: str = "null") -> None:
        for jid in jids:
            job = b'{"jid":"job-%b","jobtype":"A","args":[],"queue":"q","custom":%b}'
            self.engine.push(decode_pushed(job % (jid.encode(), custom.encode())))
        self.commit()

    def fetch(self, holder: str = "w1") -> str | None:
        payload = self.engine.fetch(["q"], holder)
        self.commit()
        return None if payload is None else decode_stored(payload).jid.removeprefix("job-")

    def fetch_all(self, holder: str = "w1") -> list[str]:
        payloads = list(iter(lambda: self.engine.fetch(["q"], holder), None))
        self.commit()
        return [decode_stored(payload).jid.removeprefix("job-") for payload in payloads if payload is not None]

    def restart(self) -> None:
        """The server is killed, and started again."""
        self.store = self.store.crash(self.store.unsynced)
        self.engine = self.boot()
        check_memory(self.engine)

    def holds(self, *jids: str, holder: str = "w1") -> None:
        self.engine.reconcile(holder, [f"job-{jid}" for jid in jids])
        self.commit()

    def held(self) -> list[str]:
        return sorted(lease.jid.removeprefix("job-") for lease in self.engine.state.leases.by_seq.values())

    def tick(self) -> None:
        self.engine.tick()
        self.commit()


def test_what_a_worker_does_not_name_goes_back_to_the_head_and_nothing_is_counted() -> None:
    box = Box()
    box.push("00001", "00002", "00003", "00004", "00005")
    assert [box.fetch() for _ in range(3)] == ["00001", "00002", "00003"]
    assert box.fetch("w2") == "00004"
    box.restart()
    box.holds("00002", "none-such")
    assert box.held() == ["00002", "00004"]
    assert box.fetch_all("w3") == ["00001", "00003", "00005"]
    figures = box.engine.figures()
    assert (figures["total_processed"], figures["total_failures"]) == (0, 0)
    start, end = keys.prefix_range(b"R")
    assert {split_value(value)[0].recoveries for _, value in box.store.scan(start, end, limit=10)} == {0}


def test_what_was_fetched_since_the_start_is_left_alone() -> None:
    box = Box()
    box.push("00001", "00002", "00003")
    box.fetch()
    box.restart()
    assert box.fetch() == "00002"
    box.holds()
    assert box.held() == ["00002"], "its reply may be on its way on another connection"
    assert box.fetch() == "00001"
    box.holds()
    assert box.held() == ["00001", "00002"], "it has been fetched anew"


def test_a_worker_says_it_as_often_as_it_comes_back() -> None:
    box = Box()
    box.push("00001", "00002")
    box.fetch_all()
    box.restart()
    box.holds("00001", "00002")
    box.holds()
    assert box.held() == ["00001", "00002"], "what it said first holds for this life"
    box.restart()
    box.holds("00001")
    assert box.held() == ["00001"]
    box.holds("00001", holder="w2")
    box.holds(holder="\0")
    assert box.held() == ["00001"]


def test_the_ack_of_one_who_had_it_all_the_same_counts() -> None:
    box = Box()
    box.push("00001")
    box.fetch()
    box.restart()
    box.holds()
    assert box.engine.ack("job-00001", "w1")
    box.commit()
    assert (box.fetch(), box.engine.figures()["total_processed"]) == (None, 1)


@pytest.mark.parametrize("applied", [False, True])
def test_a_crash_at_the_commit_and_the_same_again(applied: bool) -> None:
    box = Box()
    box.push("00001", "00002", "00003")
    box.fetch_all()
    box.restart()
    box.engine.reconcile("w1", ["job-00002"])
    box.store.fail_commit(box.store.commits + 1, applied=applied)
    with pytest.raises(StoreError):
        box.engine.commit()
    box.restart()
    assert box.held() == (["00002"] if applied else ["00001", "00002", "00003"])
    box.holds("00002")
    box.holds("00002")
    assert box.held() == ["00002"]
    assert box.fetch_all("w2") == ["00001", "00003"]


@pytest.mark.parametrize("applied", [False, True])
def test_a_store_that_is_opened_again_is_no_start(applied: bool) -> None:
    box = Box()
    box.push("00001", "00002", "00003")
    box.fetch()
    box.restart()
    assert box.fetch() == "00002"
    assert box.engine.fetch(["q"], "w1") is not None
    box.store.fail_commit(box.store.commits + 1, applied=applied)
    with pytest.raises(StoreError):
        box.engine.commit()
    box.store = box.store.crash(box.store.unsynced)
    box.engine.reload(box.store)
    box.commit()
    box.holds()
    assert box.held() == (["00002", "00003"] if applied else ["00002"]), "their replies may be on their way"


def test_group_numbers_that_come_again_are_no_inheritance() -> None:
    box = Box()
    box.push("00001", "00002")
    box.fetch()
    box.restart()
    assert box.engine.ack("job-00001", "w1")
    box.commit()
    box.engine.reload(box.store)
    assert box.fetch() == "00002"
    box.engine.reload(box.store)
    box.holds()
    assert box.held() == ["00002"]


def test_to_lead_is_a_start() -> None:
    box = Box()
    box.push("00001")
    box.fetch()
    box.engine.reload(FaultyStore())
    box.engine.reload(box.store, NOW + 5000)
    box.holds()
    assert box.held() == []


def one_of_many() -> tuple[Box, list[str]]:
    """Of 250 jobs the worker has the last; the first slice of the others was given back."""
    box = Box()
    box.push(*(f"{number:05d}" for number in range(250)))
    jids = box.fetch_all()
    box.restart()
    box.engine.advance(NOW)
    box.holds("00249")
    assert box.held() == jids[100:]
    return box, jids


def test_many_are_given_back_in_slices() -> None:
    box, jids = one_of_many()
    # Meanwhile one of them ends, and another is fetched anew.
    assert box.engine.ack("job-00200", "w1")
    assert box.fetch("w2") == "00000"
    assert box.engine.deadline() == NOW
    box.tick()
    assert len(box.held()) == 50
    box.tick()
    assert box.held() == ["00000", "00249"]
    assert box.engine.deadline() > NOW
    assert box.fetch_all("w2") == [jid for jid in jids if jid not in ("00000", "00200", "00249")]


def test_a_store_that_is_opened_again_in_between_goes_on() -> None:
    box, _ = one_of_many()
    box.engine.reload(box.store)
    while box.engine.deadline() == NOW:
        box.tick()
    assert box.held() == ["00249"]


def test_a_flush_in_between() -> None:
    box = Box()
    box.push(*(f"{number:05d}" for number in range(150)))
    box.fetch_all()
    box.restart()
    box.holds()
    box.engine.flush()
    box.commit()
    box.push("00001")
    box.tick()
    assert box.fetch_all("w2") == ["00001"]
    box.restart()
    box.engine.flush()
    box.holds(holder="w2")


@pytest.mark.parametrize("strict", [False, True])
def test_a_lane_goes_on_with_the_job_that_came_back(strict: bool) -> None:
    lanes = LaneRules("tenant", strict=strict, concurrency=None if strict else 1)
    box = Box(queues={"q": QueueLimits(lanes=lanes)})
    box.push("00001", "00002", custom='{"tenant":"a"}')
    assert box.fetch() == "00001"
    box.restart()
    assert box.fetch("w2") is None
    box.holds()
    assert box.fetch("w2") == "00001"
    box.restart()
    assert box.fetch("w3") is None, "it is leased, and still the first of its lane"
    assert box.engine.ack("job-00001", "w2")
    assert box.fetch("w3") == "00002"


def test_a_unique_job_keeps_its_lock_and_a_cancelled_one_goes() -> None:
    box = Box()
    box.push("00001", custom='{"unique_for":600}')
    box.push("00002")
    box.fetch_all()
    box.engine.cancel("job-00002")
    box.commit()
    box.restart()
    box.holds()
    assert box.held() == []
    with pytest.raises(Exception, match="not unique"):
        box.push("00003", custom='{"unique_for":600}')
    assert box.fetch_all("w2") == ["00001"]
    assert box.engine.ack("job-00001", "w2")
    box.push("00003", custom='{"unique_for":600}')


def test_a_damaged_row_does_not_keep_the_others() -> None:
    box = Box()
    box.push("00001", "00002")
    box.fetch_all()
    start, end = keys.prefix_range(b"R")
    (key, _), _ = box.store.scan(start, end, limit=2)
    box.store.commit({key: b"{"})
    box.restart()
    box.engine.reconcile("w1", [])
    box.engine.commit()
    assert box.engine.take_set_aside() == [key]
    assert box.held() == []
    assert box.fetch_all("w2") == ["00002"]


# Through the server


def restarted(harness: Harness) -> Harness:
    return Harness(store=harness.store.crash(harness.store.unsynced), rules=harness.server.engine.state.settings)


def holding(peer: Peer, *jids: str, wid: str = "w1") -> bytes:
    return peer.ask("BEAT " + json.dumps({"wid": wid, "holding": jids}))


def push(peer: Peer, jid: str, **fields: object) -> None:
    job = {"jid": jid, "jobtype": "A", "args": [], "queue": "q", **fields}
    assert peer.ask("PUSH " + json.dumps(job)) == b"+OK\r\n"


def test_who_waits_at_a_throttle_has_the_job_at_once() -> None:
    harness = Harness(rules=Settings(throttles={"q": Throttle(concurrency=1)}))
    push(harness.connect(), "job-00001")
    assert harness.worker("w1").ask_json("FETCH q")["jid"] == "job-00001"
    harness = restarted(harness)
    worker, other = harness.worker("w1"), harness.worker("w2")
    assert other.ask("FETCH q") == b""
    assert holding(worker, "job-00001") == b"+OK\r\n"
    assert other.take() == b"", "it holds the only place"
    harness = restarted(harness)
    worker, other = harness.worker("w1"), harness.worker("w2")
    assert other.ask("FETCH q") == b""
    assert holding(worker) == b"+OK\r\n"
    assert b'"jid":"job-00001"' in other.take()
    check_store(harness.store)
    check_memory(harness.server.engine)


def test_a_batch_ends_when_the_job_that_came_back_does() -> None:
    harness = Harness()
    producer = harness.connect()
    wanted = {"complete": {"jobtype": "Done", "args": [], "queue": "calls"}}
    bid = producer.ask("BATCH NEW " + json.dumps(wanted)).split(b"\r\n")[1].decode()
    push(producer, "job-00001", custom={"bid": bid})
    assert producer.ask(f"BATCH COMMIT {bid}") == b"+OK\r\n"
    harness.worker("w1").ask_json("FETCH q")
    harness = restarted(harness)
    worker = harness.worker("w1")
    assert holding(worker) == b"+OK\r\n"
    assert worker.ask_json(f"BATCH STATUS {bid}")["pending"] == 1
    assert worker.ask_json("FETCH q")["jid"] == "job-00001"
    assert worker.ask('ACK {"jid":"job-00001"}') == b"+OK\r\n"
    assert worker.ask_json("FETCH calls")["jobtype"] == "Done"
    check_store(harness.store)
    check_memory(harness.server.engine)


def test_the_reply_waits_until_it_is_on_disk() -> None:
    harness = Harness()
    push(harness.connect(), "job-00001")
    harness.worker("w1").ask_json("FETCH q")
    harness = restarted(harness)
    worker = harness.worker("w1")
    harness.hold_syncs = True
    assert holding(worker) == b""
    harness.finish_sync()
    harness.settle()
    assert worker.take() == b"+OK\r\n"


def test_many_come_back_without_another_word() -> None:
    harness = Harness()
    producer, worker = harness.connect(), harness.worker("w1")
    for number in range(250):
        push(producer, f"job-{number:05d}")
        worker.ask("FETCH q")
    harness = restarted(harness)
    assert holding(harness.worker("w1")) == b"+OK\r\n"
    harness.advance(0.001)
    assert harness.connect().ask_json("INFO")["faktory"]["queues"] == {"q": 250}


def test_a_list_that_is_too_long_is_refused() -> None:
    worker = Harness().worker("w1")
    assert holding(worker, *["job-00001"] * 10_000) == b"+OK\r\n"
    refused = holding(worker, *["job-00001"] * 10_001)
    assert refused == b"-ERR invalid JSON: Expected `array` of length <= 10000 - at `$.holding`\r\n"


def test_a_slice_writes_the_group_of_its_jobs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()
    box.push(*(f"{number:05d}" for number in range(250)))
    box.fetch_all()
    box.restart()
    written: list[int] = []

    def encode(leases: Sized) -> bytes:
        written.append(len(leases))
        return encode_record(leases)

    monkeypatch.setattr("lineshaft.engine.leases.encode_record", encode)
    box.holds("00249")
    assert written == [150]
    box.tick()
    box.tick()
    assert written == [150, 50, 1]
