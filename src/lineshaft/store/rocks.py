"""The store on RocksDB, through rocksdict: one directory, one process.

    commit   one WriteBatch: memtable and write-ahead log (WAL), so kill -9 loses nothing
    sync     fsync of the WAL, in the caller's thread, while another thread commits
    open     replays the WAL; a torn tail is cut off, anything else that is damaged refuses the open

What is true after every call:

* a failed commit or sync poisons the handle: every later call raises StoreError until the directory is
  opened again, so nothing can be built on an outcome that nobody knows;
* no iterator outlives a scan, and nothing but this object refers to the database, so `close` frees the
  directory even when RocksDB has failed, and the same process can open it again;
* memory stays near `memory_bytes` whatever lies on disk: one cache holds blocks, indexes, filters, and is
  charged for the memtables.

rocksdict raises bare `Exception` for whatever RocksDB reports, hence the broad `except` clauses here: they
stand around single calls into RocksDB and turn its words into our errors. Which rows lie in which tables is said in
`families`; the options are in `rocks_options`; what RocksDB would open as if it had never been is refused by `lost`.
"""

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, Self

from rocksdict import AccessType, Checkpoint, Options

from lineshaft.errors import StoreBusy, StoreCorrupt, StoreError, UsageError
from lineshaft.store.copying import move_files, sync_directory
from lineshaft.store.families import Families
from lineshaft.store.lost import refuse_what_is_lost
from lineshaft.store.port import Changes, KeyRange
from lineshaft.store.rocks_options import DEFAULT_MEMORY_BYTES, rocks_options, rocks_write_options
from lineshaft.store.timing import Durations

__all__ = ["FOLLOWER", "RocksStore"]

#: Where a checkpoint is made before it moves to its place; with FOLLOWER all in the directory that is not RocksDB's.
STAGING: Final = "backup.staging"

#: Where a process that follows the store says what it has to say.
FOLLOWER: Final = "search.log"

#: RocksDB has seven levels unless told otherwise; `figures` asks each for its files.
_LEVELS: Final = 7


class RocksStore:
    """A store in the directory `path`, which is made when it is missing.

    `memory_bytes` bounds memtables and cached blocks together; at least 8 MiB are taken. Raises
    StoreCorrupt when what lies there cannot be read as it was written, StoreError when another server
    runs on the directory or the disk refuses.

    Every method but `sync` belongs to one thread; `sync` and `checkpoint` may run in others.
    """

    def __init__(self, path: Path, *, memory_bytes: int = DEFAULT_MEMORY_BYTES) -> None:
        # Fixed for life.
        self._path = path
        # `close` takes both: rocksdict cannot close a database that another thread is inside of.
        self._syncing = threading.Lock()
        self._copying = threading.Lock()
        self._durations = {"commit": Durations(), "sync": Durations()}
        # Set once, by whatever fails first.
        self._failure: str | None = None
        try:
            path.mkdir(parents=True, exist_ok=True)
            refuse_what_is_lost(path)
            self._open(rocks_options(memory_bytes))
            # Makes the name of a new directory durable: RocksDB does that only for what lies inside.
            sync_directory(path.parent)
            # What a backup left that a crash cut short would keep old tables on the disk.
            shutil.rmtree(path / STAGING, ignore_errors=True)
            shutil.rmtree(path / FOLLOWER, ignore_errors=True)
        except StoreCorrupt:
            raise
        except Exception as error:
            raise self._refusal_to_open(str(error)) from None
        self._database.set_write_options(rocks_write_options())

    @classmethod
    def reading(cls, path: Path, *, log: Path) -> Self:
        """The store in `path` for reading only: nothing there changes, and what is in its log is seen all the same.

        RocksDB wants a directory for what it has to say, `log`. No other process may have the store open, or what is
        read is of different moments. Raises as the constructor, and StoreError for every commit.
        """
        refuse_what_is_lost(path)
        options = rocks_options()
        options.set_db_log_dir(str(log))
        return cls._reader(path, options, AccessType.read_only(error_if_log_file_exist=False))

    @classmethod
    def following(cls, path: Path, *, log: Path, memory_bytes: int) -> Self:
        """The store in `path` for reading, while another process has it open and writes (a RocksDB secondary).

        What is read is as of the last `catch_up`, and of one moment. Nothing in `path` changes; RocksDB wants a
        directory for what it has to say, `log`. Raises StoreError, StoreCorrupt.
        """
        options = rocks_options(memory_bytes)
        # The other process deletes tables as it likes: what is open stays readable.
        options.set_max_open_files(-1)
        options.set_keep_log_file_num(1)
        store = cls._reader(path, options, AccessType.secondary(str(log)))
        try:
            # As it is opened it has seen no more than a first catch-up has.
            store.catch_up()
        except StoreError:
            store.close()
            raise
        return store

    @classmethod
    def _reader(cls, path: Path, options: Options, access: AccessType) -> Self:
        store = cls.__new__(cls)
        store._path, store._failure = path, None
        store._syncing, store._copying = threading.Lock(), threading.Lock()
        store._durations = {"commit": Durations(), "sync": Durations()}
        try:
            store._open(options, access)
        except Exception as error:
            raise store._refusal_to_open(str(error)) from None
        return store

    def _open(self, options: Options, access: AccessType | None = None) -> None:
        self._families = Families(self._path, options, access)
        self._database = self._families.database

    def catch_up(self) -> None:
        """Let a store that follows another process see what that has committed by now. Raises StoreError.

        Twice, since RocksDB reads first which tables there are, and then the logs. What moves from a log into a table
        in between is in neither; the second time finds that table, and what the first found in a log stays in memory.
        """
        self._check()
        try:
            for _ in range(2):
                self._database.try_catch_up_with_primary()
        except Exception as error:
            raise self._translated(error) from None

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None. Raises StoreError, StoreCorrupt."""
        if self._failure is not None:
            raise StoreError(self._failure)
        try:
            return self._families.get(key)
        except Exception as error:
            raise self._translated(error) from None

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """As `Store.scan`. A damaged block raises StoreCorrupt; it never looks like the end of the range."""
        self._check()
        if start >= end or limit <= 0:
            return []
        try:
            return self._families.scan(start, end, limit, limit_bytes, reverse)
        except Exception as error:
            raise self._translated(error) from None

    def commit(self, changes: Changes, cleared: Sequence[KeyRange] = ()) -> None:
        """As `Store.commit`: one write, in the memtable and handed to the kernel when this returns.

        Raises StoreBusy in a write stall: RocksDB has written nothing. It has consumed the batch, which is
        why a batch is built here on every call, from what the caller still holds.
        """
        if self._failure is not None:
            raise StoreError(self._failure)
        batch = self._families.batch(changes, cleared)
        began = perf_counter()
        try:
            self._database.write(batch)
        except Exception as error:
            if "Write stall" in str(error):
                raise StoreBusy(f"the store in {self._path} asks for a pause: {error}") from None
            raise self._poisoned(error) from None
        self._durations["commit"].add(perf_counter() - began)

    def sync(self) -> None:
        """As `Store.sync`: an fsync of the write-ahead log, from any thread, one at a time."""
        with self._syncing:
            self._check()
            began = perf_counter()
            try:
                self._database.flush_wal(True)
            except Exception as error:
                raise self._poisoned(error) from None
            self._durations["sync"].add(perf_counter() - began)

    def checkpoint(self, path: Path) -> None:
        """As `Store.checkpoint`; on the same file system the copy shares its table files with the store.

        It may run in a thread of its own while commits go on, and should: it first writes out the memtable
        without holding the interpreter, and only the few rows that came in meanwhile are left for RocksDB's
        own checkpoint, which does hold it. That one is made inside of the store's directory, where it is a matter
        of hard links; from there it is moved to `path`, or copied if that lies elsewhere, which may take long, holds
        nobody, and is given up when the store is closed. Raises UsageError when `path` exists, StoreError when the
        copy failed (the store itself is unharmed). A crash half way leaves `path`.partial behind, never `path`.
        """
        if path.exists():
            raise UsageError(f"{path} exists; a checkpoint needs the name of a new directory")
        staging = self._path / STAGING
        try:
            with self._copying:
                self._check()
                shutil.rmtree(staging, ignore_errors=True)
                self._families.flush()
                Checkpoint(self._database).create_checkpoint(str(staging))
            move_files(staging, path, lambda _: self._check())
        except (StoreError, UsageError):
            raise
        except Exception as error:
            raise self._translated(error) from None
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    def figures(self) -> dict[str, int]:
        """The database's own counters; some thirty microseconds, no disk access.

        `disk_bytes` is an estimate: the table files, and for the write-ahead log as much as the memtables
        hold. `block_cache_bytes` includes what the cache is charged for the memtables.
        """
        self._check()
        try:
            figure, shared = self._families.figure, self._families.shared_figure
            tables = figure("total-sst-files-size")
            memtables = figure("size-all-mem-tables")
            return {
                "disk_bytes": tables + memtables,
                "memtable_bytes": memtables,
                "table_reader_bytes": figure("estimate-table-readers-mem"),
                "block_cache_bytes": shared("block-cache-usage"),
                "running_compactions": shared("num-running-compactions"),
                "pending_compaction_bytes": figure("estimate-pending-compaction-bytes"),
                "sst_files": sum(figure(f"num-files-at-level{level}") for level in range(_LEVELS)),
            }
        except Exception as error:
            raise self._translated(error) from None

    def durations(self) -> dict[str, Durations]:
        """How long `commit` (the write itself) and `sync` took since the store was opened."""
        return self._durations

    def close(self) -> None:
        """As `Store.close`: waits for a sync or checkpoint under way, then lets go of everything.

        Writes out the memtable first where that still works, so that the next open replays no log.
        """
        with self._syncing, self._copying:
            self._failure = self._failure or f"the store in {self._path} is closed"
            self._families.close()

    def _check(self) -> None:
        if self._failure is not None:
            raise StoreError(self._failure)

    def _poisoned(self, error: Exception) -> StoreError:
        """The error to raise for a failed write; from here on every call is refused."""
        self._failure = f"the store in {self._path} failed and must be opened again: {error}"
        return self._translated(error)

    def _translated(self, error: Exception) -> StoreError:
        text = str(error)
        if text.startswith("Corruption"):
            return _corrupt(self._path, text)
        return StoreError(f"the store in {self._path}: {text}")

    def _refusal_to_open(self, text: str) -> StoreError:
        if text.startswith("Corruption"):
            return _corrupt(self._path, text)
        if "While lock file" in text:
            return StoreError(f"another server runs on {self._path}: its lock is held by another process")
        if "lock hold by current process" in text:
            return StoreError(f"{self._path} is open in this process already")
        return StoreError(f"cannot open the store in {self._path}: {text}")


def _corrupt(path: Path, text: str) -> StoreCorrupt:
    return StoreCorrupt(f"the store in {path} is damaged: {text}; see `lineshaft check -d {path}`")
