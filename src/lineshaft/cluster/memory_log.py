"""The log in memory: JetStream's rules without its servers, for tests and the simulation.

```
MemoryLink.append ─> Request ──arrive──> MemoryLog ──answer──> done(outcome)
                        │ may never arrive, or late      │ may never come: `time_out`, and done(UNKNOWN)
```

A link is one node's way to the log. What it is asked becomes a `Request`, which whoever drives the test carries: it
arrives or not, is answered or not, in any order; a request that timed out may still arrive. `settle` carries all.

What is true after every call: the log has each identity once (as long as it remembers it), every entry was appended
at the end that its request expected, and what was answered is what happened.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lineshaft.cluster.port import Bounds, Failure, Heard, Outcome

__all__ = ["MemoryBoard", "MemoryBoardLink", "MemoryLink", "MemoryLog", "Request"]


class MemoryLog:
    """The log itself."""

    def __init__(self, log_id: str = "log-1") -> None:
        self.log_id = log_id
        self.first = 1
        self.entries: list[bytes] = []
        #: Identity to sequence. JetStream forgets them after two minutes; `forget_identities` plays that.
        self.identities: dict[str, int] = {}

    @property
    def last(self) -> int:
        """The sequence of the last entry."""
        return self.first + len(self.entries) - 1

    def append(self, data: bytes, expected: int, identity: str) -> Outcome:
        """As JetStream does it: a known identity is answered with its entry, then the expectation is checked."""
        known = self.identities.get(identity)
        if known is not None:
            return known
        if expected != self.last:
            return Failure.REFUSED
        self.entries.append(data)
        self.identities[identity] = self.last
        return self.last

    def read(self, first: int) -> list[bytes] | None:
        """Every entry from `first` on; None when some of them were purged."""
        return self.entries[first - self.first :] if first >= self.first else None

    def purge(self, up_to: int) -> bool:
        """Forget all entries up to this one."""
        gone = max(min(up_to, self.last) - self.first + 1, 0)
        del self.entries[:gone]
        self.first += gone
        return True

    def bounds(self) -> Bounds:
        """Where it begins and ends."""
        return Bounds(self.first, self.last, self.log_id, sum(map(len, self.entries)))

    def forget_identities(self) -> None:
        """The time in which repeats are recognised is over."""
        self.identities.clear()


class Request:
    """What a node has asked of the log, on its way there or back."""

    def __init__(self, perform: Callable[[], Any], done: Callable[[Any], None], unknown: Any) -> None:
        self._perform = perform
        self._done = done
        self._unknown = unknown
        self._outcome: Any = None
        self.has_arrived = False
        self.is_answered = False

    def arrive(self) -> None:
        """It reaches the log, which carries it out, once."""
        if not self.has_arrived:
            self.has_arrived = True
            self._outcome = self._perform()

    def answer(self) -> None:
        """The answer reaches the node, unless that has given up waiting."""
        assert self.has_arrived
        self._finish(self._outcome)

    def time_out(self) -> None:
        """The node gives up waiting; the request may still arrive."""
        self._finish(self._unknown)

    def _finish(self, outcome: Any) -> None:
        if not self.is_answered:
            self.is_answered = True
            self._done(outcome)


class Reader:
    """A node that follows the log."""

    def __init__(self, log: MemoryLog, after: int, heard: Heard) -> None:
        self._log = log
        self._next = after + 1
        self._heard = heard
        self.is_stopped = False

    def stop(self) -> None:
        """Tell no more."""
        self.is_stopped = True

    def deliver(self, limit: int = 1 << 62) -> bool:
        """Tell of the next entries; whether there were any."""
        told = False
        self._next = max(self._next, self._log.first)
        while not self.is_stopped and limit > 0 and self._next <= self._log.last:
            limit -= 1
            self._next += 1
            told = True
            entry = self._log.entries[self._next - 1 - self._log.first]
            self._heard(self._next - 1, entry, self._next <= self._log.last)
        return told


class Link:
    """One node's way to something: the requests that it has out there."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def _ask(self, perform: Callable[[], Any], done: Callable[[Any], None], unknown: Any) -> None:
        self.requests.append(Request(perform, done, unknown))


class MemoryLink(Link):
    """One node's way to the log: a `Log` whose requests the test carries."""

    def __init__(self, log: MemoryLog, limit_bytes: int = 1 << 20) -> None:
        super().__init__()
        self.log = log
        self.limit_bytes = limit_bytes
        self.readers: list[Reader] = []

    def append(self, data: bytes, *, expected: int, identity: str, done: Callable[[Outcome], None]) -> None:
        """As `Log.append`."""
        assert len(data) <= self.limit_bytes, "larger than an entry may be"
        self._ask(lambda: self.log.append(data, expected, identity), done, Failure.UNKNOWN)

    def read(self, first: int, done: Callable[[list[bytes] | None], None]) -> None:
        """As `Log.read`."""
        self._ask(lambda: self.log.read(first), done, None)

    def follow(self, after: int, heard: Heard) -> Reader:
        """As `Log.follow`; its `deliver` tells of the entries."""
        reader = Reader(self.log, after, heard)
        self.readers = [one for one in self.readers if not one.is_stopped] + [reader]
        return reader

    def bounds(self, done: Callable[[Bounds | None], None]) -> None:
        """As `Log.bounds`."""
        self._ask(self.log.bounds, done, None)

    def purge(self, up_to: int, done: Callable[[bool | None], None]) -> None:
        """As `Log.purge`."""
        self._ask(lambda: self.log.purge(up_to), done, None)

    def settle(self) -> None:
        """Carry every request and answer, and tell every reader, until nothing is left."""
        while True:
            if self.requests:
                request = self.requests.pop(0)
                request.arrive()
                request.answer()
            elif not any(reader.deliver() for reader in self.readers):
                return


class MemoryBoard:
    """The board itself: name to notice."""

    def __init__(self) -> None:
        self.notices: dict[str, bytes] = {}

    def post(self, name: str, notice: bytes) -> bool:
        """Put a notice up."""
        self.notices[name] = notice
        return True


class MemoryBoardLink(Link):
    """One node's way to the board."""

    def __init__(self, board: MemoryBoard) -> None:
        super().__init__()
        self.board = board

    def post(self, name: str, notice: bytes, done: Callable[[bool | None], None]) -> None:
        """As `Board.post`."""
        self._ask(lambda: self.board.post(name, notice), done, None)

    def notices(self, done: Callable[[Mapping[str, bytes] | None], None]) -> None:
        """As `Board.notices`."""
        self._ask(lambda: dict(self.board.notices), done, None)
