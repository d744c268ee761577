"""How long something takes: counts by duration, as a histogram is drawn from them."""

from bisect import bisect_left
from typing import Final

__all__ = ["BOUNDS_SECONDS", "Durations"]

#: The upper bounds of the classes: a tenth of a millisecond to ten seconds.
BOUNDS_SECONDS: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
)

SHORTEST: Final = BOUNDS_SECONDS[0]


class Durations:
    """Counts of durations by class; the last class has no upper bound."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """It took so long."""
        # Most commits are in the first class; this is called in every turn.
        self.counts[0 if seconds <= SHORTEST else bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.seconds += seconds

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)

    def at_most(self, share: float) -> float:
        """The bound below which so large a share of them lies, in seconds; 0 when there are none."""
        wanted, seen = share * self.count, 0
        for bound, count in zip((*BOUNDS_SECONDS, BOUNDS_SECONDS[-1]), self.counts, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return 0.0
