"""The meter: how often each verb was said, and how long it takes.

Each command costs a count; every SAMPLE-th of a verb, the first among them, is timed as well. What is timed is the
command itself: parsing and the engine's work, neither the turn's commit nor the sync that its reply may wait for, which
have histograms of their own.
"""

import time
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from lineshaft.store.timing import Durations

if TYPE_CHECKING:
    from lineshaft.server.session import Session

__all__ = ["MASK", "SAMPLE", "Meter"]

Command = Callable[["Session", bytes], bytes | None]

#: A power of two, since the hot path tests a bit mask.
SAMPLE: Final = 64
MASK: Final = SAMPLE - 1


class Meter(defaultdict[bytes, int]):
    """The counts of the verbs, and how long they take; only those that there are come in, so it is bounded."""

    def __init__(self) -> None:
        super().__init__(int)
        self.durations: dict[bytes, Durations] = defaultdict(Durations)

    def total(self) -> int:
        """How many commands were carried out, or refused for what they asked."""
        return sum(self.values())

    def timed(self, verb: bytes, command: Command) -> Command:
        """The same command, noting how long it takes, also when it is refused."""

        def carry_out(session: "Session", argument: bytes) -> bytes | None:
            began = time.perf_counter()
            try:
                return command(session, argument)
            finally:
                self.durations[verb].add(time.perf_counter() - began)

        return carry_out
