"""`lineshaft export`: the jobs of a data directory or a backup, as lines of JSON.

    {"export":1,"lineshaft":"0.1.0","at":"2026-11-25T13:00:00.000Z"}
    {"queue":"mail","paused":true}
    {"place":"ready","job":{"jid":...}}
    {"place":"retries","at":"2026-11-25T14:00:00.000Z","job":{...}}
    {"end":{"ready":1,"leased":0,"scheduled":0,"retries":1,"dead":0}}

The last line tells that nothing is missing. A job stands there as a worker gets it, with its `priority` where it is
not the usual one; `at` is when it is due, or died; a leased job names its `worker`. `lineshaft import` takes it.

The directory is opened for reading only, and nothing in it changes; a server that runs on it is refused, since its
files would move underneath.
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Annotated, Any, Final

from cyclopts import Parameter
from msgspec import json as msgspec_json
from rich.console import Console

from lineshaft import __version__
from lineshaft.cli.check import find_data, require_store
from lineshaft.cli.words import plural
from lineshaft.clock import system_clock
from lineshaft.config.model import Environment
from lineshaft.engine import keys
from lineshaft.engine.check.findings import SETS, shown
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.records import QueueRecord, decode_leases, decode_queue
from lineshaft.engine.value import split_value
from lineshaft.engine.views.exported import first_line, job_line, last_line
from lineshaft.errors import StoreCorrupt, StoreError, UsageError
from lineshaft.job import UNREADABLE
from lineshaft.lifecycle import Place
from lineshaft.store.port import Store
from lineshaft.store.rocks import RocksStore

__all__ = ["Export", "export", "open_for_reading"]

#: Lines between two reports of how far it came.
STEP: Final = 1000

_PLACES: Final = (Place.READY, Place.LEASED, Place.SCHEDULED, Place.RETRIES, Place.DEAD)


def export(
    *,
    data: Annotated[str | None, Parameter(name=["--data", "-d"], metavar="DIR")] = None,
    environment: Annotated[Environment | None, Parameter(name=["--environment", "-e"])] = None,
    output: Annotated[
        str, Parameter(name=["--output", "-o"], metavar="FILE", show_default=False, allow_leading_hyphen=True)
    ] = "-",
) -> int:
    """Write the jobs of a data directory on which no server runs, or of a backup, as lines of JSON.

    Exit code 1: some rows could not be read, and are left out.

    Parameters
    ----------
    data
        The directory, or a backup [default: ~/.lineshaft/data; staging and production: /var/lib/lineshaft].
    environment
        Which default applies [default: FAKTORY_ENV, else development].
    output
        A new file [default: standard output].
    """
    path = find_data(data, environment)
    require_store(path)
    complaints: list[str] = []
    with ExitStack() as stack:
        store = stack.enter_context(open_for_reading(path))
        out = stack.enter_context(_opened(output))
        written = _write(Export(store, complaints), out, stack.enter_context(_progress(path)))
    print(f"{plural(written, 'job')} exported from {path}", file=sys.stderr)
    if complaints:
        for complaint in complaints[:10]:
            print(f"left out: {complaint}", file=sys.stderr)
        raise StoreCorrupt(f"{plural(len(complaints), 'place')} could not be read: run `lineshaft check -d {path}`")
    return 0


class Export:
    """The lines of an export, in order; `complaints` is told what cannot be read."""

    def __init__(self, store: Store, complaints: list[str]) -> None:
        self._reader = Reader(store, lambda key, what: complaints.append(f"{shown(key)}: {what}"))
        self._complaints = complaints
        self._queues: dict[str, QueueRecord] = {}
        #: Where leased jobs lie, and who has them.
        self._held: dict[bytes, str] = {}
        self.counts = dict.fromkeys(_PLACES, 0)

    def lines(self, now: int) -> Iterator[bytes]:
        """Every line, without its end."""
        yield first_line(now, __version__)
        self._remember_leases()
        for key, value in self._rows(b"Q"):
            name = key[1:].decode()
            self._queues[name] = decode_queue(value)
            yield msgspec_json.encode({"queue": name, "paused": self._queues[name].paused})
        # Those in lanes lie under a key of their own kind.
        for prefix in (b"R", b"V"):
            for key, value in self._rows(prefix):
                yield from self._ready(key, value)
        for code, place in SETS.items():
            for key, value in self._rows(b"T" + code):
                yield from self._job(place, key, value, at=keys.timed_due(key))
        yield last_line(self.counts)

    def _rows(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for rows in self._reader.slices(*keys.prefix_range(prefix)):
            yield from rows

    def _remember_leases(self) -> None:
        for key, value in self._rows(b"L"):
            try:
                self._held |= {lease.key: lease.holder for lease in decode_leases(value)}
            except UNREADABLE as error:
                self._complaints.append(f"{shown(key)}: {error}")

    def _ready(self, key: bytes, value: bytes) -> Iterator[bytes]:
        name, generation, priority = keys.ready_parts(key)
        holder = self._held.get(key)
        queue = self._queues.get(name)
        if holder is not None:
            worker = "" if holder.startswith("\0") else holder
            yield from self._job(Place.LEASED, key, value, priority=priority, worker=worker)
        elif queue is not None and queue.generation == generation:
            # What lies under another generation was removed, and is only waiting to be swept.
            yield from self._job(Place.READY, key, value, priority=priority)

    def _job(
        self,
        place: Place,
        key: bytes,
        value: bytes,
        *,
        at: int | None = None,
        priority: int | None = None,
        worker: str = "",
    ) -> Iterator[bytes]:
        try:
            extras, payload = split_value(value)
            number = extras.priority if priority is None else priority
            line = job_line(place, payload, number, at=at, worker=worker)
        except UNREADABLE as error:
            self._complaints.append(f"{shown(key)}: {error}")
            return
        self.counts[place] += 1
        yield line


@contextmanager
def open_for_reading(path: Path) -> Iterator[Store]:
    """The store in a directory, which is not changed. Raises StoreError while a server runs on it."""
    with ExitStack() as stack:
        _require_unlocked(path)
        log = stack.enter_context(tempfile.TemporaryDirectory(prefix="lineshaft-"))
        store = RocksStore.reading(path, log=Path(log))
        stack.callback(store.close)
        yield store


def _require_unlocked(path: Path) -> None:
    """Raises StoreError when another process has the store open: RocksDB locks its file LOCK."""
    try:
        descriptor = os.open(path / "LOCK", os.O_RDWR)
    except OSError:
        return  # a backup has none, and on a disk that cannot be written to nobody runs
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StoreError(
            f"a server runs on {path}: make a backup of it with `lineshaft backup`, and export that"
        ) from None
    finally:
        os.close(descriptor)


@contextmanager
def _opened(output: str) -> Iterator[IO[bytes]]:
    """Where the lines go. Raises UsageError for a file that exists."""
    if output == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if os.path.lexists(output):
        raise UsageError(f"{output} exists; --output needs the name of a new file")
    with Path(output).open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _progress(path: Path) -> Iterator[Any]:
    """How far it came, on a terminal; elsewhere nothing."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    with console.status(f"exporting {path}") as status:
        yield lambda count: status.update(f"exporting {path}: {count:,} lines")


def _write(exported: Export, out: IO[bytes], report: Any) -> int:
    for number, line in enumerate(exported.lines(system_clock())):
        out.write(line + b"\n")
        if number % STEP == 0:
            report(number)
    return sum(exported.counts.values())
