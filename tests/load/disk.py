"""The disk beside a server: how long it takes to keep a few bytes of somebody else, whatever the server writes.

A thread writes 4 KiB to the end of a file of its own and syncs it, some times a second. A PUSH waits for two such syncs
at worst, so what that takes is the disk's share of its time, and none of the server's rules can make it less.
"""

import os
import threading
from pathlib import Path
from time import perf_counter, sleep

__all__ = ["Disk"]

SYNCS_A_SECOND = 10
BLOCK = b"\0" * 4096


class Disk(threading.Thread):
    """Syncs a file in a directory until the process ends."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self.path = directory / "disk-probe"
        self.taken: list[float] = []

    def run(self) -> None:
        """Write and sync, on and on."""
        with self.path.open("wb", buffering=0) as file:
            while True:
                began = perf_counter()
                file.write(BLOCK)
                os.fdatasync(file.fileno())
                taken = perf_counter() - began
                self.taken.append(taken * 1000)
                sleep(max(1 / SYNCS_A_SECOND - taken, 0))

    def take(self) -> list[float]:
        """The milliseconds of each since the last call."""
        taken, self.taken = self.taken, []
        return taken
