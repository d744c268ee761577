"""The verdict of a bench run, from measures made up here."""

from dataclasses import replace
from pathlib import Path

import pytest
from jobload import Load, Measure
from loads import LOADS
from matches import Match, matches
from ratios import judge, judge_libraries, medians_table, verdicts_table
from results import Results, Round

BY_NAME = {load.name: load for load in LOADS}


def match_of(name: str, sync: str = "never") -> Match:
    load: Load = BY_NAME[name]
    return next(matches([load], [sync], variants=True, others=False))


def measure(rate: float, p99: float = 900.0) -> Measure:
    return Measure(
        jobs=1_000,
        jobs_per_second=rate,
        latency_us={"PUSH": (100.0, p99, 950.0, 990.0), "CYCLE": (1.0, 9e9, 9e9, 9e9)},
        rss_mb=40.0,
        cpu_seconds_per_100k_jobs=3.5,
        foreign_cpu_seconds=0.0,
        seconds=1.0,
        written_bytes_per_job=345.0,
    )


def rounds(**rates: tuple[float, ...]) -> list[Round]:
    labels = list(rates)
    played = zip(*rates.values(), strict=True)
    return [Round("x", "never", "now", dict(zip(labels, map(measure, one), strict=True))) for one in played]


def test_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    found = rounds(lineshaft=(90, 100, 10), reference=(100, 200, 10))
    (ratio,) = judge(match_of("cycle, 200 connections"), found)
    assert (ratio.least, ratio.median, ratio.most, ratio.rounds, ratio.is_met) == (0.5, 0.9, 1.0, 3, True)


@pytest.mark.parametrize(
    ("load", "label", "target"),
    [
        ("cycle, 10 connections", "lineshaft", 0.9),
        ("cycle, 50 connections", "lineshaft", 0.9),
        ("cycle, 10 x 16 in flight", "lineshaft", 0.75),
        ("cycle, 10 x 16 in flight", "lineshaft, no index", 0.85),
        ("PUSHB of 100", "lineshaft", 0.65),
        ("PUSHB of 100", "lineshaft, no index", 0.85),
    ],
)
def test_each_load_has_its_target(load: str, label: str, target: float) -> None:
    (reached,) = judge(match_of(load), rounds(**{label: (1_000 * target,), "reference": (1_000,)}))
    (missed,) = judge(match_of(load), rounds(**{label: (1_000 * target - 1,), "reference": (1_000,)}))
    assert (reached.target, reached.is_met, missed.is_met) == (target, True, False)


def test_a_round_without_its_yardstick_says_nothing() -> None:
    match = match_of("cycle, 50 connections")
    (ratio,) = judge(match, [*rounds(lineshaft=(100,)), *rounds(lineshaft=(80,), reference=(100,))])
    assert (ratio.median, ratio.rounds) == (0.8, 1)


def test_rounds_that_others_disturbed_are_counted_and_told() -> None:
    found = rounds(lineshaft=(90, 100, 60), reference=(100, 100, 100))
    for one in found[:2]:
        one.measures["reference"] = replace(one.measures["reference"], foreign_cpu_seconds=0.5)
    (ratio,) = judge(match_of("cycle, 50 connections"), found)
    assert (ratio.median, ratio.rounds, ratio.quiet, ratio.quiet_rounds) == (0.9, 3, 0.6, 1)
    assert (ratio.is_met, ratio.is_split, ratio.is_doubtful) == (True, True, True)


def test_workers_are_judged_round_by_round() -> None:
    def records(worker: str, *rates: float) -> list[dict[str, object]]:
        return [{"worker": worker, "setting": "1 x 10", "kind": "noop", "jobs_per_second": rate} for rate in rates]

    found = [*records("lineshaft, async", 400, 900, 300), *records("celery", 100, 300, 200)]
    (ratio,) = judge_libraries(found)
    assert (ratio.least, ratio.median, ratio.most, ratio.rounds) == (1.5, 3.0, 4.0, 3)


@pytest.mark.parametrize(
    ("sync", "p99", "is_met"), [("never", 1_999, True), ("never", 2_001, False), ("always", 4_999, True)]
)
def test_an_open_loop_is_judged_by_the_longest_p99_of_a_command(sync: str, p99: float, is_met: bool) -> None:
    match = match_of("open loop at half the maximum", sync)
    (found,) = judge(match, [Round("x", sync, "now", {"lineshaft": measure(1, p99)})])
    assert (found.median, found.is_met) == (p99 / 1000, is_met)


def test_tables_name_verdict_and_medians() -> None:
    match, found = match_of("cycle, 50 connections"), rounds(lineshaft=(84,), reference=(100,))
    assert verdicts_table(judge(match, found)).endswith("0.84  0.84 .. 0.84     0.90  MISSED")
    assert "345   PUSH 100/900/950" in medians_table([(match, found)])


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    written = Results(tmp_path / "x.json", 0.5, {"kernel": "Linux"}, ["make bench"])
    written.add("cycle", "never", {"lineshaft": measure(100)})
    read = Results.read(written.path)
    assert (read.scale, read.machine, read.commands) == (0.5, {"kernel": "Linux"}, ["make bench"])
    assert read.of("cycle", "never")[0].measures == {"lineshaft": measure(100)}
    assert read.of("cycle", "always") == []
