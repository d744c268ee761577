"""The ports of the cluster: the log, which is the truth, and the board, which only tells when to look.

    append(data, expected=, identity=)   one entry, if the log ends at `expected` just then
    read(first)                          every entry from there to the log's end
    follow(after)                        every later entry, as it comes
    bounds()                             the first and the last entry, and which log it is
    purge(up_to)                         forget what snapshots have

What is asked is answered by a call of `done`, once, some time later: the cluster's rules are synchronous objects, and a
simulation can carry requests and answers as late, as seldom and in such an order as it likes. None, or `UNKNOWN`, says
that nobody knows: the request may have been carried out, or may yet be.

Adapters: `jetstream` (NATS), `memory_log` (tests and the simulation).
"""

from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Protocol

from msgspec import Struct

__all__ = ["Board", "Bounds", "Failure", "Following", "Heard", "Log", "Outcome"]


class Failure(Enum):
    """Why an append did not succeed."""

    REFUSED = auto()  #: the log ends elsewhere; this request has appended nothing
    UNKNOWN = auto()  #: no answer came: it may be in the log, now or later


Outcome = int | Failure
"""Of an append: the sequence of the entry, or why there is none."""

Heard = Callable[[int, bytes, bool], None]
"""Is told of each entry: its sequence, its data, and whether more are there already."""


class Bounds(Struct, frozen=True):
    """What there is of the log; it is empty when `last` is less than `first`."""

    first: int
    last: int
    log_id: str  #: tells this log from one of the same name that was made anew
    size_bytes: int = 0


class Following(Protocol):
    """A reader that is told of every entry."""

    def stop(self) -> None:
        """Tell no more."""
        ...


class Log(Protocol):
    """The replicated log: entries numbered from 1, in one order that all nodes see."""

    #: How large an entry's data may be.
    limit_bytes: int

    def append(self, data: bytes, *, expected: int, identity: str, done: Callable[[Outcome], None]) -> None:
        """Append an entry if the last one is `expected` then; the same `identity` is appended once only."""
        ...

    def read(self, first: int, done: Callable[[list[bytes] | None], None]) -> None:
        """Every entry from `first` to the end; a prefix of that when the end moves meanwhile."""
        ...

    def follow(self, after: int, heard: Heard) -> Following:
        """Tell of every entry behind `after`, in order and without gaps, unless they were purged."""
        ...

    def bounds(self, done: Callable[[Bounds | None], None]) -> None:
        """Where the log begins and ends."""
        ...

    def purge(self, up_to: int, done: Callable[[bool | None], None]) -> None:
        """Forget all entries up to this one, and it too."""
        ...


class Board(Protocol):
    """Short notices by name, of which each replaces the one before."""

    def post(self, name: str, notice: bytes, done: Callable[[bool | None], None]) -> None:
        """Put a notice up."""
        ...

    def notices(self, done: Callable[[Mapping[str, bytes] | None], None]) -> None:
        """All notices."""
        ...
