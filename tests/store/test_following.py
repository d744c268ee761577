"""A store that follows another process sees all that was committed before it caught up."""

import multiprocessing
import time
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

from lineshaft.store.rocks import RocksStore

SECONDS = 4.0
#: What is moved from the log to a table while the follower looks is among the last rows.
LAST = 40


def key_of(number: int) -> bytes:
    return b"k%012d" % number


def write(path: Path, last: "Synchronized[int]", is_over: Event) -> None:
    """Commit row after row, and have them moved to a table every few rows."""
    store = RocksStore(path)
    number = 0
    while not is_over.is_set():
        number += 1
        store.commit({key_of(number): b"row"})
        last.value = number
        if number % 5 == 0:
            store._database.flush()
        # A follower that is written to without a pause never comes to the end of the log.
        time.sleep(0.0005)
    store.close()


def test_nothing_is_between_the_log_and_the_tables(tmp_path: Path) -> None:
    """Found by a MUTATE by text that had missed jobs, once in some hundred runs of the suite.

    A catch-up that is done but once has such a hole here within a second or two.
    """
    spawned = multiprocessing.get_context("spawn")
    last, is_over = spawned.Value("q", 0), spawned.Event()
    writer = spawned.Process(target=write, args=(tmp_path / "data", last, is_over))
    writer.start()
    try:
        while last.value < LAST:
            time.sleep(0.01)
        store = RocksStore.following(tmp_path / "data", log=tmp_path / "log", memory_bytes=8 << 20)
        end, looks = time.monotonic() + SECONDS, 0
        while time.monotonic() < end or looks < 20:
            newest = last.value
            store.catch_up()
            looks += 1
            missing = [number for number in range(newest - LAST + 1, newest + 1) if store.get(key_of(number)) is None]
            assert not missing, f"of {newest}, in look {looks}"
        store.close()
    finally:
        is_over.set()
        writer.join(60)
