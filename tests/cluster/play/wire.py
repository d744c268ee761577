"""The wire between a node and the log: what is asked comes late, out of order, twice, or not at all.

```
node ──ask──> [lost | late] ──> the log carries it out ──> [lost] ──> answer
   └── no answer in time: the node is told that nobody knows, and the request may yet arrive
```

A request that was lost on its way may arrive long after its node gave up on it, or died. Whoever follows the log is
told of entries in order, since that is what a connection does; a wire that is cut tells nothing until it is mended.

The wire also plays a newer version of the record: what a node of the newer version writes says so, and only nodes of
that version can read it. The older ones stop at it, as they must, and come again upgraded.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lineshaft.cluster.memory_log import MemoryBoard, MemoryBoardLink, MemoryLink, MemoryLog, Request
from lineshaft.cluster.port import Heard, Outcome
from lineshaft.cluster.record import VERSION
from simulation.world import SECOND

if TYPE_CHECKING:
    from cluster.play.machine import Machine

__all__ = ["BoardWire", "LogWire", "TrueBoard", "TrueLog", "Wire", "older"]

#: How long a node waits for the answer to an append, and to anything else.
APPEND_TIME = 3 * SECOND // 2
API_TIME = 3 * SECOND
#: A request that was lost arrives within this, if it does.
LATEST = 30 * SECOND
#: How long a wire that was cut may take to tell of the log again.
SILENCE = SECOND


class TrueLog(MemoryLog):
    """The log, which tells of every entry the moment it stands."""

    def __init__(self, stands: Callable[[int, bytes], None]) -> None:
        super().__init__()
        self._stands = stands
        #: It has no leader of its own: whatever arrives is dropped.
        self.is_headless = False

    def append(self, data: bytes, expected: int, identity: str) -> Outcome:
        """As `MemoryLog.append`."""
        before = self.last
        outcome = super().append(data, expected, identity)
        if self.last != before:
            self._stands(self.last, data)
        return outcome


def newer(data: bytes) -> bytes:
    """A record as the newer version would write it."""
    return data[:3] + bytes([VERSION + 1]) + data[4:]


def older(data: bytes) -> bytes:
    """A record of either version, as this version would have written it."""
    return data[:3] + bytes([VERSION]) + data[4:]


class TrueBoard(MemoryBoard):
    """The board."""

    def __init__(self) -> None:
        super().__init__()
        #: As the log's.
        self.is_headless = False


class Wire:
    """How what one node asks fares."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.world = machine.world
        #: Nothing arrives, in either direction.
        self.is_cut = False
        #: What is asked arrives, and no answer comes back.
        self.is_deaf = False
        #: The share of requests that are lost, or whose answers are.
        self.loss = 0.0
        #: How long a message takes at most, in microseconds.
        self.latency = 2_000

    def delay(self) -> int:
        """How long one message takes."""
        return self.world.chance.randint(1, self.latency)

    def carry(self, request: Request, to: TrueLog | TrueBoard, patience: int) -> None:
        """Bring a request there, and its answer back, as chance has it."""
        chance, machine = self.world.chance, self.machine
        out = self.delay()
        if self.is_cut or chance.random() < self.loss:
            self.world.count("requests lost")
            if chance.random() < 0.7:
                self.world.late.append(request)
                self.world.later(chance.randint(out, LATEST), request.arrive)
        elif not to.is_headless:
            self.world.later(out, request.arrive)
            if not self.is_deaf and chance.random() >= self.loss:
                machine.later(out + self.delay(), lambda: self._answer(request))
        machine.later(patience, request.time_out)

    def _answer(self, request: Request) -> None:
        if not self.is_cut and not self.is_deaf and request.has_arrived:
            request.answer()


class LogWire(MemoryLink):
    """One node's way to the log."""

    def __init__(self, wire: Wire, limit_bytes: int) -> None:
        super().__init__(wire.world.log, limit_bytes)
        self.wire = wire
        self.is_newer = wire.machine.is_newer
        self._is_coming = False

    def _ask(self, perform: Callable[[], Any], done: Callable[[Any], None], unknown: Any) -> None:
        patience = API_TIME if unknown is None else APPEND_TIME
        self.wire.carry(Request(perform, done, unknown), self.wire.world.log, patience)

    def append(self, data: bytes, *, expected: int, identity: str, done: Callable[[Outcome], None]) -> None:
        """As `Log.append`."""
        written = newer(data) if self.is_newer else data
        super().append(written, expected=expected, identity=identity, done=done)

    def read(self, first: int, done: Callable[[list[bytes] | None], None]) -> None:
        """As `Log.read`."""

        def read(entries: list[bytes] | None) -> None:
            done([older(one) for one in entries] if entries is not None and self.is_newer else entries)

        super().read(first, read)

    def follow(self, after: int, heard: Heard) -> Any:
        """As `Log.follow`."""

        def tell(sequence: int, data: bytes, more: bool) -> None:
            heard(sequence, older(data) if self.is_newer else data, more)

        reader = super().follow(after, tell)
        self.news()
        return reader

    def news(self) -> None:
        """There may be entries to tell of."""
        if not self._is_coming:
            self._is_coming = True
            self.wire.machine.later(self.wire.delay(), self._tell)

    def _tell(self) -> None:
        self._is_coming = False
        if self.wire.is_cut or self.wire.is_deaf or self.wire.world.log.is_headless:
            self._is_coming = True
            self.wire.machine.later(SILENCE, self._tell)
            return
        for reader in list(self.readers):
            reader.deliver()


class BoardWire(MemoryBoardLink):
    """One node's way to the board."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire.world.board)
        self.wire = wire

    def _ask(self, perform: Callable[[], Any], done: Callable[[Any], None], unknown: Any) -> None:
        self.wire.carry(Request(perform, done, unknown), self.wire.world.board, API_TIME)
