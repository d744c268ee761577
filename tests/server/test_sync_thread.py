"""The thread in which the store is synced: one at a time, in order, each told of once in the loop."""

import asyncio
import threading
from collections.abc import Callable

from lineshaft.errors import StoreError
from lineshaft.server.sync_thread import SyncThread
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store


class Disk(MemoryStore):
    """A store whose syncs take as long as the test wants, and fail when it says so."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.go_on.set()
        self.begun = threading.Semaphore(0)
        self.threads: list[str] = []
        self.failure: BaseException | None = None

    def sync(self) -> None:
        self.threads.append(threading.current_thread().name)
        self.begun.release()
        self.go_on.wait()
        if self.failure is not None:
            raise self.failure


def run(
    scene: Callable[[Callable[[Store], None], Disk], None], awaited: int
) -> list[tuple[Store, Exception | None, str]]:
    """Play a scene in a loop until so many ends of syncs were told of; returns them, and the thread that heard each."""
    told: list[tuple[Store, Exception | None, str]] = []

    async def whole() -> None:
        heard = asyncio.Event()

        def done(store: Store, failure: Exception | None) -> None:
            told.append((store, failure, threading.current_thread().name))
            if len(told) == awaited:
                heard.set()

        syncs, disk = SyncThread(asyncio.get_running_loop()), Disk()
        scene(lambda store: syncs.sync(store, done), disk)
        async with asyncio.timeout(60):
            await heard.wait()
        syncs.close()
        assert set(disk.threads) == {"sync"}

    asyncio.run(whole())
    return told


def test_each_is_told_of_once_in_the_loop() -> None:
    disks: list[Disk] = []

    def scene(sync: Callable[[Store], None], disk: Disk) -> None:
        disks.extend([disk, disk, disk])
        for _ in range(3):
            sync(disk)

    assert run(scene, 3) == [(disk, None, "MainThread") for disk in disks]


def test_a_failure_is_told_and_the_next_is_tried() -> None:
    failures = [StoreError("the disk is gone"), ValueError("a bug")]

    def scene(sync: Callable[[Store], None], disk: Disk) -> None:
        for failure in failures:
            other = Disk()
            other.failure = failure
            sync(other)
        sync(disk)

    assert [failure for _, failure, _ in run(scene, 3)] == [*failures, None]


def test_a_panic_of_the_store_is_told_too() -> None:
    def scene(sync: Callable[[Store], None], disk: Disk) -> None:
        other = Disk()
        other.failure = BaseException("a panic")
        sync(other)
        sync(disk)

    (_, panic, _), (_, none, _) = run(scene, 2)
    assert isinstance(panic, StoreError)
    assert (str(panic), none) == ("BaseException('a panic')", None)


def test_the_end_waits_for_the_sync_under_way() -> None:
    told: list[Store] = []

    async def whole() -> None:
        loop = asyncio.get_running_loop()
        syncs, disk = SyncThread(loop), Disk()
        disk.go_on.clear()
        syncs.sync(disk, lambda store, _: told.append(store))
        disk.begun.acquire()
        closing = loop.run_in_executor(None, syncs.close)
        done, _ = await asyncio.wait([closing], timeout=0.05)
        assert not done, "it did not wait"
        disk.go_on.set()
        await closing
        await asyncio.sleep(0)
        assert told == [disk]

    asyncio.run(whole())


def test_a_loop_that_was_closed_meanwhile_is_no_error() -> None:
    loop, disk = asyncio.new_event_loop(), Disk()
    syncs = SyncThread(loop)
    disk.go_on.clear()
    syncs.sync(disk, lambda *_: None)
    disk.begun.acquire()
    loop.close()
    disk.go_on.set()
    syncs.close()


def test_without_a_sync_there_is_no_thread() -> None:
    before = threading.active_count()
    loop = asyncio.new_event_loop()
    SyncThread(loop).close()
    loop.close()
    assert threading.active_count() == before
