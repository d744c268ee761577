"""Flat or not: the rule by which a soak is judged.

The first quarter of the samples is left out: caches fill, and what is kept for a time comes to its full size. Through
the rest goes the line of Theil and Sen, whose slope is the median of the slopes between all pairs of samples, so that
single peaks (another program on the machine, a compaction) do not tilt it. Its slope times the length of that stretch
is the *growth*, and a series is flat while its growth is at most the larger of a share of its median and a floor, below
which a change means nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["RULES", "Rule", "Verdict", "judge"]

#: Of more samples than this every second one, or third one, is looked at: pairs grow with the square.
MOST_SAMPLES = 400


@dataclass(frozen=True)
class Rule:
    """How much a series may grow."""

    series: str
    unit: str
    share: float  #: of its median
    floor: float  #: in its unit


@dataclass(frozen=True)
class Verdict:
    """What was found of one series."""

    rule: Rule
    median: float
    growth: float
    allowed: float

    @property
    def is_flat(self) -> bool:
        """Whether it did not grow more than it may. Falling is no fault."""
        return self.growth <= self.allowed

    def line(self) -> str:
        """For the report."""
        word = "flat" if self.is_flat else "GROWS"
        unit = self.rule.unit
        return (
            f"{self.rule.series:<18} median {self.median:10.2f} {unit:<5} growth {self.growth:+9.3f} {unit:<5}"
            f" allowed {self.allowed:8.3f}   {word}"
        )


RULES = (
    Rule("memory", "MB", 0.05, 5.0),
    Rule("files", "", 0.05, 4.0),
    Rule("threads", "", 0.0, 1.0),
    Rule("backlog", "jobs", 0.25, 200.0),
    Rule("push_p50", "ms", 0.5, 1.0),
    Rule("push_p99", "ms", 1.0, 10.0),
)


def judge(times: Sequence[float], values: Sequence[float], rule: Rule) -> Verdict:
    """Hold a series against its rule; times in seconds, the earliest first, four samples at least."""
    first = len(times) // 4
    step = -(-len(times) // MOST_SAMPLES)
    kept_times, kept = times[first::step], values[first::step]
    growth = _slope(kept_times, kept) * (kept_times[-1] - kept_times[0])
    middle = median(kept)
    return Verdict(rule, middle, growth, max(rule.share * middle, rule.floor))


def _slope(times: Sequence[float], values: Sequence[float]) -> float:
    pairs = (
        (values[later] - values[earlier]) / (times[later] - times[earlier])
        for earlier in range(len(times))
        for later in range(earlier + 1, len(times))
    )
    return median(pairs)
