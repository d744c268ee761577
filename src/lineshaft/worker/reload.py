"""For development: the worker in a child process, started anew when a source file changes.

A child, since an interpreter cannot be trusted to forget what it has imported. The files are looked at, not watched:
no system's notifications reach all editors, containers and mounted folders, and a project's files are few.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

__all__ = ["changes", "run_reloading", "times"]

log = logging.getLogger("lineshaft.worker")

LOOK_SECONDS: Final = 0.5

#: Folders that hold other people's code, or none.
_SKIPPED: Final = frozenset({"node_modules", "__pycache__", "site-packages"})


def run_reloading(command: Sequence[str]) -> int:
    """Run a worker's command until it ends by itself, or this process is told to end; returns its exit code."""
    ending: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
        ending.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    while True:
        seen = times(Path.cwd())
        child = subprocess.Popen(command, start_new_session=True)
        changed = _await_change(child, seen, ending)
        if child.poll() is None:
            child.terminate()
        code = child.wait()
        if not changed:
            return code
        log.info("%s changed: starting anew", changed)


def _await_change(child: "subprocess.Popen[bytes]", seen: dict[str, int], ending: list[int]) -> str | None:
    """The file that has changed; None when it is time to end. A child that ended by an error waits for the mend."""
    while not ending:
        time.sleep(LOOK_SECONDS)
        if child.poll() == 0:
            return None
        changed = changes(seen, times(Path.cwd()))
        if changed:
            return changed[0]
    return None


def times(root: Path) -> dict[str, int]:
    """When each Python file under a folder was changed."""
    found: dict[str, int] = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        for name in files:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                try:
                    found[path] = os.stat(path).st_mtime_ns
                except OSError:  # an editor puts another in its place just now
                    continue
    return found


def changes(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """The files that were changed, added or removed."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
