"""Scheduled jobs in time, and a backlog in little memory: in short every day, in full at night."""

from pathlib import Path

import pytest

from load import tight, timely


def test_a_backlog_in_little_memory_in_short(tmp_path: Path) -> None:
    lines, faults = tight.measure(2, 128, tmp_path)
    assert not faults, "\n".join(lines)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_gigabytes_in_256_mb(tmp_path: Path) -> None:
    assert tight.main(["--under", str(tmp_path)]) == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_scheduled_jobs_start_at_their_time_while_a_million_wait() -> None:
    """Beside half of the load that `make timely` asks for, which two shared cores can carry."""
    assert timely.main(["--rate", "5000"]) == 0


def test_timely_jobs_beside_a_smaller_load_than_was_asked_for_miss_it_too() -> None:
    late = [1.0] * 99 + [900.0]
    assert timely.judge(late, 9_900, 10_000) == []
    assert timely.judge(late, 6_380, 10_000) == ["only 6,380 cycles a second, 10,000 asked for"]
    assert timely.judge([*late, 900.0], 10_000, 10_000) == ["99 % of the jobs within 900.0 ms of their time, limit 100"]
