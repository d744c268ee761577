"""Long operations: every day a few thousand jobs, to see that all of them work and end; at night a million."""

import os
from pathlib import Path

import pytest

from load.pauses import Row, main, measure

JOBS = os.environ.get("LINESHAFT_LONG_JOBS", "1000000")


def test_long_operations_in_short(tmp_path: Path) -> None:
    rows: list[Row] = []
    measure(1000, tmp_path, ["queue", "batch"], rows.append)
    assert len(rows) == 6
    assert not [row.line() for row in rows if row.heard.errors]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_million_jobs_pause_nobody() -> None:
    assert main(["--jobs", JOBS]) == 0
