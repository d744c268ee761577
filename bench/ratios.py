"""From the measures of a bench run to its verdict.

Absolute speeds of different days or machines cannot be compared; the ratio to a yardstick, measured
in the same minute on the same machine, can. So the verdict looks at one number per load: the median,
over the rounds, of the server's jobs per second divided by the yardstick's in that same round. That is
the reference, beanstalkd, or for jobs that ask for a feature the same server with plain jobs. In an
open loop the speed is given, and the verdict is the longest p99 of its verbs. The workers of libraries are judged round
by round too; such a round takes minutes, so their ratios scatter more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from jobload import Measure
from loads import LOADS
from matches import Comparison, Match, matches
from results import Results, Round

__all__ = ["Verdict", "best_settings", "judge", "judge_all", "judge_libraries", "medians_table", "verdicts_table"]

VERBS = ("PUSH", "FETCH", "ACK")
#: How many times as many jobs our worker has to do as that of each library.
LIBRARY_TARGET = 3.0
#: For Node there is no library of ours; what others made for this protocol is shown beside BullMQ, by durability.
NODE_PAIRS = (
    ("faktory-worker, sync always", "BullMQ, Redis syncs each write"),
    ("faktory-worker, sync never", "BullMQ, Redis syncs every second"),
    ("faktory-worker, sync never", "BullMQ, Redis in memory"),
)


@dataclass(frozen=True)
class Verdict:
    """How a server did under one load in one sync mode: a ratio to a yardstick, or the p99 of an open loop in ms."""

    load: str
    sync: str
    subject: str
    #: None where the value is no ratio.
    yardstick: str | None
    median: float
    least: float
    most: float
    #: The least ratio, or the longest p99; 0 where none is asked for.
    target: float
    rounds: int
    #: Whether the target is an aim of the bench's own.
    is_own: bool = False
    #: The median of those rounds in which others left the machine alone, None where there are none; how many they were.
    quiet: float | None = None
    quiet_rounds: int = 0

    @property
    def is_met(self) -> bool:
        """Whether the median reaches the target."""
        if not self.target:
            return True
        return self._is_enough(self.median)

    @property
    def is_split(self) -> bool:
        """Whether rounds reached the target and others did not."""
        return bool(self.target) and self._is_enough(self.least) != self._is_enough(self.most)

    @property
    def is_doubtful(self) -> bool:
        """Whether the rounds in which nobody disturbed say otherwise than all of them."""
        return bool(self.target) and self.quiet is not None and self._is_enough(self.quiet) != self.is_met

    def _is_enough(self, value: float) -> bool:
        return value <= self.target if self.yardstick is None else value >= self.target

    def as_dict(self) -> dict[str, Any]:
        """For the results file."""
        return {**asdict(self), "is_met": self.is_met}


def judge(match: Match, rounds: Sequence[Round]) -> list[Verdict]:
    """All that the rounds of a match say. Rounds without a label of the match say nothing about it."""
    if match.load.open_share:
        return [one for entry in match.entries for one in _p99(match, entry.label, rounds)]
    return [one for comparison in match.comparisons for one in _ratio(match, comparison, rounds)]


def judge_all(results: Results) -> list[Verdict]:
    """All that a file of results says."""
    every = matches(LOADS, ("never", "always"), variants=True, others=True)
    verdicts = [one for match in every for one in judge(match, results.of(match.load.name, match.sync))]
    return verdicts + judge_libraries(results.workers)


def best_settings(records: Iterable[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, list[float]]]:
    """For each worker and kind of jobs its best setting, and the jobs per second of its rounds."""
    rates: dict[tuple[str, str], dict[str, list[float]]] = {}
    for one in records:
        settings = rates.setdefault((one["worker"], one["kind"]), {})
        settings.setdefault(one["setting"], []).append(one["jobs_per_second"])
    return {key: max(settings.items(), key=lambda item: median(item[1])) for key, settings in rates.items()}


def judge_libraries(records: Iterable[dict[str, Any]]) -> list[Verdict]:
    """Each of our workers beside each library, all at their best, and faktory-worker beside BullMQ, both for Node."""
    best, verdicts = best_settings(records), []
    for kind in dict.fromkeys(kind for _, kind in best):
        found = {worker: rates for (worker, of), (_, rates) in best.items() if of == kind}
        ours = [worker for worker in found if worker.startswith("lineshaft")]
        others = [worker for worker in found if worker not in ours and not worker.startswith("faktory")]
        verdicts += [_library(kind, one, other, LIBRARY_TARGET, found) for other in others for one in ours]
        for subject, yardstick in NODE_PAIRS:
            if {subject, yardstick} <= found.keys():
                verdicts.append(_library(kind, subject, yardstick, 0.0, found))
    return verdicts


def _library(kind: str, ours: str, other: str, target: float, found: dict[str, list[float]]) -> Verdict:
    """Round by round, as far as both have them."""
    values = [mine / theirs for mine, theirs in zip(found[ours], found[other], strict=False)]
    return Verdict(f"worker, {kind}", "", ours, other, median(values), min(values), max(values), target, len(values))


def _worst_p99_ms(measure: Measure) -> float:
    """The longest p99 of the three verbs, in milliseconds."""
    return max(measure.latency_us[verb][1] for verb in VERBS if verb in measure.latency_us) / 1000


def verdicts_table(verdicts: Iterable[Verdict]) -> str:
    """One line per verdict."""
    head = f"{'sync':<7} {'load':<30} {'server':<24} {'beside':<22} {'ratio':>6}  {'min .. max':<14} {'target':>6}"
    return "\n".join([head, *map(_line, verdicts)])


def medians_table(played: Iterable[tuple[Match, Sequence[Round]]]) -> str:
    """One line per entry of the matches that were played; each number is the median of its rounds."""
    lines = [
        f"{'sync':<7} {'load':<30} {'server':<24} {'jobs/s':>9} {'RSS MB':>7} {'CPU s/100k':>10} {'B/job':>7}"
        "   p50/p99/p99.9 in microseconds"
    ]
    for match, rounds in played:
        for entry in match.entries:
            found = [one.measures[entry.label] for one in rounds if entry.label in one.measures]
            if found:
                lines.append(f"{match.sync:<7} {match.load.name:<30} {entry.label:<24} {_medians(found)}")
    return "\n".join(lines)


def _p99(match: Match, label: str, rounds: Sequence[Round]) -> list[Verdict]:
    found = [one.measures[label] for one in rounds if label in one.measures]
    values = [(_worst_p99_ms(one), one.is_quiet) for one in found]
    target = match.load.p99_limit_ms[match.sync] if label == "lineshaft" else 0.0
    return [_verdict(match, label, None, target, values)] if values else []


def _ratio(match: Match, comparison: Comparison, rounds: Sequence[Round]) -> list[Verdict]:
    ours, theirs = comparison.subject, comparison.yardstick
    pairs = [(one.measures[ours], one.measures[theirs]) for one in rounds if {ours, theirs} <= one.measures.keys()]
    values = [(one.jobs_per_second / two.jobs_per_second, one.is_quiet and two.is_quiet) for one, two in pairs]
    return [_verdict(match, ours, theirs, comparison.target, values)] if values else []


def _verdict(
    match: Match, subject: str, yardstick: str | None, target: float, found: Sequence[tuple[float, bool]]
) -> Verdict:
    """Of values, and whether each is of a quiet round."""
    values, quiet = [value for value, _ in found], [value for value, is_quiet in found if is_quiet]
    return Verdict(
        load=match.load.name,
        sync=match.sync,
        subject=subject,
        yardstick=yardstick,
        median=median(values),
        least=min(values),
        most=max(values),
        target=target,
        rounds=len(values),
        is_own=bool(target) and match.sync in match.load.own_aims,
        quiet=median(quiet) if quiet else None,
        quiet_rounds=len(quiet),
    )


def _line(one: Verdict) -> str:
    extremes = f"{one.least:.2f} .. {one.most:.2f}"
    verdict = f"{one.target:>6.2f}  {'ok' if one.is_met else 'MISSED'}" if one.target else f"{'-':>6}"
    beside = one.yardstick or "(p99 in ms)"
    return f"{one.sync:<7} {one.load:<30} {one.subject:<24} {beside:<22} {one.median:>6.2f}  {extremes:<14} {verdict}"


def _medians(found: Sequence[Measure]) -> str:
    rate = median(one.jobs_per_second for one in found)
    rss = median(one.rss_mb for one in found)
    cpu = median(one.cpu_seconds_per_100k_jobs for one in found)
    written = [one.written_bytes_per_job for one in found if one.written_bytes_per_job is not None]
    latencies = []
    for verb in found[0].latency_us:
        p50, p99, p999 = (median(one.latency_us[verb][i] for one in found) for i in (0, 1, 2))
        latencies.append(f"{verb} {p50:.0f}/{p99:.0f}/{p999:.0f}")
    disk = f"{median(written):>7,.0f}" if written else f"{'?':>7}"
    return f"{rate:>9,.0f} {rss:>7.0f} {cpu:>10.2f} {disk}   {'  '.join(latencies)}"
