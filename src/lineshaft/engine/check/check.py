"""Check: whether what lies in a store is what the engine leaves there between two commits.

The store is read once, in key order, in slices. That order is a gift: chores, leases, the sequence and the queues come
before the jobs that they speak of, and the index comes last.

    B batches | F format | I watermark | L leases | N sequence | Q queues | R ready | S sets | T timed | W index
                         |--------- remembered: work in hand -------------|--- held against it ---| counted

Memory follows the work in hand, not the backlog: the leases, one small record for each queue and each removed queue,
and a bit for each job (see `check.index`). The laws stand beside the kind of row that they speak of:

    check_jobs     leases, queues, sets, and the jobs in them
    check_index    numbers, and the jid index
    check_batches  batches, their callbacks, the states of their jobs
    check_lanes    lanes, their turns
    check_ends     locks, tracks, expiries
    check_history  finished jobs

What a disk made unreadable is stepped over, and named (see `reader`); laws about counts are left alone then.
"""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any, Final

from msgspec import json, structs

from lineshaft.engine import keys
from lineshaft.engine.admin.sweep import SWEEP
from lineshaft.engine.agenda.agenda import CHORES
from lineshaft.engine.check.batches import BatchLaws
from lineshaft.engine.check.ends import EndLaws
from lineshaft.engine.check.findings import Finding, Law, MalformedKey, Severity, Tally, shown
from lineshaft.engine.check.history import HistoryLaws
from lineshaft.engine.check.index import IndexLaws
from lineshaft.engine.check.jobs import JobLaws, check_name
from lineshaft.engine.check.lanes import LaneLaws
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.lanes.lanes import RELANE
from lineshaft.engine.records import (
    decode_bucket,
    decode_chore,
    decode_day,
    decode_note,
    decode_periodic,
    decode_position,
    decode_totals,
    decode_worker,
)
from lineshaft.engine.stats.notes import EVERY_MS
from lineshaft.errors import StoreCorrupt
from lineshaft.job import UNREADABLE
from lineshaft.store.port import Store

__all__ = ["check"]

#: No key of ours begins with 0xff, and one that did would have to be longer than this to be missed.
END: Final = b"\xff" * 32


def check(
    store: Store, *, tally: Tally | None = None, on_slice: Callable[[Tally], None] | None = None
) -> Iterator[Finding]:
    """Everything that is wrong in a store, in key order; what needs the whole picture comes last.

    `tally` is filled on the way and complete at the end; `on_slice` is called with it after each slice. Changes
    nothing. A store without a row is a new one, and clean. Raises StoreError when the disk refuses, but no
    StoreCorrupt: what cannot be read is a finding.
    """
    return _Walk(store, tally or Tally(), on_slice or (lambda _: None)).findings()


class _Walk:
    """One way through a store."""

    def __init__(self, store: Store, tally: Tally, on_slice: Callable[[Tally], None]) -> None:
        self.store = store
        self.tally = tally
        self.on_slice = on_slice
        self.found: list[Finding] = []
        self.reader = Reader(store, partial(self._report, Law.UNREADABLE))
        # The laws, by kind of row.
        self.index = IndexLaws(self.reader, self._report)
        self.ends = EndLaws(self.reader, self._report, self.index.numbers)
        self.batches = BatchLaws(self.reader, self._report)
        self.lanes = LaneLaws(self.reader, self._report)
        self.past = HistoryLaws(self.reader, self._report)
        self.jobs = JobLaws(
            self.reader, self._report, tally, index=self.index, ends=self.ends, batches=self.batches, lanes=self.lanes
        )
        self.kinds: dict[bytes, Callable[[bytes, bytes], None]] = {
            b"A": _single(keys.POSITION_KEY, decode_position),
            b"B": self.batches.row,
            b"C": self._chore,
            b"D": self._day,
            b"E": self.ends.expiry,
            b"F": _single(keys.FORMAT_KEY, None),
            b"G": _single(keys.TOTALS_KEY, decode_totals),
            b"H": self.past.row,
            b"I": self.index.watermark_row,
            b"J": self._periodic,
            b"K": self._worker,
            b"L": self.jobs.leases,
            b"M": self._bucket,
            b"N": self.index.sequence,
            b"O": self.lanes.row,
            b"P": self.ends.track,
            b"Q": self.jobs.queue,
            b"R": self.jobs.ready,
            b"S": self.jobs.set,
            b"T": self.jobs.timed,
            b"U": self.ends.lock,
            b"V": self.jobs.ready,
            b"W": self.index.entry,
            b"X": self._set_aside,
            b"Y": self.jobs.failures,
            b"Z": self._note,
        }

    def findings(self) -> Iterator[Finding]:
        """As `check`."""
        if self._has_format():
            for rows in self.reader.slices(b"", END):
                for key, value in rows:
                    self._row(key, value)
                self.tally.rows += len(rows)
                self.on_slice(self.tally)
                yield from self._drain()
            if not self.reader.unreadable:
                for law in (self.batches.whole, self.index.hold_sequence, self.jobs.whole, self.past.whole):
                    law()
            yield from self._drain()
            for _ in self.index.follow():
                yield from self._drain()
        yield from self._drain()

    def _drain(self) -> list[Finding]:
        found, self.found = self.found, []
        return found

    def _report(self, law: Law, key: bytes, what: str, severity: Severity = Severity.DAMAGE) -> None:
        self.found.append(Finding(law, shown(key), what, severity))

    def _has_format(self) -> bool:
        """Whether the rest can be read at all."""
        try:
            value = self.store.get(keys.FORMAT_KEY)
            if value is None:
                if self.store.scan(b"", END, limit=1):
                    self._report(Law.FORMAT, keys.FORMAT_KEY, "no format is written; checked as the present one")
                return True
        except StoreCorrupt:
            return True  # the walk meets it too, and tells
        if value == b"%d" % keys.FORMAT_VERSION:
            return True
        said = value[:20].decode(errors="replace")
        what = f"the data has format {said}, and only {keys.FORMAT_VERSION} can be checked: use the version of it"
        self._report(Law.FORMAT, keys.FORMAT_KEY, what)
        return False

    # Rows

    def _row(self, key: bytes, value: bytes) -> None:
        kind = self.kinds.get(key[:1])
        if kind is None:
            self._report(Law.KEY, key, "this version writes no such key", Severity.UNTIDY)
            return
        try:
            kind(key, value)
        except MalformedKey:
            self._report(Law.KEY, key, "the key is not made as keys of its kind are, so nothing ever looks here")
        except UNREADABLE as error:
            self._report(Law.RECORD, key, f"what lies here cannot be read as what it should be: {error}")

    def _set_aside(self, key: bytes, value: bytes) -> None:
        what = f"a row of {len(value)} bytes that could not be read was moved here, from {shown(key[1:])}"
        self._report(Law.SET_ASIDE, key, what, Severity.UNTIDY)

    def _day(self, key: bytes, value: bytes) -> None:
        date.fromisoformat(key[1:].decode())
        decode_day(value)

    def _note(self, key: bytes, value: bytes) -> None:
        if len(key) != 9 or keys.note_at(key) % EVERY_MS:
            raise MalformedKey
        if min(structs.astuple(decode_note(value))) < 0:
            self._report(Law.NOTE, key, "a figure is negative", Severity.UNTIDY)

    def _worker(self, key: bytes, value: bytes) -> None:
        key[1:].decode()
        decode_worker(value)

    def _bucket(self, key: bytes, value: bytes) -> None:
        check_name(key[1:].decode())
        record = decode_bucket(value)
        if record.debt < 0 or record.per < 1:
            what = f"it owes {record.debt} parts of tokens of {record.per} parts: a start would read it as another"
            self._report(Law.BUCKET, key, what)

    def _periodic(self, key: bytes, value: bytes) -> None:
        key[1:].decode()
        record = decode_periodic(value)
        if min(record.since, record.last, record.ran_at, record.runs, record.skipped) < 0:
            self._report(Law.PERIODIC, key, "an instant or a count is negative")
        elif bool(record.runs) != bool(record.last_jid) or bool(record.runs) != bool(record.ran_at):
            what = f"the record counts {record.runs} runs, the last of them {record.last_jid or 'without a jid'}"
            self._report(Law.PERIODIC, key, what)

    def _chore(self, key: bytes, value: bytes) -> None:
        record = decode_chore(value)
        if len(key) != 9:
            raise MalformedKey
        self.index.numbers.highest = max(self.index.numbers.highest, int.from_bytes(key[1:]), record.bound)
        if record.kind not in CHORES:
            self._report(Law.CHORE, key, f"no work of the kind {record.kind!r} is known, so it can never go on")
        elif record.kind == SWEEP:
            self.jobs.sweeps[record.arguments] = record.cursor
        elif record.kind == RELANE:
            self.lanes.changing.add(keys.lanes_parts(record.cursor)[0])
        else:
            json.decode(record.arguments, type=dict[str, Any])


def _single(name: bytes, decode: Callable[[bytes], object] | None) -> Callable[[bytes, bytes], None]:
    """A kind that is one row."""

    def look(key: bytes, value: bytes) -> None:
        if key != name:
            raise MalformedKey
        if decode is not None:
            decode(value)

    return look
