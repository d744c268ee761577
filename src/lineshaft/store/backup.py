"""A backup: a store's files, and beside them `backup.json`, which says when they were copied and how large they are.

A backup is a data directory like any other: a server can be started on it, and `lineshaft check` can look through it.
Either changes it, so it is better restored first. What was not copied whole on its way to another machine is noticed
by the sizes in `backup.json`; what was changed on its way, by RocksDB's checksums.
"""

import os
from pathlib import Path
from typing import Final

from msgspec import Struct, json

from lineshaft.errors import StoreCorrupt
from lineshaft.job import UNREADABLE
from lineshaft.store.copying import files_of, sync_directory

__all__ = ["MANIFEST", "Manifest", "missing_from", "read_manifest", "write_manifest"]

MANIFEST: Final = "backup.json"


class Manifest(Struct):
    """What a backup says of itself."""

    lineshaft: str  #: the version that made it
    format: int  #: of the data
    taken_at: str  #: RFC 3339
    files: dict[str, int] = {}  #: name to bytes
    #: What CURRENT held: another value means that somebody has opened the store since, and sizes say nothing.
    current: str = ""


def write_manifest(directory: Path, manifest: Manifest) -> Manifest:
    """Complete the manifest from the files in a new backup, and write it there; durable when this returns."""
    manifest.files = {file.name: file.stat().st_size for file in files_of(directory)}
    manifest.current = _current(directory)
    with (directory / MANIFEST).open("xb") as file:
        file.write(json.format(json.encode(manifest), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    sync_directory(directory)
    return manifest


def read_manifest(directory: Path) -> Manifest | None:
    """What a backup says of itself; None when it says nothing. Raises StoreCorrupt."""
    try:
        return json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        raise StoreCorrupt(f"{directory / MANIFEST} cannot be read: {error}") from None


def missing_from(directory: Path, manifest: Manifest) -> list[str]:
    """What of a backup is not there, or not whole; nothing when it was opened since, for then nobody can tell."""
    if _current(directory) not in ("", manifest.current):
        return []
    missing = []
    for name, size in manifest.files.items():
        file = directory / name
        if not file.is_file():
            missing.append(f"{name} is missing")
        elif file.stat().st_size != size:
            missing.append(f"{name} has {file.stat().st_size} bytes instead of {size}")
    return missing


def _current(directory: Path) -> str:
    try:
        return (directory / "CURRENT").read_text("ascii", "replace").strip()
    except FileNotFoundError:
        return ""
