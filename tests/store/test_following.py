"""A store that follows another process sees all that was committed before it caught up."""

import mmap
import subprocess
import sys
import time
from pathlib import Path

from lineshaft.store.rocks import RocksStore

SECONDS = 4.0
#: What is moved from the log to a table while the follower looks is among the last rows.
LAST = 40

#: Commits row after row, says which was the last, and has them moved to a table every few rows. It rests after each,
#: since a follower that is written to without a pause never comes to the end of the log.
WRITER = """
import mmap, pathlib, sys, time
from lineshaft.store.rocks import RocksStore

store = RocksStore(pathlib.Path(sys.argv[1]))
with open(sys.argv[2], "r+b") as file:
    said, number = mmap.mmap(file.fileno(), 8), 0
    while True:
        number += 1
        store.commit({b"k%012d" % number: b"row"})
        said[:] = number.to_bytes(8)
        if number % 5 == 0:
            store._database.flush()
        time.sleep(0.0005)
"""


def test_nothing_is_between_the_log_and_the_tables(tmp_path: Path) -> None:
    """Found by a MUTATE by text that had missed jobs, once in some hundred runs of the suite.

    A catch-up that is done but once has such a hole here within a second or two.
    """
    place, data = tmp_path / "last", tmp_path / "data"
    place.write_bytes(bytes(8))
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(data), str(place)])
    try:
        with place.open("r+b") as file, mmap.mmap(file.fileno(), 8) as said:
            while int.from_bytes(said[:]) < LAST:
                assert writer.poll() is None, "it ended"
                time.sleep(0.01)
            store = RocksStore.following(data, log=tmp_path / "log", memory_bytes=8 << 20)
            end, looks = time.monotonic() + SECONDS, 0
            while time.monotonic() < end or looks < 20:
                newest = int.from_bytes(said[:])
                store.catch_up()
                looks += 1
                wanted = range(newest - LAST + 1, newest + 1)
                missing = [number for number in wanted if store.get(b"k%012d" % number) is None]
                assert not missing, f"of {newest}, in look {looks}"
            store.close()
    finally:
        writer.kill()
        writer.wait()
