"""The bench is a folder of scripts, not a package: its modules are found as they find each other."""

import os
import shutil
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))


@pytest.fixture(scope="session")
def compiler() -> None:
    """Skip where jobload cannot be built; on the CI machine that is a failure instead."""
    if not sys.platform.startswith("linux"):
        pytest.skip("jobload needs epoll and /proc")
    if not os.environ.get("CI") and not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
        pytest.skip("no C compiler for jobload")
