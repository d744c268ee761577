"""What is fuzzed: each target takes any bytes and holds an invariant, which stands on its first line.

They need no fuzzer: `test_fuzz` gives them the corpus and bytes made from it by chance; `make fuzz` gives them whatever
atheris finds to reach new code.
"""

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.config.load import Flags, load_config
from lineshaft.engine.check.check import check
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.errors import ConfigError, PeerError, StoreCorrupt
from lineshaft.protocol.framing import LineBuffer
from lineshaft.protocol.resp import ReplyParser
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.memory import MemoryStore

__all__ = ["TARGETS"]

NOW = 1_764_000_000_000


def framing(data: bytes) -> None:
    """Invariant: however bytes are cut, the lines are the same; none is longer than the limit, and none holds an LF."""
    limit = 64
    whole, cut = LineBuffer(limit), LineBuffer(limit)
    lines = whole.feed(data)
    pieces: list[bytes] = []
    for index in range(len(data)):
        pieces += cut.feed(data[index : index + 1])
    assert lines == pieces
    assert whole.overflowed == cut.overflowed
    assert whole.pending_bytes == cut.pending_bytes <= limit + 1
    assert all(len(line) <= limit and b"\n" not in line for line in lines)
    assert whole.close() == cut.close()


def replies(data: bytes) -> None:
    """Invariant: however replies are cut, a client reads the same, or meets the same error of its peer."""

    def read(pieces: list[bytes]) -> tuple[list[object], bool]:
        parser, found = ReplyParser(1000), list[object]()
        with suppress(PeerError):
            for piece in pieces:
                found += parser.feed(piece)
        return found, parser.failure is not None

    assert read([data]) == read([data[index : index + 1] for index in range(len(data))])


def commands(data: bytes) -> None:
    """Invariant: every line has one reply or closes the connection; none is an internal error; every law holds."""
    harness = Harness()
    peer = _stocked(harness)
    peer.take()
    peer.send(data + b"\r\n")
    for _ in range(200):
        harness.advance(2)
        if peer.closed or (peer.session is not None and not peer.session.blocked):
            break
    received = peer.take()
    assert b"internal error" not in received, received[:2000]
    found = _count(received)
    lines = (data + b"\r\n").count(b"\n")
    assert found == lines or peer.closed, (found, lines)
    harness.advance(1)
    check_store(harness.store)
    check_memory(harness.server.engine)
    assert not list(check(MemoryStore(rows_of(harness.store))))
    other = harness.connect()
    assert other.ask('PUSH {"jid":"afterwards","jobtype":"T","args":[],"queue":"quiet"}') == b"+OK\r\n"


def config(data: bytes) -> None:
    """Invariant: a configuration is read, or refused by one line that names the file."""
    with tempfile.TemporaryDirectory() as root:
        directory = Path(root) / "config" / "conf.d"
        directory.mkdir(parents=True)
        (directory / "fuzzed.toml").write_bytes(data)
        flags = Flags(config=str(directory.parent), data=str(Path(root) / "data"))
        said = ""
        try:
            load_config(flags, {"HOME": root}, root=Path(root))
        except ConfigError as error:
            said = str(error)
        assert "\n" not in said, said


def records(data: bytes) -> None:
    """Invariant: a damaged row is named or set aside; the start says so, or the server works for everybody else."""
    rows = dict(_stock())
    names = sorted(rows)
    name = names[int.from_bytes(data[:2]) % len(names)]
    rows[name] = data[2:]
    list(check(MemoryStore(rows)))
    said = ""
    try:
        Engine(FaultyStore(rows), Settings(), lambda: 0.5, NOW)
    except StoreCorrupt as error:
        said = str(error)
    if said:
        assert "lineshaft check" in said or "format" in said, said
        return
    harness = Harness(store=FaultyStore(rows), now=NOW)
    peer = harness.worker("worker-2")
    for line in _SCRIPT:
        received = peer.ask(line)
        harness.advance(0.1)
        received += peer.take()
        assert b"internal error" not in received, (name, line, received[:300])
    # What time brings meets the row as well.
    harness.advance(7200)
    peer = harness.connect()
    assert peer.ask('PUSH {"jid":"afterwards","jobtype":"T","args":[],"queue":"quiet"}') == b"+OK\r\n", name
    assert b"afterwards" in peer.ask("FETCH quiet"), name
    list(check(MemoryStore(rows_of(harness.store))))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "framing": framing,
    "replies": replies,
    "commands": commands,
    "config": config,
    "records": records,
}
"""Every target."""

_SCRIPT = [
    "INFO",
    "FETCH a b c default calls",
    "FETCH a b c default calls",
    "FETCH a b c default calls",
    "FETCH a b c default calls",
    'ACK {"jid":"held-0001"}',
    'FAIL {"jid":"held-0002","errtype":"E"}',
    'CANCEL {"jid":"later-001"}',
    'CANCEL {"jid":"ready-001"}',
    "TRACK GET track-001",
    "QUEUE LATENCY a b c default",
    'MUTATE {"cmd":"requeue","target":"retries"}',
    'MUTATE {"cmd":"kill","target":"scheduled"}',
    "BATCH STATUS b-unknown",
    'PUSH {"jid":"alike-002","jobtype":"T","args":[1],"queue":"a","custom":{"unique_for":60}}',
    "QUEUE REMOVE b",
]


def _stocked(harness: Harness) -> Peer:
    """A server in which every kind of row exists; the peer is a worker."""
    peer = harness.worker("worker-1")
    bid = peer.ask('BATCH NEW {"success":{"jobtype":"C","args":[],"queue":"calls"},"death":{"jobtype":"C","args":[]}}')
    custom = {"bid": bid.split(b"\r\n")[1].decode()}
    jobs: list[dict[str, object]] = [
        {"jid": "held-0001", "queue": "a"},
        {"jid": "held-0002", "queue": "a", "custom": {"track": 1, "unique_for": 600, "expires_in": 6000}},
        {"jid": "tries-001", "queue": "a"},
        {"jid": "deads-001", "queue": "a", "retry": -1, "custom": custom},
        {"jid": "ready-001", "queue": "b", "priority": 7, "custom": custom},
        {"jid": "ready-002", "queue": "default", "custom": {"expires_in": 300, "track": 1}},
        {"jid": "later-001", "queue": "b", "at": "2025-11-24T17:00:00Z"},
        {"jid": "alike-001", "queue": "a", "args": [1], "custom": {"unique_for": 600}},
    ]
    for job in jobs:
        assert peer.ask("PUSH " + json.dumps({"jobtype": "T", "args": [], **job})) == b"+OK\r\n"
    for _ in range(4):
        assert peer.ask("FETCH a").startswith(b"$")
    assert peer.ask('FAIL {"jid":"tries-001","errtype":"E","message":"m"}') == b"+OK\r\n"
    assert peer.ask('FAIL {"jid":"deads-001","errtype":"E","message":"m"}') == b"+OK\r\n"
    assert peer.ask('CANCEL {"jid":"held-0002"}') == b"+OK\r\n"
    harness.advance(0.01)
    return peer


@cache
def _stock() -> dict[bytes, bytes]:
    harness = Harness()
    _stocked(harness)
    return rows_of(harness.store)


def _count(received: bytes) -> int:
    count = 0
    while received:
        head, end, received = received.partition(b"\r\n")
        assert end, head
        assert head[:1] in {b"+", b"-", b"$", b":"}, head
        if head[:1] == b"$" and head != b"$-1":
            received = received[int(head[1:]) + 2 :]
        count += 1
    return count
