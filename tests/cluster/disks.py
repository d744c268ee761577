"""Disks of their own for servers of the log, whose power can be cut: what was written and not synced is gone.

An ext4 file system in a file, mounted through a loop device. `cut` asks the kernel to shut it down as a power cut does:
nothing that it still has in memory reaches the file, its journal included. Needs root, loop devices and e2fsprogs.
"""

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["Disk", "can_have_disks"]

#: EXT4_IOC_SHUTDOWN, and its flag "do not even write the journal".
SHUTDOWN: Final = 0x8004587D
WITHOUT_JOURNAL: Final = struct.pack("I", 2)


def can_have_disks(root: Path) -> bool:
    """Whether this process may mount a file system of its own."""
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return False
    try:
        with Disk(root, "probe", megabytes=8):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


class Disk:
    """A disk at `path`."""

    def __init__(self, root: Path, name: str, *, megabytes: int = 256) -> None:
        self.image = root / f"{name}.image"
        self.path = root / f"{name}.disk"
        self.path.mkdir()
        with self.image.open("wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", str(self.image)], check=True, capture_output=True)

    def mount(self) -> None:
        """Switch it on. The kernel writes by itself as seldom as it can be told to."""
        command = ["mount", "-o", "loop,commit=300", str(self.image), str(self.path)]
        subprocess.run(command, check=True, capture_output=True)

    def cut(self) -> None:
        """The power is gone; whoever uses the disk gets errors from now on."""
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, SHUTDOWN, WITHOUT_JOURNAL)
        finally:
            os.close(directory)

    def unmount(self) -> None:
        """Take it away; nobody may use it any more."""
        subprocess.run(["umount", str(self.path)], check=True, capture_output=True)

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "-l", str(self.path)], check=False, capture_output=True)
        self.image.unlink()
