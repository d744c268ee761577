"""The store on RocksDB keeps the port's promises, and those that only a disk can break."""

import errno
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from rocksdict import BottommostLevelCompaction, CompactOptions

from conformance.store import StoreConformance, StoreMachine, contents
from copies import copied
from lineshaft.errors import StoreBusy, StoreCorrupt, StoreError, UsageError
from lineshaft.store.port import Store
from lineshaft.store.rocks import RocksStore

MIB = 1 << 20


class TestConformance(StoreConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = RocksStore(tmp_path / "store")
        yield store
        store.close()


class RocksMachine(StoreMachine):
    def open_store(self) -> Store:
        self.directory = tempfile.TemporaryDirectory()
        return RocksStore(Path(self.directory.name))

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "directory"):
            self.directory.cleanup()


TestMachine = RocksMachine.TestCase
TestMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store"


def crashed(path: Path, tmp_path: Path) -> Path:
    """What a kill -9 would leave of the open store in `path`: its files as the kernel has them now."""
    return copied(path, tmp_path / "crashed")


def log_of(path: Path) -> Path:
    """The write-ahead log that holds the commits."""
    return max(path.glob("*.log"), key=lambda log: log.stat().st_size)


def hundred_commits(path: Path) -> RocksStore:
    store = RocksStore(path)
    for number in range(100):
        store.commit({number.to_bytes(2): b"v%d" % number * 20, b"last": b"%d" % number})
    return store


# What a death leaves.

CHILD = """
import sys
from pathlib import Path
from lineshaft.store.rocks import RocksStore
store = RocksStore(Path(sys.argv[1]))
number = 0
while True:
    store.commit({b"%d" % place: b"%d" % number for place in range(50)})
    print(number, flush=True)
    number += 1
"""


def test_kill_9_keeps_every_commit_whole(path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(200)]
    os.kill(child.pid, signal.SIGKILL)
    told += [int(line) for line in child.stdout.read().splitlines()]
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    store = RocksStore(path)
    numbers = set(contents(store).values())
    store.close()
    assert len(numbers) == 1
    # The child may have died between a commit and telling of it.
    assert int(numbers.pop()) in (told[-1], told[-1] + 1)


def test_closed_and_opened_again_it_is_the_same(path: Path) -> None:
    store = hundred_commits(path)
    before = contents(store)
    store.close()
    again = RocksStore(path)
    assert contents(again) == before
    again.close()


def test_a_torn_last_record_is_cut_off(path: Path, tmp_path: Path) -> None:
    store = hundred_commits(path)
    left = crashed(path, tmp_path)
    store.close()
    log = log_of(left)
    os.truncate(log, log.stat().st_size - 7)
    again = RocksStore(left)
    assert again.get(b"last") == b"98"
    assert len(contents(again)) == 100
    again.close()


def test_damage_in_the_middle_of_the_log_refuses_the_open(path: Path, tmp_path: Path) -> None:
    store = hundred_commits(path)
    left = crashed(path, tmp_path)
    store.close()
    log = log_of(left)
    damaged = bytearray(log.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 4] = bytes(byte ^ 0xFF for byte in damaged[middle : middle + 4])
    log.write_bytes(damaged)
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=f"lineshaft check -d {left}"):
            RocksStore(left)


def test_a_lost_manifest_refuses_the_open(path: Path) -> None:
    hundred_commits(path).close()
    (path / "CURRENT").unlink()
    with pytest.raises(StoreCorrupt, match="lineshaft check"):
        RocksStore(path)


def test_a_manifest_that_was_cut_off_never_costs_the_tables(path: Path, tmp_path: Path) -> None:
    store = hundred_commits(path)
    rows = contents(store)
    store.close()
    (manifest,) = path.glob("MANIFEST-*")
    whole = manifest.read_bytes()
    for cut in range(0, len(whole), 16):
        left = tmp_path / f"cut-{cut}"
        copied(path, left)
        (left / manifest.name).write_bytes(whole[:cut])
        tables = sorted(file.name for file in left.glob("*.sst"))
        try:
            store = RocksStore(left)
        except StoreCorrupt:
            assert sorted(file.name for file in left.glob("*.sst")) == tables
        else:
            assert contents(store) == rows
            store.close()


def test_a_damaged_table_never_looks_like_an_empty_range(path: Path) -> None:
    store = hundred_commits(path)
    store.close()
    (table,) = path.glob("*.sst")
    damaged = bytearray(table.read_bytes())
    damaged[40:44] = bytes(byte ^ 0xFF for byte in damaged[40:44])
    table.write_bytes(damaged)
    store = RocksStore(path)
    caught = []
    for reverse in (False, True):
        with pytest.raises(StoreCorrupt, match="lineshaft check") as error:
            store.scan(b"", b"\xff", limit=1000, reverse=reverse)
        caught.append(error)
    with pytest.raises(StoreCorrupt, match="lineshaft check"):
        store.get((5).to_bytes(2))
    # A failed read changes nothing, so the handle still serves; and the iterator it used is gone, even
    # while somebody keeps the error and its traceback.
    store.commit({b"after": b"1"})
    assert store.get(b"after") == b"1"
    store.close()
    RocksStore(path).close()
    assert len(caught) == 2


# Who may open.


def test_a_second_server_is_refused(path: Path) -> None:
    store = RocksStore(path)
    code = (
        "import sys; from pathlib import Path; from lineshaft.store.rocks import RocksStore; "
        "RocksStore(Path(sys.argv[1]))"
    )
    second = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"StoreError: another server runs on {path}" in second.stderr
    with pytest.raises(StoreError, match="in this process already"):
        RocksStore(path)
    store.commit({b"a": b"1"})
    assert store.get(b"a") == b"1"
    store.close()


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot open the store"):
        RocksStore(tmp_path / "file")


def test_the_same_options_hold_when_it_is_opened_again(path: Path) -> None:
    RocksStore(path, memory_bytes=64 * MIB).close()
    RocksStore(path, memory_bytes=32 * MIB).close()
    logged = (path / "LOG").read_text()
    assert f"Options.write_buffer_size: {4 * MIB}\n" in logged
    assert f"Options.write_buffer_size: {8 * MIB}\n" not in logged


# Failures.


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Let the kernel refuse (EFBIG) what this process writes behind `size` bytes of any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_failed_commit_poisons_and_the_directory_opens_again(path: Path) -> None:
    store = RocksStore(path)
    store.commit({b"a": b"1"})
    store.sync()
    with files_end_at(MIB), pytest.raises(StoreError, match="File too large"):
        store.commit({b"a": b"2", b"large": os.urandom(2 * MIB)})
    calls = (
        lambda: store.get(b"a"),
        lambda: store.scan(b"a", b"b", limit=1),
        lambda: store.commit({b"a": b"3"}),
        store.sync,
        store.figures,
        lambda: store.checkpoint(path.parent / "copy"),
    )
    for call in calls:
        with pytest.raises(StoreError, match="must be opened again"):
            call()
    store.close()
    store.close()
    again = RocksStore(path)
    # The outcome is unknown, but it is one of two.
    assert (again.get(b"a"), again.get(b"large") is None) in ((b"1", True), (b"2", False))
    again.commit({b"a": b"4"})
    again.sync()
    again.close()


def test_a_failed_sync_poisons_and_the_directory_opens_again(path: Path) -> None:
    store = RocksStore(path)
    store.commit({b"a": b"1"})
    broken = BrokenSync(store._database)
    store._database = broken  # type: ignore[assignment]
    with pytest.raises(StoreError, match="No space left"):
        store.sync()
    for call in (lambda: store.get(b"a"), lambda: store.commit({b"a": b"2"}), store.sync):
        with pytest.raises(StoreError, match="must be opened again"):
            call()
    assert broken.syncs == 1, "a failed fsync is never tried again"
    store.close()
    again = RocksStore(path)
    assert again.get(b"a") == b"1"
    again.close()


class BrokenSync:
    """A database whose fsync fails, as one on a dying disk does; all else is the real one."""

    def __init__(self, database: object) -> None:
        self.database = database
        self.syncs = 0

    def flush_wal(self, _sync: bool) -> None:
        self.syncs += 1
        raise Exception("IO error: No space left on device: While fdatasync")  # as rocksdict raises it

    def __getattr__(self, name: str) -> object:
        return getattr(self.database, name)


def test_a_write_stall_is_busy_and_the_same_commit_succeeds_later(path: Path) -> None:
    store = RocksStore(path)
    tight = {
        "level0_file_num_compaction_trigger": "100",
        "level0_slowdown_writes_trigger": "1",
        "level0_stop_writes_trigger": "1",
    }
    store.commit({b"a": b"1", b"b": b"1"})
    store._database.flush()
    store._database.set_options(tight)
    changes: dict[bytes, bytes | None] = {b"a": b"2", b"c": b"2"}
    for _ in range(3):
        with pytest.raises(StoreBusy, match="asks for a pause"):
            store.commit(changes, [(b"b", b"c")])
    assert contents(store) == {b"a": b"1", b"b": b"1"}
    store._database.set_options({"level0_slowdown_writes_trigger": "20", "level0_stop_writes_trigger": "36"})
    store.commit(changes, [(b"b", b"c")])
    assert contents(store) == {b"a": b"2", b"c": b"2"}
    store.close()


def test_a_batch_that_cannot_be_built_changes_nothing(path: Path) -> None:
    store = RocksStore(path)
    with pytest.raises(TypeError):
        store.commit({b"a": b"1", "text": b"2"})  # type: ignore[dict-item]
    assert contents(store) == {}
    store.commit({b"a": b"1"})
    store.close()


def test_close_waits_for_a_sync_under_way(path: Path) -> None:
    store = RocksStore(path)
    store.commit({b"a": b"1"})
    slow = SlowSync(store._database)
    store._database = slow  # type: ignore[assignment]
    syncing = threading.Thread(target=store.sync)
    syncing.start()
    slow.entered.wait()
    closing = threading.Thread(target=store.close)
    closing.start()
    closing.join(0.05)
    assert closing.is_alive()
    slow.leave.set()
    syncing.join()
    closing.join()
    RocksStore(path).close()


class SlowSync:
    """A database whose fsync lasts until `leave` is set."""

    def __init__(self, database: object) -> None:
        self.database = database
        self.entered = threading.Event()
        self.leave = threading.Event()

    def flush_wal(self, _sync: bool) -> None:
        self.entered.set()
        self.leave.wait()

    def __getattr__(self, name: str) -> object:
        return getattr(self.database, name)


# Copies and figures.


def test_a_checkpoint_is_a_store_of_its_own(path: Path, tmp_path: Path) -> None:
    store = hundred_commits(path)
    before = contents(store)
    store.checkpoint(tmp_path / "copy")
    store.commit({b"last": b"later"})
    copy = RocksStore(tmp_path / "copy")
    assert contents(copy) == before
    copy.commit({b"last": b"elsewhere"})
    assert store.get(b"last") == b"later"
    copy.close()
    store.close()


def test_a_checkpoint_from_a_thread_while_commits_go_on_is_a_moment_between_two(path: Path, tmp_path: Path) -> None:
    store = hundred_commits(path)
    copying = threading.Thread(target=store.checkpoint, args=(tmp_path / "copy",))
    copying.start()
    number = 100
    while copying.is_alive():
        store.commit({b"left": b"%d" % number, b"right": b"%d" % number})
        number += 1
    copying.join()
    copy = RocksStore(tmp_path / "copy")
    assert copy.get(b"left") == copy.get(b"right")
    assert copy.get(b"last") == b"99"
    copy.close()
    store.close()


def test_a_checkpoint_goes_nowhere_that_exists(path: Path, tmp_path: Path) -> None:
    store = hundred_commits(path)
    with pytest.raises(UsageError, match="new directory"):
        store.checkpoint(tmp_path)
    with pytest.raises(StoreError, match="nowhere"):
        store.checkpoint(tmp_path / "nowhere" / "copy")
    assert store.get(b"last") == b"99"
    store.close()


def elsewhere(*_: object) -> None:
    """What the kernel says when a directory is to be renamed to another file system."""
    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_a_copy_to_another_disk_is_given_up_when_the_store_is_closed(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = hundred_commits(path)
    monkeypatch.setattr("lineshaft.store.copying.os.rename", elsewhere)
    check, asked = store._check, []

    def closing() -> None:
        asked.append(None)
        if len(asked) == 2:
            # The first was before the copying; now some of it is done.
            store.close()
        check()

    monkeypatch.setattr(store, "_check", closing)
    with pytest.raises(StoreError, match="is closed"):
        store.checkpoint(tmp_path / "copy")
    assert sorted(os.listdir(tmp_path)) == [path.name]
    assert not (path / "backup.staging").exists()


def test_a_copy_to_another_disk_that_fails_leaves_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = hundred_commits(path)
    monkeypatch.setattr("lineshaft.store.copying.os.rename", elsewhere)
    with pytest.raises(StoreError, match="cross-device"):
        # Everything is copied, and then the copy cannot have its name.
        store.checkpoint(tmp_path / "copy")
    assert sorted(os.listdir(tmp_path)) == [path.name]
    assert store.get(b"last") == b"99"
    monkeypatch.undo()
    store.checkpoint(tmp_path / "copy")
    assert (tmp_path / "copy" / "CURRENT").exists()
    store.close()


def test_figures_follow_what_is_written(path: Path) -> None:
    store = RocksStore(path)
    store.commit({number.to_bytes(4): os.urandom(1000) for number in range(2000)})
    figures = store.figures()
    assert figures["memtable_bytes"] > 2_000_000
    assert figures["block_cache_bytes"] > 2_000_000, "the cache is charged for the memtables"
    assert figures["sst_files"] == 0
    store._database.flush()
    figures = store.figures()
    assert figures["memtable_bytes"] < 2_000_000 < figures["disk_bytes"]
    assert figures["sst_files"] == 1
    assert set(figures) == {
        "disk_bytes",
        "memtable_bytes",
        "table_reader_bytes",
        "block_cache_bytes",
        "running_compactions",
        "pending_compaction_bytes",
        "sst_files",
    }
    store.close()


def test_a_look_up_in_a_large_table_reads_no_more_than_in_a_small_one(path: Path) -> None:
    """The filter of such a table is larger than a part of the cache may be, so it must come in parts."""
    store = RocksStore(path)
    count = 1_200_000
    for start in range(0, count, 20_000):
        while True:
            try:
                store.commit({number.to_bytes(8): b"" for number in range(start, start + 20_000)})
                break
            except StoreBusy:
                store._database.flush()
    store._database.flush()
    whole = CompactOptions()
    whole.set_bottommost_level_compaction(BottommostLevelCompaction.force())
    store._database.compact_range(None, None, whole)
    assert store.figures()["sst_files"] == 1
    wanted = [number.to_bytes(8) for number in range(0, count, count // 300)]
    assert [store.get(key) for key in wanted] == [b""] * len(wanted)
    began = time.process_time()
    for key in wanted:
        store.get(key)
    # Some five microseconds of the processor; with a filter in one piece it was three hundred.
    assert (time.process_time() - began) / len(wanted) < 60e-6
    store.close()


def test_memory_stays_within_its_bound(path: Path) -> None:
    bound = 16 * MIB
    store = RocksStore(path, memory_bytes=bound)
    # As many in the one family as in the other.
    keys = [(b"A", b"R")[number % 2] + number.to_bytes(4) for number in range(3000)]
    for key in keys:
        while True:
            try:
                store.commit({key: os.urandom(16 << 10)})
                break
            except StoreBusy:
                store._families.flush()
    # Read everything through the cache, 48 MiB.
    for key in keys:
        assert store.get(key) is not None
    figures = store.figures()
    assert figures["disk_bytes"] > 2 * bound
    # The cache admits a few blocks over its bound while they are in use.
    assert figures["block_cache_bytes"] <= bound + MIB
    assert figures["memtable_bytes"] <= bound
    store.close()
