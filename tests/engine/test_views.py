"""What the engine shows of itself: pages that cost the same everywhere, and a job wherever it is."""

import json

import pytest

from harness import Harness, Peer
from lineshaft.engine import keys
from lineshaft.engine.search.filter import Filter
from lineshaft.engine.settings import Settings
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import Views
from lineshaft.errors import Refusal
from lineshaft.lifecycle import Place
from lineshaft.store.faulty import FaultyStore


def views(box: Harness) -> Views:
    box.server.begin_turn()
    return box.server.engine.views


def push(box: Harness, count: int, **fields: object) -> None:
    producer = box.connect()
    for number in range(count):
        job = {"jid": f"job-{number:05}", "jobtype": "mail", "args": [number], **fields}
        assert producer.ask("PUSH " + json.dumps(job)) == b"+OK\r\n"


def all_of(take) -> list[str]:
    """Page through a place with a small limit; returns the jids in order."""
    jids, cursor = [], ""
    while True:
        part = take(cursor)
        assert part.looked_at <= 3
        jids += [view.jid for view in part.jobs]
        cursor = part.cursor
        if not cursor:
            return jids


def test_a_queue_is_paged_in_the_order_in_which_it_is_worked() -> None:
    box = Harness()
    push(box, 5)
    box.connect().ask('PUSH {"jid":"urgent-1","jobtype":"mail","args":[],"priority":9}')
    found = all_of(lambda cursor: views(box).enqueued("default", cursor=cursor, limit=3))
    assert found == ["urgent-1", *(f"job-{number:05}" for number in range(5))]


def test_jobs_in_workers_hands_are_not_among_those_that_wait() -> None:
    box = Harness()
    push(box, 4)
    worker = box.worker("w1")
    worker.ask("FETCH default")
    assert all_of(lambda cursor: views(box).enqueued("default", cursor=cursor, limit=3)) == [
        f"job-{number:05}" for number in range(1, 4)
    ]
    (held,), more = views(box).held()
    assert (held.jid, held.holder, held.queue, more) == ("job-00000", "w1", "default", 0)
    assert [(worker.wid, worker.holds) for worker in views(box).workers()] == [("w1", 1)]


def test_a_timed_set_is_paged_from_either_end() -> None:
    box = Harness()
    push(box, 7, at="2099-01-01T00:00:00Z")
    forward = all_of(lambda cursor: views(box).timed(SetName.SCHEDULED, cursor=cursor, limit=3))
    assert forward == [f"job-{number:05}" for number in range(7)]
    back = all_of(lambda cursor: views(box).timed(SetName.SCHEDULED, cursor=cursor, limit=3, newest=True))
    assert back == forward[::-1]


def test_a_job_knows_whose_failure_was_its_last_one() -> None:
    box = Harness()
    push(box, 2, retry=1)

    def fail(peer: Peer) -> str:
        jid = peer.ask_json("FETCH default")["jid"]
        assert peer.ask('FAIL {"jid":"%s","errtype":"Boom","message":"no"}' % jid) == b"+OK\r\n"  # noqa: UP031
        return jid

    assert [fail(box.worker("w1")), fail(box.worker("w2"))] == ["job-00000", "job-00001"]
    assert [views(box).find(f"job-0000{n}")[0].extras.worker for n in range(2)] == ["w1", "w2"]
    box.advance(86_400)
    assert {view.extras.worker for view in views(box).enqueued("default").jobs} == {"w1", "w2"}
    assert {fail(box.worker("w3")), fail(box.connect())} == {"job-00000", "job-00001"}
    dead = views(box).timed(SetName.DEAD).jobs
    assert {view.extras.worker for view in dead} == {"w3", ""}, "a connection without a wid is nobody"
    push(box, 1)
    (plain,) = views(box).enqueued("default").jobs
    assert b"w3" not in (box.server.engine.state.turn.get(plain.key) or b"")


def test_a_filter_says_what_is_meant() -> None:
    box = Harness()
    push(box, 3, at="2099-01-01T00:00:00Z")
    producer = box.connect()
    producer.ask(
        'PUSH {"jid":"other-001","jobtype":"Report","args":["PDF"],"queue":"slow","at":"2099-06-01T00:00:00Z"}'
    )

    def found(**wanted: object) -> list[str]:
        return [view.jid for view in views(box).timed(SetName.SCHEDULED, filter=Filter(**wanted)).jobs]  # type: ignore[arg-type]

    assert found(jobtype="Report") == found(queue="slow") == found(text="pdf") == ["other-001"]
    assert found(queue="default", text="[1]") == ["job-00001"]
    assert found(since=4_080_000_000_000) == ["other-001"]
    assert len(found(until=4_080_000_000_000)) == 3
    assert found(errtype="Timeout") == []


def test_a_job_is_found_wherever_it_is() -> None:
    box = Harness(rules=Settings(history_keep=60_000))
    push(box, 2)
    worker = box.worker("w1")
    assert [view.place for view in views(box).find("job-00000")] == [Place.READY]
    worker.ask("FETCH default")
    (leased,) = views(box).find("job-00000")
    assert leased.place is Place.LEASED
    assert leased.lease is not None
    assert leased.lease.holder == "w1"
    worker.ask('FAIL {"jid":"job-00000","errtype":"Timeout","message":"too slow"}')
    (retried,) = views(box).find("job-00000")
    assert retried.place is Place.RETRIES
    assert retried.due > box.clock()
    assert retried.job.failure.errtype == "Timeout"
    assert views(box).find_at(SetName.RETRIES, retried.due, "job-00000") == retried
    assert views(box).find_at(SetName.DEAD, retried.due, "job-00000") is None
    worker.ask("FETCH default")
    worker.ask('ACK {"jid":"job-00001"}')
    assert views(box).find("job-00001") == []
    assert [over["outcome"] for over in views(box).finished("job-00001")] == ["success"]
    assert views(box).find("no such job") == []


def test_without_the_index_a_timed_job_is_found_by_its_instant() -> None:
    box = Harness(rules=Settings(jid_index=False))
    push(box, 2, at="2099-01-01T00:00:00Z")
    assert views(box).find("job-00001") == []
    found = views(box).find_at(SetName.SCHEDULED, 4_070_908_800_000, "job-00001")
    assert found is not None
    assert found.jid == "job-00001"


@pytest.mark.parametrize("cursor", ["x", "00", "ffff"])
def test_a_bad_cursor_is_refused(cursor: str) -> None:
    box = Harness()
    push(box, 1)
    with pytest.raises(Refusal, match="cursor"):
        views(box).enqueued("default", cursor=cursor)
    with pytest.raises(Refusal, match="cursor"):
        views(box).timed(SetName.DEAD, cursor=cursor)


def test_a_row_that_cannot_be_read_is_left_out() -> None:
    box = Harness()
    push(box, 2, at="2099-01-01T00:00:00Z")
    (row,) = views(box).find("job-00000")
    box.store.commit({row.key: b"{"})
    assert [view.jid for view in views(box).timed(SetName.SCHEDULED).jobs] == ["job-00001"]
    assert views(box).find("job-00000") == []


def test_queues_are_paged_by_name() -> None:
    box = Harness()
    producer = box.connect()
    for name in ("b", "a", "c"):
        producer.ask(f'PUSH {{"jid":"job-{name}-1234","jobtype":"t","args":[],"queue":"{name}"}}')
    first, more = views(box).queues(limit=2)
    assert ([queue.name for queue in first], more) == (["a", "b"], True)
    rest, more = views(box).queues(after="b", limit=2)
    assert ([queue.name for queue in rest], more) == (["c"], False)
    box.advance(5)
    queue = views(box).queue("a")
    assert queue is not None
    assert (queue.size, queue.latency_seconds) == (1, 5.0)
    overview = views(box).overview()
    assert (overview.queues, overview.enqueued, overview.busy) == (3, 3, 0)


def test_the_foremost_queues_are_those_that_are_paused_and_the_longest() -> None:
    box = Harness()
    for name, count in (("a", 1), ("b", 3), ("c", 0), ("d", 2)):
        push(box, count, queue=name)
    box.connect().ask("QUEUE PAUSE c")
    assert [queue.name for queue in views(box).foremost_queues(3)] == ["c", "b", "d"]


def test_a_mutate_takes_a_filter() -> None:
    box = Harness()
    push(box, 3, at="2099-01-01T00:00:00Z")
    box.server.engine.mutate("discard", "scheduled", chosen=Filter(text="[1]"))
    box.settle()
    assert [view.jid for view in views(box).timed(SetName.SCHEDULED).jobs] == ["job-00000", "job-00002"]


def test_a_job_is_rescheduled() -> None:
    box = Harness()
    push(box, 1, at="2099-01-01T00:00:00Z")
    soon = box.clock() + 60_000
    box.server.engine.reschedule(SetName.SCHEDULED, "job-00000", soon)
    box.server.need_turn()
    box.settle()
    (view,) = views(box).find("job-00000")
    assert (view.place, view.due, view.job.at) == (Place.SCHEDULED, soon, "2025-11-24T16:01:00.000Z")
    box.advance(61)
    assert [view.place for view in views(box).find("job-00000")] == [Place.READY]


def test_a_retry_is_rescheduled_and_keeps_its_failure() -> None:
    box = Harness()
    push(box, 1)
    worker = box.worker("w1")
    worker.ask("FETCH default")
    worker.ask('FAIL {"jid":"job-00000","errtype":"Timeout","message":"too slow"}')
    box.server.engine.reschedule(SetName.RETRIES, "job-00000", 0)
    box.server.need_turn()
    box.settle()
    (view,) = views(box).find("job-00000")
    assert view.place is Place.READY, "what has passed is due at once"
    assert view.job.failure.errtype == "Timeout"


@pytest.mark.parametrize(
    ("name", "jid", "at"), [("dead", "job-00000", 1), ("retries", "job-00000", 1), ("scheduled", "job-00000", -1)]
)
def test_what_cannot_be_rescheduled_is_refused(name: str, jid: str, at: int) -> None:
    box = Harness()
    push(box, 1, at="2099-01-01T00:00:00Z")
    with pytest.raises(Refusal):
        box.server.engine.reschedule(SetName(name), jid, at)


def test_damaged_rows_are_counted_without_reading_much_of_them() -> None:
    def counted(size: int, most: int) -> tuple[int, bool]:
        rows = {keys.aside_key(b"T%d" % number): b"\xff" * size for number in range(4)}
        return views(Harness(store=FaultyStore(rows))).set_aside(most)

    assert counted(3 << 20, 100) == (2, True), "four megabytes of them are enough"
    assert counted(1, 3) == (3, True)
    assert counted(1, 4) == counted(1, 100) == (4, False)
    assert views(Harness()).set_aside(100) == (0, False)
