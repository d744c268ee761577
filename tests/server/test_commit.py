"""Group commit: no reply before what it promises is on disk, none later than it need be, and none out of order."""

import json

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.server.settings import ServerSettings, SyncMode

OK = b"+OK\r\n"


def job(jid: str, **fields: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


def prepared() -> tuple[Harness, Peer]:
    """A server with jobs in every place, two of them fetched, whose syncs the test now ends itself."""
    harness = Harness()
    peer = harness.worker("worker-1")
    for number in range(8):
        assert peer.ask("PUSH " + job(f"ready-00{number}")) == OK
    assert peer.ask("PUSH " + job("later-001", at="2096-01-01T00:00:00Z")) == OK
    assert peer.ask_json("FETCH default")["jid"] == "ready-000"
    assert peer.ask_json("FETCH default")["jid"] == "ready-001"
    harness.hold_syncs = True
    return harness, peer


PROMISES = [
    "PUSH " + job("pushed-01"),
    "PUSH " + job("pushed-02", at="2096-01-01T00:00:00Z"),
    "FAIL " + json.dumps({"jid": "ready-000", "errtype": "E", "message": "m"}),
    "QUEUE PAUSE default",
    "QUEUE REMOVE default",
    'MUTATE {"cmd":"kill","target":"scheduled"}',
    'MUTATE {"cmd":"discard","target":"queue:default","filter":{"jids":["ready-003"]}}',
    "FLUSH",
]


@pytest.mark.parametrize("line", PROMISES, ids=lambda line: line[:24])
def test_what_promises_waits_for_the_sync(line: str) -> None:
    harness, peer = prepared()
    assert peer.ask(line) == b""
    harness.advance(5)
    assert peer.take() == b""
    assert harness.store.unsynced > 0
    harness.finish_sync()
    harness.settle()
    if line.startswith("MUTATE"):
        # The work may have taken a second commit, and so a second sync.
        while harness.pending_sync is not None:
            assert peer.received == b""
            harness.finish_sync()
            harness.settle()
    assert peer.take() == OK


def test_a_bulk_push_waits_for_the_sync() -> None:
    harness, peer = prepared()
    assert peer.ask(f"PUSHB [{job('pushed-01')},{job('x')}]") == b""
    harness.finish_sync()
    harness.settle()
    head, _, body = peer.take().partition(b"\r\n")
    assert head[:1] == b"$"
    assert json.loads(body) == {"x": "jobs must have a reasonable jid parameter"}


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("FETCH default", b'"jid":"ready-002"'),
        ('ACK {"jid":"ready-000"}', OK),
        ('BEAT {"wid":"worker-1"}', OK),
        ("INFO", b'"faktory"'),
        ("QUEUE LATENCY default", b'"default"'),
        ("NONSENSE", b"-ERR unknown command NONSENSE\r\n"),
        ("PUSH {}", b"-ERR jobs must have a reasonable jid parameter\r\n"),
        ('MUTATE {"cmd":"kill","target":"nowhere"}', b"-ERR invalid target for mutation command\r\n"),
    ],
)
def test_what_promises_nothing_does_not_wait(line: str, reply: bytes) -> None:
    harness, peer = prepared()
    other = harness.connect()
    assert other.ask("PUSH " + job("pushed-01")) == b"", "somebody's sync is under way"
    assert reply in peer.ask(line)
    assert other.take() == b""


def test_replies_of_one_connection_never_overtake() -> None:
    harness, peer = prepared()
    assert peer.ask("PUSH " + job("pushed-01")) == b""
    assert peer.ask('BEAT {"wid":"worker-1"}') == b"", "it stands behind a reply that is held"
    assert peer.ask("NONSENSE") == b""
    assert peer.ask("PUSH " + job("pushed-02")) == b""
    assert peer.ask("NONSENSE2") == b""
    harness.finish_sync()
    first = peer.take()
    harness.settle()
    assert first == OK + OK + b"-ERR unknown command NONSENSE\r\n", "what was committed when the sync began"
    harness.finish_sync()
    harness.settle()
    assert peer.take() == OK + b"-ERR unknown command NONSENSE2\r\n"


def test_all_turns_during_a_sync_share_the_next_one() -> None:
    harness = Harness()
    peers = [harness.connect() for _ in range(5)]
    harness.hold_syncs = True
    syncs = harness.store.syncs
    for number, peer in enumerate(peers):
        assert peer.ask("PUSH " + job(f"abcdefg{number}")) == b""
    harness.finish_sync()
    harness.settle()
    assert [peer.take() for peer in peers] == [OK, b"", b"", b"", b""]
    harness.finish_sync()
    harness.settle()
    assert [peer.take() for peer in peers] == [b"", OK, OK, OK, OK]
    assert harness.store.syncs == syncs + 2
    assert harness.pending_sync is None, "nothing is left that a third would be for"


def test_commands_that_arrive_together_are_one_commit_and_one_write() -> None:
    written: list[bytes] = []

    class Recorder(Peer):
        def write(self, data: bytes) -> None:
            written.append(data)

    harness = Harness()
    peer = Recorder(harness)
    peer.session = harness.server.accept(peer)
    peer.send(b'HELLO {"v":2}\r\n')
    written.clear()
    commits, syncs = harness.store.commits, harness.store.syncs
    lines = [f"PUSH {job(f'abcdefg{number}')}\r\n" for number in range(5)] + ["INFO\r\n", "FETCH default\r\n", "X\r\n"]
    peer.send("".join(lines).encode())
    assert len(written) == 1
    assert written[0].startswith(OK * 5 + b"$")
    assert written[0].endswith(b"-ERR unknown command X\r\n")
    assert (harness.store.commits, harness.store.syncs) == (commits + 1, syncs + 1)


def test_a_connection_that_ends_gets_its_held_replies_first() -> None:
    harness, peer = prepared()
    peer.send(f"PUSH {job('pushed-01')}\r\nEND\r\nPUSH {job('pushed-02')}\r\n".encode())
    assert (peer.take(), peer.closed) == (b"", False)
    peer.send(f"PUSH {job('pushed-03')}\r\n".encode())
    harness.finish_sync()
    harness.settle()
    assert (peer.take(), peer.closed) == (OK, True)
    harness.hold_syncs = False
    assert harness.connect().ask_json("INFO")["faktory"]["queues"]["default"] == 7, "nothing after END was done"


def test_a_job_whose_reply_was_held_returns_when_the_connection_breaks() -> None:
    harness, peer = prepared()
    peer.send(f"PUSH {job('pushed-01')}\r\nFETCH default\r\n".encode())
    assert peer.take() == b""
    peer.leave()
    harness.hold_syncs = False
    harness.settle()
    other = harness.connect()
    assert other.ask_json("FETCH default")["jid"] == "ready-002", "at the head, where it was"
    check_store(harness.store)
    check_memory(harness.server.engine)


def test_a_job_for_a_waiter_that_breaks_off_in_the_same_turn_goes_to_the_next() -> None:
    harness = Harness()
    first, second, producer = harness.connect(), harness.connect(), harness.connect()
    assert first.ask("FETCH default") == b""
    assert second.ask("FETCH default") == b""
    assert producer.session is not None
    producer.session.receive(f"PUSH {job('abcdefgh')}\r\n".encode())
    first.close()
    harness.settle()
    assert b"abcdefgh" in second.take()
    assert producer.take() == OK
    check_store(harness.store)


def test_a_fetch_waits_for_its_own_connections_push_only() -> None:
    harness, peer = prepared()
    peer.send(f"PUSH {job('pushed-01')}\r\nFETCH default\r\n".encode())
    other = harness.connect()
    assert b"ready-003" in other.ask("FETCH default")
    assert peer.take() == b""


class Unsynced:
    """The modes in which a reply promises that the process has written, and no more."""

    def harness(self, mode: SyncMode) -> tuple[Harness, Peer]:
        harness = Harness(settings=ServerSettings(sync=mode, sync_interval_ms=100))
        harness.hold_syncs = True
        return harness, harness.connect()


class TestInterval(Unsynced):
    def test_replies_do_not_wait_and_syncs_come_at_intervals(self) -> None:
        harness, peer = self.harness(SyncMode.INTERVAL)
        assert peer.ask("PUSH " + job("abcdefg1")) == OK
        assert harness.pending_sync is None
        harness.advance(0.05)
        assert peer.ask("PUSH " + job("abcdefg2")) == OK
        assert harness.pending_sync is None
        harness.advance(0.05)
        assert harness.pending_sync is not None
        harness.finish_sync()
        assert harness.store.unsynced == 0

    def test_what_was_written_during_a_slow_sync_is_synced_too(self) -> None:
        harness, peer = self.harness(SyncMode.INTERVAL)
        assert peer.ask("PUSH " + job("abcdefg1")) == OK
        harness.advance(0.1)
        assert harness.pending_sync is not None
        assert peer.ask("PUSH " + job("abcdefg2")) == OK
        harness.advance(0.3)
        harness.finish_sync()
        harness.hold_syncs = False
        harness.advance(0.2)
        assert harness.store.unsynced == 0, "nothing more is written, so nothing else would sync it"

    def test_no_sync_without_a_write(self) -> None:
        harness, peer = self.harness(SyncMode.INTERVAL)
        harness.hold_syncs = False
        assert peer.ask("PUSH " + job("abcdefg1")) == OK
        harness.advance(1)
        syncs = harness.store.syncs
        peer.ask("INFO")
        harness.advance(5)
        assert harness.store.syncs == syncs


class TestNever(Unsynced):
    def test_replies_do_not_wait_and_nothing_is_synced(self) -> None:
        harness, peer = self.harness(SyncMode.NEVER)
        assert peer.ask("PUSH " + job("abcdefg1")) == OK
        harness.advance(5)
        assert harness.pending_sync is None
        assert harness.store.unsynced == len(harness.store.log) > 0
