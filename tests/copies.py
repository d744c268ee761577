"""Copies of stores that are open."""

import shutil
from contextlib import suppress
from pathlib import Path

__all__ = ["copied"]


def copied(path: Path, left: Path) -> Path:
    """A copy of an open store. It deletes old files behind our back just after its start; then the copy begins anew."""
    for _ in range(20):
        with suppress(shutil.Error, FileNotFoundError):
            return Path(shutil.copytree(path, left))
        shutil.rmtree(left, ignore_errors=True)
    raise AssertionError(f"{path} never stood still")
