"""Snapshots: copies of a replica in the object store, for nodes that the log does not reach back to any more.

```
checkpoint ─> one file (tar) ─> put ─> read back, digest the same ─> noted on the board: it counts
```

Everything here takes long and runs in a thread with an event loop and a connection of its own, so that neither
clients nor the reading of the log wait for it. A snapshot counts from when its note stands on the board; what a crash
leaves before that is an object that nobody looks at, and the next snapshot of the same name replaces it.

A snapshot's name is the sequence of the log that it was taken at, out of the position in the copy itself.
"""

import asyncio
import hashlib
import logging
import os
import shutil
import tarfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ObjectStoreConfig, StorageType
from nats.js.errors import BadRequestError, NoKeysError, NotFoundError
from nats.js.object_store import ObjectStore

from lineshaft.cluster.access import Access, connect
from lineshaft.cluster.presence import NOTE
from lineshaft.cluster.replica import position_of
from lineshaft.errors import StoreError
from lineshaft.store.copying import sync_directory
from lineshaft.store.port import Store
from lineshaft.store.rocks import RocksStore

__all__ = ["install_snapshot", "load_snapshot", "take_snapshot"]

log = logging.getLogger(__name__)

#: So many are kept. The log is purged up to the older one only, should the newer prove bad after all.
KEPT: Final = 2

#: Inside the data directory: a copy on its way out, and one on its way in.
TAKING: Final = "snapshot.taking"
LOADING: Final = "snapshot.loading"
PACKED: Final = "copy.tar"
#: Says that the copy on its way in is whole and on disk.
COMPLETE: Final = "complete"

T = TypeVar("T")


def take_snapshot(access: Access, store: Store, data: Path) -> int:
    """Store a copy of `store`, which lies in `data`, and forget all but two; returns its sequence. Runs in a thread.

    Raises StoreError.
    """
    space = _emptied(data / TAKING)
    try:
        store.checkpoint(space / "copy")
        sequence = _sequence_of(space / "copy", space)
        with tarfile.open(space / PACKED, "w") as tar:
            tar.add(space / "copy", arcname=".")
        shutil.rmtree(space / "copy")
        _talk(access, lambda api: _put(access, api, sequence, space / PACKED))
    finally:
        shutil.rmtree(space, ignore_errors=True)
    return sequence


def load_snapshot(access: Access, data: Path) -> int:
    """Fetch the newest snapshot that can be read, for `install_snapshot`; returns its sequence. Runs in a thread.

    Raises StoreError when there is none.
    """
    space = _emptied(data / LOADING)
    sequence = _talk(access, lambda api: _get(access, api, space / PACKED))
    with tarfile.open(space / PACKED) as tar:
        tar.extractall(space / "copy", filter="data")
    for file in (space / "copy").iterdir():
        with file.open("rb") as written:
            os.fsync(written.fileno())
    sync_directory(space / "copy")
    (space / COMPLETE).touch()
    sync_directory(space)
    return sequence


def install_snapshot(data: Path) -> None:
    """Let a snapshot that was fetched be the store in `data`, which must be closed; nothing when there is none.

    To be called before every opening: after a crash half way it begins again, since the copy stays until all is done.
    """
    space = data / LOADING
    if (space / COMPLETE).exists():
        for file in data.iterdir():
            if file.is_file():
                file.unlink()
        for file in (space / "copy").iterdir():
            os.link(file, data / file.name)
        sync_directory(data)
        (space / COMPLETE).unlink()
        sync_directory(space)
    for leftover in (space, data / TAKING):
        shutil.rmtree(leftover, ignore_errors=True)


def _emptied(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _sequence_of(copy: Path, scratch: Path) -> int:
    store = RocksStore.reading(copy, log=scratch)
    try:
        position = position_of(store)
    finally:
        store.close()
    if position is None:
        raise StoreError("the copy is at no position of the log")
    return position.sequence


def _talk(access: Access, work: Callable[[JetStreamContext], Awaitable[T]]) -> T:
    async def run() -> T:
        client = await connect(access, "lineshaft snapshots")
        try:
            return await work(client.jetstream(timeout=10))
        finally:
            await client.close()

    try:
        return asyncio.run(run())
    except (NatsError, OSError, TimeoutError) as error:
        raise StoreError(f"the snapshots are out of reach: {error or type(error).__name__}") from None


async def _objects(access: Access, api: JetStreamContext) -> ObjectStore:
    try:
        return await api.object_store(access.stream)
    except NotFoundError:
        config = ObjectStoreConfig(replicas=access.replicas, storage=StorageType.FILE)
        with suppress(BadRequestError):
            return await api.create_object_store(access.stream, config=config)
        return await api.object_store(access.stream)


async def _put(access: Access, api: JetStreamContext, sequence: int, packed: Path) -> None:
    objects = await _objects(access, api)
    digest = await asyncio.to_thread(_digest, packed)
    with packed.open("rb") as file:
        await objects.put(str(sequence), file)
    again = packed.with_suffix(".again")
    with again.open("wb") as file:
        await objects.get(str(sequence), writeinto=file)
    if await asyncio.to_thread(_digest, again) != digest:
        raise StoreError(f"the snapshot at {sequence} was not read back as it was written")
    board = await api.key_value(access.stream)
    await board.put(f"{NOTE}{sequence}", digest.encode())
    for old in await _noted(board.keys):
        if old < sequence and old not in sorted(await _noted(board.keys))[-KEPT:]:
            # The note first: what has none does not count.
            await board.purge(f"{NOTE}{old}")
            with suppress(NotFoundError):
                await objects.delete(str(old))


async def _noted(keys: Callable[[], Awaitable[list[str]]]) -> list[int]:
    try:
        found = await keys()
    except NoKeysError:
        return []
    return [int(key[len(NOTE) :]) for key in found if key.startswith(NOTE)]


async def _get(access: Access, api: JetStreamContext, packed: Path) -> int:
    board, objects = await api.key_value(access.stream), await _objects(access, api)
    for sequence in sorted(await _noted(board.keys), reverse=True):
        noted = (await board.get(f"{NOTE}{sequence}")).value or b""
        with packed.open("wb") as file:
            await objects.get(str(sequence), writeinto=file)
        if await asyncio.to_thread(_digest, packed) == noted.decode():
            return sequence
        log.error("the snapshot at %d is not what it was: the one before is taken", sequence)
    raise StoreError("the log does not go back to where this node stopped, and there is no snapshot that could be read")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
