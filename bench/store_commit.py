"""What a commit costs: the adapter's own options against single changes to them.

    python bench/store_commit.py                         every variant, batches of 1, 4 and 64 jobs
    python bench/store_commit.py --only chosen,stock     some of them
    python bench/store_commit.py --backlog 1000000       enqueue that many, then drain: does compaction hurt?

A job is six operations over its life, as in the server: put its ready row and its jid row; later put its
lease; later delete the three. One batch carries those steps of as many jobs (`pipeline`: jobs live for two
batches; `backlog`: all are put before the first is fetched). The comparison counts the processor time that this
thread spends building and writing the batch, nothing else, and no sync. Rounds are interleaved; the best of each
is printed (on a shared machine everything that disturbs only ever adds), and the ratio to the first variant.
Judge by ratios: absolute figures are the machine's. The spread between `chosen` and `chosen again`, which are the
same, says how much a ratio is worth.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rocksdict import Options, Rdict, WriteBatch, WriteBufferManager, WriteOptions

from lineshaft.errors import StoreBusy
from lineshaft.store.rocks import RocksStore
from lineshaft.store.rocks_options import DEFAULT_MEMORY_BYTES, rocks_options, rocks_write_options

__all__ = ["main"]

MIB = 1 << 20
PAYLOAD = (
    b'{"jid":"%024d","queue":"default","jobtype":"SomeJob","args":[1,"string",3],"retry":25,'
    b'"created_at":"2026-11-23T10:00:00.000Z","enqueued_at":"2026-11-23T10:00:00.000Z"}'
)
LEASE = b"%024d default worker-1 1700000000000 1700000000000"


class Variant(NamedTuple):
    """One way to open and write; made anew for every run, since options hold caches."""

    options: Callable[[], Options]
    writes: Callable[[], WriteOptions]


def stock_options() -> Options:
    """RocksDB as it comes."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    return options


def changed(change: Callable[[Options], object]) -> Variant:
    """The adapter's options with one change."""

    def options() -> Options:
        made = rocks_options(DEFAULT_MEMORY_BYTES)
        change(made)
        return made

    return Variant(options, rocks_write_options)


def with_hint() -> WriteOptions:
    """The adapter's write options, and a place in the memtable kept from key to key of a batch."""
    options = rocks_write_options()
    options.memtable_insert_hint_per_batch = True
    return options


VARIANTS: dict[str, Variant] = {
    "chosen": Variant(rocks_options, rocks_write_options),
    "stock": Variant(stock_options, WriteOptions),
    "insert hint": Variant(rocks_options, with_hint),
    "memtable for one writer": changed(lambda o: o.set_allow_concurrent_memtable_write(False)),
    "no adaptive yield": changed(lambda o: o.set_enable_write_thread_adaptive_yield(False)),
    "memtable 2 MiB": changed(lambda o: o.set_write_buffer_size(2 * MIB)),
    "memtable 4 MiB": changed(lambda o: o.set_write_buffer_size(4 * MIB)),
    "memtable 8 MiB": changed(lambda o: o.set_write_buffer_size(8 * MIB)),
    "memtable 16 MiB": changed(lambda o: o.set_write_buffer_size(16 * MIB)),
    "memtable 32 MiB": changed(lambda o: o.set_write_buffer_size(32 * MIB)),
    "memtable 128 MiB": changed(lambda o: o.set_write_buffer_size(128 * MIB)),
    "arena 64 KiB": changed(lambda o: o.set_arena_block_size(64 << 10)),
    "arena 4 MiB": changed(lambda o: o.set_arena_block_size(4 * MIB)),
    "huge pages": changed(lambda o: o.set_memtable_huge_page_size(2 * MIB)),
    "not charged to cache": changed(lambda o: o.set_write_buffer_manager(WriteBufferManager(1 << 30, False))),
    "pipelined write": changed(lambda o: o.set_enable_pipelined_write(True)),
    "log paced 512 KiB": changed(lambda o: o.set_wal_bytes_per_sync(512 << 10)),
    "adaptive mutex": changed(lambda o: o.set_use_adaptive_mutex(True)),
    "no file pacing": changed(lambda o: o.set_bytes_per_sync(0)),
    "chosen again": Variant(rocks_options, rocks_write_options),
}


def put_step(batch: WriteBatch, job: int) -> None:
    """A push: the ready row and the jid row."""
    sequence = job.to_bytes(8)
    ready = b"R\x07default\0\0\0\0\0\0\0\1\4" + sequence
    batch.put(ready, PAYLOAD % job)
    batch.put(b"W\0\x18%024d" % job + sequence, ready)


def lease_step(batch: WriteBatch, job: int) -> None:
    """A fetch."""
    batch.put(b"L" + job.to_bytes(8), LEASE % job)


def done_step(batch: WriteBatch, job: int) -> None:
    """An ack."""
    sequence = job.to_bytes(8)
    batch.delete(b"R\x07default\0\0\0\0\0\0\0\1\4" + sequence)
    batch.delete(b"W\0\x18%024d" % job + sequence)
    batch.delete(b"L" + sequence)


def pipeline(variant: Variant, directory: Path, jobs: int, size: int) -> float:
    """Microseconds per job when jobs come and go in batches of `size`."""
    options = variant.options()
    database = Rdict(str(directory), options, {"default": options})
    database.set_write_options(variant.writes())
    steps = ((put_step, 0), (lease_step, size), (done_step, 2 * size))
    spent = 0.0
    for first in range(0, jobs, size):
        began = time.thread_time()
        batch = WriteBatch(True)
        for step, behind in steps:
            for job in range(max(first - behind, 0), first - behind + size):
                step(batch, job)
        try:
            database.write(batch)
        except Exception as error:
            if "Write stall" not in str(error):
                raise
            # The batch is lost, which matters to nobody here.
            time.sleep(0.002)
        spent += time.thread_time() - began
    database.close()
    return spent / jobs * 1e6


def compare(names: list[str], jobs: int, rounds: int, sizes: list[int], root: Path) -> None:
    """Print the best time per job of each variant and batch size, beside its ratio to the first's."""
    times: dict[tuple[str, int], list[float]] = {(name, size): [] for name in names for size in sizes}
    for _ in range(rounds):
        for (name, size), measured in times.items():
            measured.append(pipeline(VARIANTS[name], root / "db", jobs, size))
            shutil.rmtree(root / "db")
    print(f"{'us per job (ratio to ' + names[0] + ')':32}" + "".join(f"{size:>10} a batch" for size in sizes))
    for name in names:
        row = f"{name:32}"
        for size in sizes:
            best = min(times[name, size])
            row += f"{best:10.2f} ({best / min(times[names[0], size]):4.2f}) "
        print(row, flush=True)


def commit_patiently(store: RocksStore, changes: dict[bytes, bytes | None], waits: list[float]) -> None:
    """Commit, repeating it while the store is busy, as the server does."""
    while True:
        try:
            return store.commit(changes)
        except StoreBusy:
            waits.append(0.002)
            time.sleep(0.002)


def backlog(jobs: int, size: int, directory: Path, memory_bytes: int) -> None:
    """Enqueue `jobs`, then drain them, through the adapter; print each phase's cost and what it left."""
    store = RocksStore(directory, memory_bytes=memory_bytes)
    low, high = b"R\x07default", b"R\x07defaulu"
    for phase in ("enqueue", "drain"):
        waits: list[float] = []
        commits: list[float] = []
        scans: list[float] = []
        rows: list[tuple[bytes, bytes]] = []
        began_phase, processor = time.perf_counter(), time.process_time()
        for first in range(0, jobs, size):
            changes: dict[bytes, bytes | None] = {}
            if phase == "drain" and not rows:
                began = time.perf_counter()
                rows = store.scan(low, high, limit=1000)
                scans.append(time.perf_counter() - began)
                low = rows[-1][0] + b"\0"
            for job in range(first, min(first + size, jobs)):
                sequence = job.to_bytes(8)
                ready = b"R\x07default\0\0\0\0\0\0\0\1\4" + sequence
                where = b"W\0\x18%024d" % job + sequence
                if phase == "enqueue":
                    changes[ready] = PAYLOAD % job
                    changes[where] = ready
                else:
                    changes[b"L" + sequence] = LEASE % job
                    changes[ready] = changes[where] = None
                    if job >= size:
                        changes[b"L" + (job - size).to_bytes(8)] = None
            del rows[:size]
            began = time.perf_counter()
            commit_patiently(store, changes, waits)
            commits.append(time.perf_counter() - began)
        wall = time.perf_counter() - began_phase
        commits.sort()
        scans.sort()
        print(
            f"{phase:8} {jobs / wall:9,.0f} jobs/s; commit {sum(commits) / jobs * 1e6:.2f} us/job, "
            f"p99 {commits[int(len(commits) * 0.99)] * 1e3:.2f} ms, worst {commits[-1] * 1e3:.1f} ms; "
            f"busy {len(waits)} times; processor {(time.process_time() - processor) / wall:.2f} cores; "
            + (f"worst scan of 1,000 {scans[-1] * 1e3:.1f} ms; " if scans else "")
            + f"peak RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB"
        )
        print("         " + ", ".join(f"{name} {value:,}" for name, value in store.figures().items()))
    began = time.perf_counter()
    store.scan(b"R", b"S", limit=1)
    print(f"scan from the queue's start across the tombstones: {(time.perf_counter() - began) * 1e3:.1f} ms")
    began = time.perf_counter()
    store.close()
    size_left = sum(entry.stat().st_size for entry in os.scandir(directory))
    print(f"close {(time.perf_counter() - began) * 1e3:.0f} ms; {size_left / MIB:.1f} MiB left on disk")


def main() -> None:
    """Run what the command line asks for, in a temporary directory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(VARIANTS), help="variants, comma-separated; the first is the base")
    parser.add_argument("--jobs", type=int, default=60_000, help="jobs a run (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds (default %(default)s)")
    parser.add_argument("--sizes", default="1,4,64", help="jobs a batch (default %(default)s)")
    parser.add_argument("--backlog", type=int, metavar="N", help="enqueue and drain N jobs instead")
    memory = DEFAULT_MEMORY_BYTES // MIB
    parser.add_argument("--memory", type=int, default=memory, help="MiB for the backlog (default %(default)s)")
    parser.add_argument("--dir", type=Path, help="where to put the data (default: the system's temporary directory)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as made:
        root = Path(made)
        if arguments.backlog:
            backlog(arguments.backlog, 100, root / "db", arguments.memory * MIB)
        else:
            sizes = [int(size) for size in arguments.sizes.split(",")]
            compare(arguments.only.split(","), arguments.jobs, arguments.rounds, sizes, root)


if __name__ == "__main__":
    main()
