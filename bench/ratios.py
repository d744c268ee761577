"""From the measures of a bench run to its verdict.

Absolute speeds of different days or machines cannot be compared; the ratio to a yardstick, measured
in the same minute on the same machine, can. So the verdict looks at one number per load: the median,
over the rounds, of the server's jobs per second divided by the yardstick's in that same round. That is
the reference, or for jobs that ask for a feature the same server with plain jobs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from jobload import Load, Measure

__all__ = ["TARGET_WITHOUT_INDEX", "Ratio", "Series", "compare", "medians_table", "ratios_table"]

#: Without the index the server does nearly the reference's work: nearly its speed is asked for, everywhere.
TARGET_WITHOUT_INDEX = 0.8


@dataclass(frozen=True)
class Series:
    """The rounds of one contestant under one load and sync mode, in order."""

    load: Load
    sync: str
    contestant: str
    #: None for the reference.
    jid_index: bool | None
    rounds: Sequence[Measure]


@dataclass(frozen=True)
class Ratio:
    """How a server compares with its yardstick under one load and sync mode."""

    load: str
    sync: str
    jid_index: bool
    median: float
    least: float
    most: float
    target: float

    @property
    def is_met(self) -> bool:
        """Whether the median reaches the target."""
        return self.median >= self.target


def compare(subject: Series, yardstick: Series) -> Ratio:
    """Divide round by round. Both series must be of the same sync mode, number of rounds, and load or its plain one."""
    load = subject.load
    assert (load.plain or load, subject.sync) == (yardstick.load, yardstick.sync), "two different loads compared"
    index = subject.jid_index is not False
    ratios = [
        ours.jobs_per_second / theirs.jobs_per_second
        for ours, theirs in zip(subject.rounds, yardstick.rounds, strict=True)
    ]
    return Ratio(
        load=load.name,
        sync=subject.sync,
        jid_index=index,
        median=median(ratios),
        least=min(ratios),
        most=max(ratios),
        target=load.target if index or load.plain else TARGET_WITHOUT_INDEX,
    )


def ratios_table(ratios: Iterable[Ratio]) -> str:
    """One line per ratio, with its verdict."""
    head = f"{'sync':<7} {'load':<26} {'index':<5} {'ratio':>6}  {'min .. max':<14} {'target':>6}"
    return "\n".join([head, *map(_ratio_line, ratios)])


def medians_table(series: Iterable[Series]) -> str:
    """One line per contestant, load and sync mode; each number is the median of its rounds."""
    lines = [
        f"{'sync':<7} {'load':<26} {'server':<20} {'jobs/s':>9} {'RSS MB':>7} {'CPU s/100k':>10}"
        "   p50/p99 in microseconds"
    ]
    for one in series:
        rate = median(measure.jobs_per_second for measure in one.rounds)
        rss = median(measure.rss_mb for measure in one.rounds)
        cpu = median(measure.cpu_seconds_per_100k_jobs for measure in one.rounds)
        lines.append(
            f"{one.sync:<7} {one.load.name:<26} {one.contestant:<20} {rate:>9,.0f} {rss:>7.0f} {cpu:>10.2f}"
            f"   {_latencies(one)}"
        )
    return "\n".join(lines)


def _ratio_line(ratio: Ratio) -> str:
    index = "on" if ratio.jid_index else "off"
    extremes = f"{ratio.least:.2f} .. {ratio.most:.2f}"
    verdict = "ok" if ratio.is_met else "MISSED"
    return (
        f"{ratio.sync:<7} {ratio.load:<26} {index:<5} {ratio.median:>6.2f}  "
        f"{extremes:<14} {ratio.target:>6.2f}  {verdict}"
    )


def _latencies(series: Series) -> str:
    texts = []
    for verb in series.rounds[0].latency_us:
        p50, p99 = (median(measure.latency_us[verb][i] for measure in series.rounds) for i in (0, 1))
        texts.append(f"{verb} {p50:.0f}/{p99:.0f}")
    return "  ".join(texts)
