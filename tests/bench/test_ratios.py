"""The verdict of a bench run, from measures made up here."""

import pytest
from jobload import LOADS, Measure
from ratios import Series, compare, medians_table, ratios_table


def series(contestant: str, *rates: float, jid_index: bool | None = None, load: int = 0) -> Series:
    rounds = [
        Measure(
            jobs=1_000,
            jobs_per_second=rate,
            latency_us={"PUSH": (100.0, 900.0)},
            rss_mb=40.0,
            cpu_seconds_per_100k_jobs=3.5,
            foreign_cpu_seconds=0.0,
            seconds=1.0,
        )
        for rate in rates
    ]
    return Series(LOADS[load], "never", contestant, jid_index, rounds)


def test_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() -> None:
    ratio = compare(series("ours", 90, 100, 10, jid_index=True), series("reference", 100, 200, 10))
    assert (ratio.least, ratio.median, ratio.most) == (0.5, 0.9, 1.0)


@pytest.mark.parametrize(
    ("load", "jid_index", "target"),
    [(0, True, 0.85), (1, True, 0.85), (2, True, 0.7), (3, True, 0.6), (3, False, 0.8)],
)
def test_each_load_has_its_target(load: int, jid_index: bool, target: float) -> None:
    reference = series("reference", 1_000, load=load)
    reached = compare(series("ours", 1_000 * target, jid_index=jid_index, load=load), reference)
    missed = compare(series("ours", 1_000 * target - 1, jid_index=jid_index, load=load), reference)
    assert (reached.target, reached.is_met, missed.is_met) == (target, True, False)


def test_a_missing_round_is_an_error_and_not_a_shorter_median() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        compare(series("ours", 100, jid_index=True), series("reference", 100, 100))


def test_tables_name_verdict_and_medians() -> None:
    ours, reference = series("ours", 84, jid_index=True), series("reference", 100)
    assert ratios_table([compare(ours, reference)]).endswith("0.84  0.84 .. 0.84     0.85  MISSED")
    assert "PUSH 100/900" in medians_table([reference])
