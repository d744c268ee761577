"""What is fuzzed: each target takes any bytes and holds an invariant, which stands on its first line.

They need no fuzzer: `test_fuzz` gives them the corpus and bytes made from it by chance; `make fuzz` gives them whatever
atheris finds to reach new code.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fuzz.stock import AFTER, NOW, RULES, SCRIPT, damages, note, stock, stocked
from harness import Harness
from invariants import check_memory, check_store, rows_of
from lineshaft.config.load import Flags, load_config
from lineshaft.engine.check.check import check
from lineshaft.engine.engine import Engine
from lineshaft.errors import ConfigError, PeerError, StoreCorrupt
from lineshaft.protocol.framing import LineBuffer
from lineshaft.protocol.resp import ReplyParser
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.memory import MemoryStore

__all__ = ["MADE", "TARGETS"]


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
    harness = Harness(rules=RULES, now=NOW)
    peer = stocked(harness)
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
    rows = dict(stock())
    names = sorted(rows)
    name = names[int.from_bytes(data[:2]) % len(names)]
    rows[name] = data[2:]
    list(check(MemoryStore(rows)))
    said = ""
    try:
        Engine(FaultyStore(rows), RULES, lambda: 0.5, AFTER)
    except StoreCorrupt as error:
        said = str(error)
    if said:
        assert "lineshaft check" in said or "format" in said, said
        return
    harness = Harness(rules=RULES, store=FaultyStore(rows), now=AFTER)
    peer = harness.worker("worker-2")
    for line in SCRIPT:
        received = peer.ask(line)
        harness.advance(0.1)
        received += peer.take()
        assert b"internal error" not in received, (name, line, received[:300])
    # The pages, and what time brings, meet the row as well.
    note(harness)
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

MADE: dict[str, Callable[[], list[bytes]]] = {"records": damages}
"""What belongs to the corpus of a target beside its files, since it follows the code."""


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
