"""The soak in short, whose load must use every feature; in full every night; and the rule by which it is judged."""

import os
import random
from pathlib import Path

import pytest

from load.judge import RULES, judge
from load.soak import main, picture, report, soak

#: How long the nightly one is.
SECONDS = float(os.environ.get("LINESHAFT_SOAK_SECONDS", "3600"))


def test_the_load_uses_every_feature_and_nothing_is_lost(tmp_path: Path) -> None:
    outcome = soak(60, tmp_path, pace=0.5, is_short=True)
    assert not outcome.faults, report(outcome)
    assert len(outcome.samples) > 1
    assert picture(outcome).startswith("<svg")


@pytest.mark.slow
@pytest.mark.timeout(600 + SECONDS)
def test_memory_files_and_latencies_stay_flat(tmp_path: Path) -> None:
    results = ["--json", str(tmp_path / "soak.json"), "--svg", str(tmp_path / "soak.svg")]
    assert main(["--seconds", str(SECONDS), *results]) == 0


def samples_of(growth: float, *, seed: int = 7) -> tuple[list[float], list[float]]:
    """An hour of a noisy memory of 60 MB: it fills up for ten minutes, has peaks, and grows by so much in the rest."""
    chance = random.Random(seed)
    times = [15.0 * number for number in range(240)]
    values = []
    for time in times:
        filled = 60 - 20 * max(1 - time / 600, 0)
        peak = 30 if chance.random() < 0.05 else 0
        values.append(filled + chance.gauss(0, 1) + peak + growth * max(time - 900, 0) / 2685)
    return times, values


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_peaks_are_no_growth(seed: int) -> None:
    verdict = judge(*samples_of(0, seed=seed), RULES[0])
    assert abs(verdict.growth) < 1
    assert verdict.is_flat


@pytest.mark.parametrize("seed", range(5))
def test_a_small_leak_is_seen(seed: int) -> None:
    verdict = judge(*samples_of(6.5, seed=seed), RULES[0])
    assert verdict.growth == pytest.approx(6.5, abs=1)
    assert not verdict.is_flat
    assert "GROWS" in verdict.line()


def test_what_falls_is_flat() -> None:
    assert judge(*samples_of(-30), RULES[0]).is_flat
