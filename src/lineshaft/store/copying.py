"""Copying a store's files from one directory to another: in slices, synced as they come, whole or not at all.

    copy_files    into a new directory, which has its name only when everything in it is on disk
    move_files    the same, but by renaming where both lie on one file system

What is true after every call: `target` is complete and durable, or does not exist. A crash half way leaves
`target` + ".partial" behind, which the next call of the same name replaces.

Everything here runs in a thread, or in a process of its own: what takes long (reading, writing, syncing) does not
hold the interpreter.
"""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lineshaft.errors import UsageError

__all__ = ["copy_files", "files_of", "move_files", "sync_directory", "total_bytes"]

#: Synced this often, so that no heap of unwritten pages makes other files' syncs wait for them.
SLICE_BYTES: Final = 16 << 20

_BUFFER_BYTES: Final = 1 << 20

Report = Callable[[int], None]
"""Is told of bytes that were copied; may raise, which ends the copying."""


def files_of(directory: Path) -> list[Path]:
    """The files of a store, in order; directories are none of its own."""
    return sorted(file for file in directory.iterdir() if file.is_file())


def total_bytes(directory: Path) -> int:
    """How large the files of a store are together."""
    return sum(file.stat().st_size for file in files_of(directory))


def move_files(source: Path, target: Path, report: Report) -> None:
    """Let the files of `source` be those of the new directory `target`; on another file system they are copied.

    `source` may be gone then, or not. Raises UsageError when `target` exists, OSError.
    """
    _require_new(target)
    for file in files_of(source):
        _sync(file)
    sync_directory(source)
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_files(source, target, report)
    sync_directory(target.parent)


def copy_files(source: Path, target: Path, report: Report) -> None:
    """Copy the files of `source` into the new directory `target`.

    Raises UsageError when `target` exists or there is no room for it, OSError.
    """
    _require_new(target)
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _require_room(total_bytes(source), partial)
        for file in files_of(source):
            _copy_file(file, partial / file.name, report)
        sync_directory(partial)
        os.rename(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync_directory(target.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    _sync(path)


def _require_new(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} exists; a copy needs the name of a new directory")


def _require_room(needed: int, where: Path) -> None:
    free = shutil.disk_usage(where).free
    if needed > free:
        raise UsageError(f"{where.parent}: {needed >> 20} MB are to be copied there, and {free >> 20} MB are free")


def _copy_file(source: Path, target: Path, report: Report) -> None:
    with source.open("rb", buffering=0) as reading, target.open("xb", buffering=0) as writing:
        unsynced = 0
        while data := reading.read(_BUFFER_BYTES):
            view = memoryview(data)
            while view:
                view = view[writing.write(view) :]
            unsynced += len(data)
            if unsynced >= SLICE_BYTES:
                os.fsync(writing.fileno())
                unsynced = 0
            report(len(data))
        os.fsync(writing.fileno())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
