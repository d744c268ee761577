"""Sessions: a client that stops sending still gets what it is owed; one command blocks the next and nobody else."""

import json

import pytest

from harness import Harness, Peer
from lineshaft.server.commands import COMMANDS

OK = b"+OK\r\n"

#: A line with every verb.
LINES = [
    'PUSH {"jid":"abcdefgh","jobtype":"T","args":[]}',
    'PUSHB [{"jid":"abcdefgh","jobtype":"T","args":[]},{}]',
    "FETCH default",
    "FETCH one two ",
    "FETCH",
    "FETCH ",
    'ACK {"jid":"abcdefgh"}',
    'FAIL {"jid":"abcdefgh"}',
    'REQUEUE {"jid":"abcdefgh"}',
    'CANCEL {"jid":"abcdefgh"}',
    "TRACK GET abcdefgh",
    'TRACK SET {"jid":"abcdefgh"}',
    'BATCH NEW {"success":{"jobtype":"T","args":[]}}',
    "BATCH STATUS b-none",
    "BATCH",
    'BEAT {"wid":"worker-1"}',
    "INFO",
    "FLUSH",
    "QUEUE PAUSE default",
    "QUEUE LATENCY default other",
    "QUEUE RESUME *",
    'MUTATE {"cmd":"clear","target":"dead"}',
    'BACKUP {"dir":"here"}',
    'ADOPT [{"job":{"jid":"abcdefgh","jobtype":"T","args":[]}}]',
    'INSPECT {"what":"queues"}',
    'SIGNAL {"wid":"worker-1","state":"quiet"}',
    "CRON LIST",
    "CRON RUN nightly",
    "CLUSTER STATUS",
    "END",
    "NONSENSE",
    "",
]


def job(jid: str, **fields: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


def stop_sending(peer: Peer) -> None:
    assert peer.session is not None
    peer.session.receive_eof()
    peer.harness.settle()


def test_a_mutate_is_answered_to_one_that_sends_no_more() -> None:
    harness = Harness()
    peer = harness.connect()
    jobs = ",".join(job(f"later-{number:04}", at="2096-01-01T00:00:00Z") for number in range(350))
    assert peer.ask(f"PUSHB [{jobs}]") == b"$2\r\n{}\r\n"
    assert peer.session is not None
    peer.session.receive(b'MUTATE {"cmd":"kill","target":"scheduled"}\r\nNONSENSE\r\nLAST')
    peer.session.receive_eof()
    assert peer.received == b""
    harness.settle()
    harness.advance(1)
    assert peer.take() == OK + b"-ERR unknown command NONSENSE\r\n-ERR unknown command LAST\r\n"
    assert peer.closed


def test_what_a_stall_held_up_is_done_for_one_that_sends_no_more() -> None:
    harness = Harness()
    peer = harness.connect()
    harness.store.busy_for(5)
    assert peer.ask("PUSH " + job("stalled-1")) == b""
    peer.send(f"PUSH {job('stalled-2')}\r\nPUSH {job('stalled-3')}".encode())
    stop_sending(peer)
    assert not peer.closed
    harness.advance(1)
    assert (peer.take(), peer.closed) == (OK * 3, True)
    assert harness.connect().ask_json("INFO")["faktory"]["queues"] == {"default": 3}


def test_many_large_jobs_go_out_in_several_turns_to_one_that_sends_no_more() -> None:
    harness = Harness()
    peer = harness.connect()
    for number in range(30):
        assert peer.ask("PUSH " + job(f"large-00{number:02}", args=["x" * 100_000])) == OK
    assert peer.session is not None
    peer.session.receive(b"FETCH default\r\n" * 30)
    peer.session.receive_eof()
    harness.settle()
    assert peer.take().count(b'"jid":"large-') == 30
    assert peer.closed


def test_replies_before_a_waiting_fetch_go_out_to_one_that_sends_no_more() -> None:
    harness = Harness()
    harness.hold_syncs = True
    peer = harness.connect()
    peer.send(f"PUSH {job('abcdefgh')}\r\nFETCH nothing\r\nPUSH {job('abcdefgi')}\r\n".encode())
    stop_sending(peer)
    assert (peer.take(), peer.closed) == (b"", False)
    harness.hold_syncs = False
    harness.settle()
    assert (peer.take(), peer.closed) == (OK, True)
    assert not harness.server.waiters.by_queue


@pytest.mark.parametrize("line", [b"END", b"END\r\n", b"END \r\n", b"INFO\r\nEND\r\n"])
def test_end_closes(line: bytes) -> None:
    harness = Harness()
    peer = harness.worker("worker-1")
    peer.send(line)
    if line == b"END":
        stop_sending(peer)
    assert peer.closed
    assert not harness.server.sessions
    assert harness.connect().ask_json("INFO")["faktory"]["tasks"]["Workers"]["size"] == 0


def test_there_is_a_line_with_every_verb() -> None:
    assert {line.encode().partition(b" ")[0] for line in LINES} >= COMMANDS.keys()


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize("line", LINES)
def test_a_line_means_the_same_whole_and_in_pieces(line: str, end: bytes) -> None:
    sent = line.encode() + end
    whole, torn = Harness().worker("worker-1"), Harness().worker("worker-1")
    whole.send(sent)
    for at in range(len(sent)):
        torn.send(sent[at : at + 1])
    assert (whole.take(), whole.closed) == (torn.take(), torn.closed)


@pytest.mark.parametrize("line", [b"FETCH \n", b"FETCH \r\n", b"FETCH \n\n"])
def test_no_line_is_taken_for_the_fetch_before_it(line: bytes) -> None:
    harness = Harness()
    peer = harness.connect()
    assert peer.ask("PUSH " + job("abcdefgh")) == OK
    assert peer.session is not None
    peer.session.fetch_names = peer.session.fetch_order = ["default"]
    peer.send(line)
    assert b"abcdefgh" not in peer.take()


def test_a_long_mutate_holds_up_nobody_else() -> None:
    harness = Harness()
    peer, other = harness.connect(), harness.connect()
    jobs = ",".join(job(f"later-{number:04}", at="2096-01-01T00:00:00Z") for number in range(2000))
    assert peer.ask(f"PUSHB [{jobs}]") == b"$2\r\n{}\r\n"
    assert peer.session is not None
    assert other.session is not None
    peer.session.receive(b'MUTATE {"cmd":"requeue","target":"scheduled"}\r\nSECOND\r\n')
    harness.callbacks.pop(0)()
    other.session.receive(b"FIRST\r\n")
    harness.callbacks.pop(0)()
    assert (peer.received, other.take()) == (b"", b"-ERR unknown command FIRST\r\n")
    harness.settle()
    harness.advance(1)
    assert peer.take() == OK + b"-ERR unknown command SECOND\r\n"
    assert other.ask_json("INFO")["faktory"]["queues"] == {"default": 2000}


def test_one_that_goes_during_its_mutate_leaves_it_to_be_done() -> None:
    harness = Harness()
    peer = harness.connect()
    jobs = ",".join(job(f"later-{number:04}", at="2096-01-01T00:00:00Z") for number in range(350))
    assert peer.ask(f"PUSHB [{jobs}]") == b"$2\r\n{}\r\n"
    assert peer.session is not None
    peer.session.receive(b'MUTATE {"cmd":"kill","target":"scheduled"}\r\n')
    harness.callbacks.pop(0)()
    peer.leave()
    harness.advance(1)
    assert harness.connect().ask_json("INFO")["faktory"]["sets"]["dead"] == 350
    assert not harness.server.chores


def test_a_worker_that_is_given_up_in_the_turn_in_which_it_speaks_is_written_nothing() -> None:
    harness = Harness()
    peer = harness.worker("worker-1")
    bystander = harness.connect()
    assert bystander.ask("PUSH " + json.dumps({"jid": "job-00001", "jobtype": "T", "args": []})) == b"+OK\r\n"
    peer.send(b"FETCH default\r\n")
    assert b"job-00001" in peer.take()
    for seconds in (10, 10, 10, 10, 10, 9.9):
        harness.advance(seconds)
    assert not peer.closed
    # As the transports of an event loop: that the connection is lost is told later.
    peer.abort = lambda: setattr(peer, "closed", True)  # type: ignore[method-assign]
    assert peer.session is not None
    assert bystander.session is not None
    peer.session.receive(b"INFO\r\n")
    bystander.session.receive(b"INFO\r\n")
    harness.clock.now += 200
    harness.server.wake()
    harness.settle()
    assert peer.closed
    assert peer.take() == b""
    assert bystander.take().startswith(b"$")
