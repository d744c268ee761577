"""When the disk fails: everyone is told, nothing acknowledged is lost, and the server goes on without a restart."""

import json
import logging

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.engine.settings import Settings
from lineshaft.store.faulty import FaultyStore

OK = b"+OK\r\n"
UNKNOWN = b"the outcome is unknown\r\n"


def job(jid: str, **fields: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="lineshaft")


def break_next_commit(harness: Harness, *, applied: bool) -> None:
    harness.store.fail_commit(harness.store.commits + 1, applied=applied)


def jids_left(harness: Harness, queue: str = "default") -> list[str]:
    """Drain a queue through a connection of its own."""
    peer, jids = harness.connect(), []
    while reply := peer.ask(f"FETCH {queue}"):
        jids.append(json.loads(reply.partition(b"\r\n")[2])["jid"])
    peer.leave()
    return jids


def check(harness: Harness) -> None:
    harness.settle()
    check_store(harness.store)
    check_memory(harness.server.engine)


LINES = [
    ("PUSH " + job("pushed-01"), 1),
    (f"PUSHB [{job('pushed-01')},{job('pushed-02')}]", 1),
    ('FAIL {"jid":"held-0001"}', 1),
    ('ACK {"jid":"held-0001"}', 1),
    ("FETCH default", 1),
    ("QUEUE PAUSE default", 1),
    ("QUEUE REMOVE default", 1),
    ("FLUSH", 1),
    ("NONSENSE\r\nPUSH " + job("pushed-01") + "\r\nINFO", 3),
]


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
@pytest.mark.parametrize(("lines", "replies"), LINES, ids=lambda value: str(value)[:16])
def test_a_commit_that_fails(lines: str, replies: int, applied: bool) -> None:
    harness = Harness()
    peer, bystander = harness.worker("worker-1"), harness.connect()
    for jid in ("held-0001", "ready-001", "ready-002"):
        assert peer.ask("PUSH " + job(jid)) == OK
    assert peer.ask_json("FETCH default")["jid"] == "held-0001"
    bystander.ask("INFO")
    break_next_commit(harness, applied=applied)
    answered = peer.ask(lines)
    assert answered.count(b"\r\n") == answered.count(UNKNOWN) == replies, answered
    assert answered.startswith(b"-ERR storage ")
    check(harness)
    assert bystander.take() == b"", "nobody else has heard of it"
    # What was acknowledged before is there, unless the command itself may have ended it.
    info = bystander.ask_json("INFO")["faktory"]
    known = sum(info["queues"].values()) + info["sets"]["working"] + info["sets"]["retries"]
    ended = applied and lines.startswith(("ACK", "QUEUE REMOVE", "FLUSH"))
    added = {"PUSH": 1, "PUSHB": 2, "NONSENSE": 1}.get(lines.split(maxsplit=1)[0], 0) if applied else 0
    assert known == 3 + added or ended
    # The session goes on, and so does the worker.
    assert peer.ask('BEAT {"wid":"worker-1"}') == OK
    assert peer.ask("PUSH " + job("after-001", queue="after")) == OK
    assert peer.ask_json("FETCH after")["jid"] == "after-001"
    check(harness)


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
def test_a_fetched_job_whose_commit_failed_stands_at_the_head_again(applied: bool) -> None:
    harness = Harness()
    peer = harness.connect()
    for number in range(3):
        assert peer.ask("PUSH " + job(f"abcdefg{number}")) == OK
    break_next_commit(harness, applied=applied)
    assert peer.ask("FETCH default").endswith(UNKNOWN)
    check(harness)
    assert jids_left(harness) == ["abcdefg0", "abcdefg1", "abcdefg2"]


def test_a_sync_that_fails() -> None:
    harness = Harness()
    peers = [harness.connect() for _ in range(3)]
    harness.hold_syncs = True
    for number, peer in enumerate(peers):
        assert peer.ask("PUSH " + job(f"abcdefg{number}")) == b""
    harness.store.fail_sync(harness.store.syncs + 1)
    harness.finish_sync()
    harness.hold_syncs = False
    check(harness)
    for peer in peers:
        assert peer.take().endswith(UNKNOWN), "also those that waited for the sync after it"
        assert peer.ask("PUSH " + job("again-001")) == OK
    check(harness)


def test_a_client_that_has_said_end_hears_of_each_of_its_commands() -> None:
    harness = Harness()
    peer = harness.connect()
    harness.hold_syncs = True
    assert peer.ask("PUSH " + job("abcdefg1")) == b""
    assert peer.ask("PUSH " + job("abcdefg2") + "\r\nEND") == b""
    harness.store.fail_sync(harness.store.syncs + 1)
    harness.finish_sync()
    harness.hold_syncs = False
    harness.settle()
    assert peer.take().count(UNKNOWN) == 2
    assert peer.closed


def test_a_waiter_is_served_by_the_store_that_comes_after() -> None:
    harness = Harness()
    waiter, producer = harness.worker("worker-1"), harness.connect()
    assert waiter.ask("FETCH default") == b""
    break_next_commit(harness, applied=True)
    assert producer.ask("PUSH " + job("abcdefgh")).endswith(UNKNOWN)
    # It was in the failing turn that the waiter was given the job, so it hears of the failure as well ...
    assert waiter.take().endswith(UNKNOWN)
    # ... but another that waits is served from what is found on disk.
    check(harness)
    assert b"abcdefgh" in waiter.ask("FETCH default")
    assert waiter.ask("FETCH default") == b""
    assert producer.ask("PUSH " + job("abcdefgi")) == OK
    assert b"abcdefgi" in waiter.take()


def test_a_waiter_of_another_queue_goes_on_waiting() -> None:
    harness = Harness()
    waiter, producer = harness.connect(), harness.connect()
    assert waiter.ask("FETCH other") == b""
    break_next_commit(harness, applied=False)
    assert producer.ask("PUSH " + job("abcdefgh")).endswith(UNKNOWN)
    assert waiter.take() == b""
    assert producer.ask("PUSH " + job("abcdefgi", queue="other")) == OK
    assert b"abcdefgi" in waiter.take()


def test_a_waiter_gets_its_null_in_time_all_the_same() -> None:
    harness = Harness()
    waiter, producer = harness.connect(), harness.connect()
    assert waiter.ask("FETCH other") == b""
    break_next_commit(harness, applied=False)
    assert producer.ask("PUSH " + job("abcdefgh")).endswith(UNKNOWN)
    harness.advance(2)
    assert waiter.take() == b"$-1\r\n"


def test_a_worker_and_what_it_holds_are_still_known() -> None:
    harness = Harness()
    worker, other = harness.worker("worker-1"), harness.connect()
    assert other.ask("PUSH " + job("abcdefgh")) == OK
    assert worker.ask_json("FETCH default")["jid"] == "abcdefgh"
    break_next_commit(harness, applied=False)
    assert other.ask("PUSH " + job("abcdefgi")).endswith(UNKNOWN)
    assert worker.ask('BEAT {"wid":"worker-1"}') == OK
    assert other.ask_json("INFO")["faktory"]["tasks"]["Workers"]["size"] == 1
    assert worker.ask('ACK {"jid":"abcdefgh"}') == OK
    assert other.ask_json("INFO")["faktory"]["total_processed"] == 1
    worker.leave()
    assert other.ask('BEAT {"wid":"worker-1"}') == b"-ERR unknown worker worker-1\r\n"


def test_a_first_beat_that_was_lost_is_remembered() -> None:
    harness = Harness()
    worker = harness.worker("worker-1", beats=False)
    assert worker.ask("PUSH " + job("abcdefgh")) == OK
    assert worker.ask_json("FETCH default")["jid"] == "abcdefgh"
    break_next_commit(harness, applied=False)
    assert worker.ask('BEAT {"wid":"worker-1"}').endswith(UNKNOWN)
    assert worker.ask('BEAT {"wid":"worker-1"}') == OK
    after = Harness(store=harness.store.crash(harness.store.unsynced), now=harness.clock())
    after.advance(61)
    assert jids_left(after) == ["abcdefgh"], "the worker had sent a BEAT, and has not come back"


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
def test_a_mutate_that_was_lost_is_not_answered_ok(applied: bool) -> None:
    harness = Harness()
    peer = harness.connect()
    jobs = ",".join(job(f"later-{number:04}", at="2096-01-01T00:00:00Z") for number in range(350))
    assert peer.ask(f"PUSHB [{jobs}]") == b"$2\r\n{}\r\n"
    break_next_commit(harness, applied=applied)
    answered = peer.ask('MUTATE {"cmd":"kill","target":"scheduled"}')
    harness.advance(1)
    answered += peer.take()
    sets = harness.connect().ask_json("INFO")["faktory"]["sets"]
    if answered == OK:
        assert sets["dead"] == 350
    else:
        assert answered.endswith(UNKNOWN)
        assert answered.count(b"\r\n") == 1
    assert sets["dead"] + sets["scheduled"] == 350
    assert peer.ask("PUSH " + job("abcdefgh")) == OK, "the session goes on"
    check(harness)


def test_a_mutate_whose_later_slice_failed_goes_on_after_it() -> None:
    harness = Harness()
    peer = harness.connect()
    jobs = ",".join(job(f"later-{number:04}", at="2096-01-01T00:00:00Z") for number in range(350))
    assert peer.ask(f"PUSHB [{jobs}]") == b"$2\r\n{}\r\n"
    harness.store.fail_commit(harness.store.commits + 2, applied=False)
    answered = peer.ask('MUTATE {"cmd":"kill","target":"scheduled"}')
    harness.advance(1)
    answered += peer.take()
    assert answered == OK or answered.endswith(UNKNOWN)
    assert harness.connect().ask_json("INFO")["faktory"]["sets"]["dead"] == 350
    check(harness)


@pytest.mark.parametrize("applied", [False, True], ids=["not applied", "applied"])
def test_a_store_that_cannot_be_opened_for_a_while(applied: bool) -> None:
    harness = Harness()
    peer, waiter = harness.worker("worker-1"), harness.connect()
    assert peer.ask("PUSH " + job("before-01")) == OK
    assert waiter.ask("FETCH other") == b""
    harness.reopen_failures = 3
    break_next_commit(harness, applied=applied)
    assert peer.ask("PUSH " + job("pushed-01")).endswith(UNKNOWN)
    for line in ("PUSH " + job("pushed-02"), "FETCH default", "INFO", 'ACK {"jid":"before-01"}', "FLUSH"):
        assert peer.ask(line).startswith(b"-ERR storage failed"), line
    harness.advance(0.5)
    assert peer.ask("INFO").startswith(b"-ERR storage failed")
    harness.advance(3)
    assert waiter.take() == b"$-1\r\n", "a worker's client gives up a connection that says nothing"
    assert peer.ask("PUSH " + job("after-001")) == OK
    assert jids_left(harness) == ["before-01", *(["pushed-01"] if applied else []), "after-001"]
    check(harness)


def test_a_closed_store_is_not_opened_more_often_for_being_asked_more() -> None:
    harness = Harness()
    peer = harness.connect()
    harness.reopen_failures = 100
    break_next_commit(harness, applied=False)
    assert peer.ask("PUSH " + job("pushed-01")).endswith(UNKNOWN)
    for _ in range(50):
        assert peer.ask("PUSH " + job("pushed-02")).startswith(b"-ERR storage failed")
        harness.connect()
    assert harness.reopen_failures >= 99, "one try so far"
    harness.advance(3)
    assert harness.reopen_failures >= 96


def test_a_waiter_hears_something_while_the_store_is_away() -> None:
    harness = Harness()
    peer, waiter = harness.connect(), harness.connect()
    assert waiter.ask("FETCH other") == b""
    harness.reopen_failures = 100
    break_next_commit(harness, applied=False)
    assert peer.ask("PUSH " + job("pushed-01")).endswith(UNKNOWN)
    harness.advance(3)
    assert waiter.take(), "after 3 s one client gives up"


def test_a_client_that_comes_while_the_store_is_away_is_told_so() -> None:
    harness = Harness()
    peer = harness.connect()
    harness.reopen_failures = 100
    break_next_commit(harness, applied=False)
    assert peer.ask("PUSH " + job("pushed-01")).endswith(UNKNOWN)
    late = harness.connect(hello=None)
    assert late.take() == b'+HI {"v":2}\r\n'
    assert late.ask('HELLO {"v":2}') == OK
    assert late.ask("INFO").startswith(b"-ERR storage failed")
    probe = harness.connect(hello=None)
    probe.take()
    assert probe.ask("GET / HTTP/1.1") == b""
    assert probe.closed


@pytest.mark.parametrize("number", range(1, 12))
def test_a_read_that_fails(number: int) -> None:
    """One failing get or scan, wherever it is, costs an error reply and no job."""
    harness = Harness(rules=Settings(refuse_duplicate_jids=True))
    peer = harness.worker("worker-1")
    big = "x" * 5000
    for order in range(3):
        assert peer.ask("PUSH " + job(f"abcdefg{order}", args=[big])) == OK
    harness.store.fail_get(harness.store.gets + number)
    harness.store.fail_scan(harness.store.scans + number)
    lines = [
        "FETCH default",
        "PUSH " + job("pushed-01"),
        'FAIL {"jid":"abcdefg0"}',
        'MUTATE {"cmd":"requeue","target":"retries","filter":{"jids":["abcdefg0"]}}',
        "QUEUE LATENCY default",
        'ACK {"jid":"nothere1"}',
    ]
    for line in lines:
        answered = peer.ask(line)
        harness.advance(0.01)
        answered += peer.take()
        head = answered.partition(b"\r\n")[0]
        assert head[:1] in {b"+", b"$", b"-"}
        bulk = int(head[1:]) + 2 if head[:1] == b"$" else 0
        assert len(answered) == len(head) + 2 + bulk, f"{line}: one reply to one command: {answered[:300]!r}"
        assert b"internal error" not in answered
    harness.store._failing_gets.clear()
    harness.store._failing_scans.clear()
    check(harness)
    assert peer.ask('BEAT {"wid":"worker-1"}') == OK
    info = harness.connect().ask_json("INFO")["faktory"]
    assert info["queues"]["default"] + info["sets"]["working"] + info["sets"]["retries"] in {3, 4}


def test_a_resume_whose_waiter_cannot_be_served_is_answered_once() -> None:
    before = Harness()
    peer = before.connect()
    for number in range(3):
        assert peer.ask("PUSH " + job(f"abcdefg{number}")) == OK
    assert peer.ask("QUEUE PAUSE default") == OK
    # After a start nothing of the queue is in memory, so that serving the waiter reads the disk.
    harness = Harness(store=before.store.crash(before.store.unsynced), now=before.clock())
    waiter, operator = harness.connect(), harness.connect()
    assert waiter.ask("FETCH default") == b""
    harness.store.fail_scan(harness.store.scans + 1)
    answered = operator.ask("QUEUE RESUME default")
    assert answered.count(b"\r\n") == 1, answered
    assert answered.startswith(b"-ERR storage failed")
    check(harness)
    assert operator.ask("QUEUE RESUME default") == OK
    assert b"abcdefg0" in waiter.take()
    check(harness)


def test_midnight_with_a_store_that_does_not_answer() -> None:
    harness = Harness()
    peer = harness.connect()
    harness.store.fail_get(harness.store.gets + 1)
    harness.clock.advance(seconds=86_400)
    assert peer.ask("PUSH " + job("abcdefgh")).count(b"\r\n") == 1
    harness.advance(1)
    assert peer.ask("PUSH " + job("abcdefgi")) == OK
    assert "abcdefgi" in jids_left(harness)
    assert harness.server.engine.state.days(5)[0][0] == "2025-11-25"


class TestBusy:
    """A write stall: nothing was written, nothing is lost, nobody is told, and nobody overtakes."""

    def stalled(self) -> tuple[Harness, Peer, Peer]:
        harness = Harness()
        peer, other = harness.connect(), harness.connect()
        harness.store.busy_for(10)
        assert peer.ask("PUSH " + job("stalled-1")) == b""
        return harness, peer, other

    def test_replies_come_when_the_store_is_ready(self) -> None:
        harness, peer, other = self.stalled()
        assert other.ask("PUSH " + job("stalled-2")) == b""
        assert peer.ask("FETCH default") == b""
        harness.advance(0.02)
        assert (peer.take(), other.take()) == (b"", b"")
        harness.advance(1)
        replies = peer.take()
        assert replies.startswith(OK + b"$")
        assert b"stalled-1" in replies
        assert other.take() == OK
        assert jids_left(harness) == ["stalled-2"]
        check(harness)

    def test_nothing_overtakes_what_waited(self) -> None:
        harness, peer, _ = self.stalled()
        assert peer.session is not None
        peer.send(b"FIRST\r\n")
        # The store is ready again; before the turn that takes the backlog up, more arrives.
        harness.store.busy_for(0)
        harness.clock.advance(seconds=1)
        harness.server.wake()
        peer.session.receive(b"SECOND\r\n")
        harness.settle()
        assert peer.take() == OK + b"-ERR unknown command FIRST\r\n-ERR unknown command SECOND\r\n"

    def test_a_long_line_that_was_under_way_is_read_on(self) -> None:
        harness, peer, other = self.stalled()
        line = f"PUSH {job('long-0001', args=['x' * 300_000])}\r\n".encode()
        other.send(line[:200_000])
        assert not other.reading, "there is enough of it to wait"
        harness.advance(1)
        assert other.reading
        other.send(line[200_000:])
        assert other.take() == OK
        assert peer.take() == OK

    def test_a_new_connection_is_greeted_and_waits(self) -> None:
        harness, peer, _ = self.stalled()
        late = harness.connect(hello=None)
        assert late.take() == b'+HI {"v":2}\r\n'
        assert late.ask('HELLO {"v":2}') == b""
        harness.advance(1)
        assert late.take() == OK
        assert peer.take() == OK

    def test_a_hello_that_came_in_time_is_answered_however_long_the_pause(self) -> None:
        harness, _, _ = self.stalled()
        late, silent = harness.connect(hello=None), harness.connect(hello=None)
        assert late.ask('HELLO {"v":2}') == b'+HI {"v":2}\r\n'
        # The store is ready again after the time for a HELLO; the timer comes before the turn that takes this one up.
        harness.store.busy_for(0)
        harness.clock.advance(seconds=3)
        harness.server.wake()
        harness.server.wake()
        harness.settle()
        assert silent.closed, "no HELLO in two seconds"
        assert not late.closed
        assert late.take() == OK
        assert late.ask("PUSH " + job("abcdefgh")) == OK
        check(harness)

    def test_a_connection_that_breaks_meanwhile_harms_nobody(self) -> None:
        harness, peer, other = self.stalled()
        assert other.ask("FETCH default") == b""
        other.leave()
        peer.leave()
        harness.advance(1)
        assert jids_left(harness) == ["stalled-1"]
        check(harness)

    def test_the_store_fails_instead_of_recovering(self) -> None:
        harness, peer, other = self.stalled()
        break_next_commit(harness, applied=False)
        assert other.ask("PUSH " + job("stalled-2")) == b""
        harness.advance(1)
        assert peer.take().endswith(UNKNOWN)
        assert other.take() == OK, "its turn came after the failure"
        assert jids_left(harness) == ["stalled-2"]
        check(harness)

    def test_a_sync_fails_while_the_store_is_busy(self) -> None:
        harness = Harness()
        peer, other = harness.connect(), harness.connect()
        harness.hold_syncs = True
        assert other.ask("PUSH " + job("synced-01")) == b""
        harness.store.busy_for(3)
        assert peer.ask("PUSH " + job("stalled-1")) == b""
        harness.store.fail_sync(harness.store.syncs + 1)
        harness.finish_sync()
        harness.hold_syncs = False
        harness.advance(1)
        assert other.take().endswith(UNKNOWN)
        assert peer.take().endswith(UNKNOWN)
        assert peer.ask("PUSH " + job("after-001")) == OK
        check(harness)


def test_nothing_acknowledged_is_lost_whatever_fails() -> None:
    """Every commit of a conversation fails once, in both ways; what was answered +OK is there afterwards."""

    def converse(harness: Harness) -> set[str]:
        peer, acknowledged = harness.connect(), set()
        for number in range(12):
            jid = f"abcdefg{number:02}"
            if peer.ask("PUSH " + job(jid)) == OK:
                acknowledged.add(jid)
        return acknowledged

    undisturbed = Harness()
    assert len(converse(undisturbed)) == 12
    total = undisturbed.store.commits
    assert total >= 12
    for number in range(1, total + 1):
        for applied in (False, True):
            store = FaultyStore()
            store.fail_commit(number, applied=applied)
            harness = Harness(store=store)
            acknowledged = converse(harness)
            left = jids_left(harness)
            assert acknowledged <= set(left), (number, applied)
            assert left == sorted(left), "in order, each once"
            assert len(left) == len(set(left))
