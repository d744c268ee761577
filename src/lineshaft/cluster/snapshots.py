"""Snapshots: copies of a replica in the object store, for nodes that the log does not reach back to any more.

```
checkpoint ─> one file (tar) ─> put ─> read back, digest the same ─> noted on the board: it counts
```

Everything here takes long and runs in a thread with an event loop and a connection of its own, so that neither
clients nor the reading of the log wait for it. A snapshot counts from when its note stands on the board; what a crash
leaves before that is an object that nobody looks at, and the next snapshot of the same name replaces it.

A snapshot's name is the sequence of the log that it was taken at, out of the position in the copy itself. One that
cannot be read, in whatever way, is passed over for the one before: the log goes back to that one, too.

What is true after every call: nothing of it is under way. `end` has it given up from another thread.
"""

import asyncio
import hashlib
import logging
import os
import shutil
import tarfile
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ObjectStoreConfig, StorageType
from nats.js.errors import BadRequestError, NoKeysError, NotFoundError
from nats.js.object_store import ObjectStore

from lineshaft.cluster.access import Access, Complaints, connect
from lineshaft.cluster.presence import NOTE
from lineshaft.cluster.replica import position_of
from lineshaft.errors import StoreError
from lineshaft.store.copying import sync_directory
from lineshaft.store.port import Store
from lineshaft.store.rocks import RocksStore

__all__ = ["Snapshots", "install_snapshot"]

log = logging.getLogger(__name__)

#: So many are kept. The log is purged up to the older one only, should the newer prove bad after all.
KEPT: Final = 2

#: Inside the data directory: a copy on its way out, and one on its way in.
TAKING: Final = "snapshot.taking"
LOADING: Final = "snapshot.loading"
PACKED: Final = "copy.tar"
#: Says that the copy on its way in is whole and on disk.
COMPLETE: Final = "complete"

#: An object of which nothing comes for so long has lost its pieces: nats-py waits for them for ever.
STALL_SECONDS: Final = 30.0
#: How often is looked whether all this shall end, and tried again: nats-py keeps a cancellation to itself at times.
LOOK_SECONDS: Final = 0.2
CANCEL_SECONDS: Final = 1.5
#: How long `end` waits.
END_SECONDS: Final = 5.0

T = TypeVar("T")


class Snapshots:
    """The snapshots of one cluster, and the room in a node's data directory for one on its way. Runs in a thread."""

    def __init__(self, access: Access, data: Path, complaints: Complaints) -> None:
        self._access = access
        self._data = data
        self._complaints = complaints
        self._busy = threading.Lock()
        self._ending = threading.Event()

    def take(self, store: Store) -> int:
        """Store a copy of `store`, which lies in the directory, and forget all but two; returns its sequence.

        Raises StoreError.
        """
        with self._busy:
            self._go_on()
            space = _emptied(self._data / TAKING)
            try:
                store.checkpoint(space / "copy")
                sequence = _sequence_of(space / "copy", space)
                with tarfile.open(space / PACKED, "w") as tar:
                    for file in sorted((space / "copy").iterdir()):
                        self._go_on()
                        tar.add(file, arcname=file.name)
                shutil.rmtree(space / "copy")
                self._talk(lambda api: _put(self._access, api, sequence, space / PACKED))
            finally:
                shutil.rmtree(space, ignore_errors=True)
            return sequence

    def load(self) -> int:
        """Fetch the newest snapshot that can be read, for `install_snapshot`; returns its sequence.

        Raises StoreError when there is none.
        """
        with self._busy:
            self._go_on()
            space = _emptied(self._data / LOADING)
            sequence = self._talk(lambda api: _get(self._access, api, space / PACKED))
            with tarfile.open(space / PACKED) as tar:
                for member in tar:
                    self._go_on()
                    tar.extract(member, space / "copy", filter="data")
            for path in (space / "copy").iterdir():
                with path.open("rb") as written:
                    os.fsync(written.fileno())
            sync_directory(space / "copy")
            (space / COMPLETE).touch()
            sync_directory(space)
            return sequence

    def end(self, within: float = END_SECONDS) -> None:
        """From another thread: take and load no more, and wait (at most so long) until what is under way has failed."""
        self._ending.set()
        if self._busy.acquire(timeout=within):
            self._busy.release()

    def _go_on(self) -> None:
        if self._ending.is_set():
            raise StoreError("the node ends")

    def _talk(self, work: Callable[[JetStreamContext], Awaitable[T]]) -> T:
        """Do this over a connection of its own; what NATS refuses is told as what it refuses the node."""

        async def talk() -> T:
            client = await connect(self._access, "lineshaft snapshots", self._complaints)
            try:
                return await work(client.jetstream(timeout=10))
            finally:
                await client.close()

        try:
            return asyncio.run(self._unless_ended(talk()))
        except asyncio.CancelledError:
            raise StoreError("the node ends") from None
        except (NatsError, OSError, TimeoutError) as error:
            raise StoreError(f"the snapshots are out of reach: {error or type(error).__name__}") from None

    async def _unless_ended(self, talk: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(talk)
        while not task.done():
            is_ending = self._ending.is_set()
            if is_ending:
                task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS if is_ending else LOOK_SECONDS)
        return task.result()


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
    await _fetch(objects, sequence, again)
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
        try:
            noted = (await board.get(f"{NOTE}{sequence}")).value or b""
            await _fetch(objects, sequence, packed)
        except (NatsError, TimeoutError) as error:
            # Damaged, deleted just now, or NATS fails at this very moment: an older one serves as well in any case.
            log.error("the snapshot at %d cannot be read: %s", sequence, error or type(error).__name__)
            continue
        if await asyncio.to_thread(_digest, packed) == noted.decode():
            return sequence
        log.error("the snapshot at %d is not what it was", sequence)
    raise StoreError("the log does not go back to where this node stopped, and there is no snapshot that could be read")


async def _fetch(objects: ObjectStore, sequence: int, path: Path) -> None:
    """Write an object into a file. Raises NatsError, TimeoutError when there is no end to it, or it is damaged."""
    with path.open("wb") as file:
        getting = asyncio.create_task(objects.get(str(sequence), writeinto=file))
        try:
            size = -1
            while not getting.done():
                if file.tell() == size:
                    raise TimeoutError("pieces of it are missing")
                size = file.tell()
                await asyncio.wait({getting}, timeout=STALL_SECONDS)
            getting.result()
        finally:
            getting.cancel()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
