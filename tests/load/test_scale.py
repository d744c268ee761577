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
    assert timely.main([]) == 0
