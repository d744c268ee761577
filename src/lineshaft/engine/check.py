"""Check: whether what lies in a store is what the engine leaves there between two commits.

The store is read once, in key order, in slices. That order is a gift: chores, leases, the sequence and the queues come
before the jobs that they speak of, and the index comes last.

    B batches | F format | I watermark | L leases | N sequence | Q queues | R ready | S sets | T timed | W index
                         |--------- remembered: work in hand -------------|--- held against it ---| counted

Memory follows the work in hand, not the backlog: the leases, one small record for each queue and each removed queue.
Two laws speak of all jobs at once, and are held without a list of them:

* *A job is in one place.* Every seq and every order is a number of one counter that never repeats, and a job owns the
  one or two numbers that its row names. So it is enough to mark each number that was seen, and to complain when one is
  marked already. The index cannot say it: two rows with one seq and different jids have an entry each; nor can the
  keys: two queues may each hold an order. Numbers of live jobs lie close together, so the marks are kept as bitmaps of
  512: a bit for a job in a long queue, some 150 bytes for one that is alone among its neighbours.
* *Every entry of the index leads to its job.* Each job looks for its entry, whose key is made of its jid and seq. No
  two rows can find the same entry to name them, so when as many entries were found as there are, none is left over.
  Only when the counts differ are the entries themselves followed.

What the index cannot tell is whether it was switched off for a while: then jobs have no entries, and entries have no
jobs (see `index`). So either is untidy, not damage, where the job's number is not beyond the watermark.

What a disk made unreadable is stepped over, and named (see `reader`); laws about counts are left alone then.
"""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Any, Final

from msgspec import DecodeError, Struct, json

from lineshaft.engine import keys
from lineshaft.engine.batches import BATCH
from lineshaft.engine.cancel import CANCELLED
from lineshaft.engine.check_batches import BatchLaws
from lineshaft.engine.check_lanes import LaneLaws, MalformedKey
from lineshaft.engine.engine import KINDS
from lineshaft.engine.expiring import END as EXPIRES
from lineshaft.engine.features import FEATURES
from lineshaft.engine.findings import SETS, Finding, Law, Severity, Tally, instant_shown, shown
from lineshaft.engine.lanes import RELANE, WAIT
from lineshaft.engine.naming import check_queue_name
from lineshaft.engine.reader import Reader
from lineshaft.engine.records import (
    Extras,
    HistorySizeRecord,
    LanesRecord,
    Lease,
    SetRecord,
    decode_bucket,
    decode_chore,
    decode_day,
    decode_group,
    decode_history,
    decode_history_size,
    decode_leases,
    decode_lock,
    decode_periodic,
    decode_position,
    decode_queue,
    decode_set,
    decode_totals,
    decode_track,
    decode_worker,
    split_value,
)
from lineshaft.engine.sweep import SWEEP
from lineshaft.engine.tracks import FORGET
from lineshaft.engine.unique import LOCK
from lineshaft.errors import Refusal, StoreCorrupt
from lineshaft.job import ARGS_FIRST, MAX_JID_LENGTH, Job, decode_stored
from lineshaft.lifecycle import Place
from lineshaft.store.port import Store

__all__ = ["check"]

#: No key of ours begins with 0xff, and one that did would have to be longer than this to be missed.
END: Final = b"\xff" * 32

#: What a decoder raises over bytes that are not what they should be.
UNREADABLE: Final = (DecodeError, ValueError, OverflowError, RecursionError)


def check(
    store: Store, *, tally: Tally | None = None, on_slice: Callable[[Tally], None] | None = None
) -> Iterator[Finding]:
    """Everything that is wrong in a store, in key order; what needs the whole picture comes last.

    `tally` is filled on the way and complete at the end; `on_slice` is called with it after each slice. Changes
    nothing. A store without a row is a new one, and clean. Raises StoreError when the disk refuses, but no
    StoreCorrupt: what cannot be read is a finding.
    """
    return _Walk(store, tally or Tally(), on_slice or (lambda _: None)).findings()


class _Line(Struct):
    """A queue as its record says, and what was counted of it."""

    generation: int
    size: int
    cursors: dict[int, int]
    lanes: LanesRecord | None
    found: int = 0


class _Numbers:
    """Which numbers of the counter have been seen: a bit for each, in pages of 512."""

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}
        self.highest = 0

    def take(self, number: int) -> bool:
        """Mark a number; False when it is marked already."""
        page, bit = number >> 9, 1 << (number & 511)
        marked = self._pages.get(page, 0)
        self._pages[page] = marked | bit
        self.highest = max(self.highest, number)
        return not marked & bit


class _Walk:
    """One way through a store."""

    def __init__(self, store: Store, tally: Tally, on_slice: Callable[[Tally], None]) -> None:
        self.store = store
        self.tally = tally
        self.on_slice = on_slice
        self.found: list[Finding] = []
        self.reader = Reader(store, partial(self._report, Law.UNREADABLE))
        self.batches = BatchLaws(self.reader, self._report)
        # What is remembered of the rows before.
        self.numbers = _Numbers()
        self.reserved: int | None = 0
        self.watermark: int | None = None
        self.leases: dict[bytes, Lease] = {}
        self.groups: dict[bytes, int] = {}
        self.queues: dict[str, _Line | None] = {}
        self.sweeps: dict[bytes, bytes] = {}
        self.sets: dict[bytes, SetRecord | None] = {}
        self.waiting = dict.fromkeys(SETS, 0)
        #: What the groups of failures count, by set.
        self.counted: dict[bytes, int] = {}
        # Of the index.
        self.claimed = 0
        # Of the history: entries by jid that were not found yet, rows, their bytes, the record.
        self.past_entries = 0
        self.past = HistorySizeRecord(0, 0, 0)
        self.past_said = HistorySizeRecord(0, 0, 0)
        self.entries = 0
        self.lanes = LaneLaws(self.reader, self._report)
        self.kinds: dict[bytes, Callable[[bytes, bytes], None]] = {
            b"B": self._batch,
            b"C": self._chore,
            b"D": self._day,
            b"E": self._expiry,
            b"F": self._single(keys.FORMAT_KEY, None),
            b"G": self._single(keys.TOTALS_KEY, decode_totals),
            b"H": self._history,
            b"I": self._watermark,
            b"J": self._periodic,
            b"K": self._worker,
            b"L": self._group,
            b"M": self._bucket,
            b"N": self._sequence,
            b"O": self._about_lanes,
            b"P": self._track,
            b"Q": self._queue,
            b"R": self._ready,
            b"S": self._set,
            b"T": self._timed,
            b"U": self._lock,
            b"V": self._ready,
            b"W": self._entry,
            b"X": self._set_aside,
            b"Y": self._failures,
            b"Z": self._single(keys.POSITION_KEY, decode_position),
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
            self._hold_counts()
            yield from self._drain()
            if self.watermark is not None and not self.reader.unreadable and self.claimed != self.entries:
                yield from self._follow_entries()
        yield from self._drain()

    def _drain(self) -> list[Finding]:
        found, self.found = self.found, []
        return found

    def _report(self, law: Law, key: bytes, what: str, severity: Severity = Severity.DAMAGE) -> None:
        self.found.append(Finding(law, shown(key), what, severity))

    # Reading

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
        except UNREADABLE as error:
            self._report(Law.RECORD, key, f"what lies here cannot be read as what it should be: {error}")

    def _set_aside(self, key: bytes, value: bytes) -> None:
        what = f"a row of {len(value)} bytes that could not be read was moved here, from {shown(key[1:])}"
        self._report(Law.SET_ASIDE, key, what, Severity.UNTIDY)

    def _malformed(self, key: bytes) -> None:
        self._report(Law.KEY, key, "the key is not made as keys of its kind are, so nothing ever looks here")

    def _single(self, name: bytes, decode: Callable[[bytes], object] | None) -> Callable[[bytes, bytes], None]:
        """A kind that is one row."""

        def look(key: bytes, value: bytes) -> None:
            if key != name:
                self._malformed(key)
            elif decode is not None:
                decode(value)

        return look

    def _sequence(self, key: bytes, value: bytes) -> None:
        self.reserved = None
        self._single(keys.SEQUENCE_KEY, _decimal)(key, value)
        self.reserved = _decimal(value)

    def _watermark(self, key: bytes, value: bytes) -> None:
        self._single(keys.INDEX_KEY, _decimal)(key, value)
        self.watermark = _decimal(value)

    def _day(self, key: bytes, value: bytes) -> None:
        date.fromisoformat(key[1:].decode())
        decode_day(value)

    def _worker(self, key: bytes, value: bytes) -> None:
        key[1:].decode()
        decode_worker(value)

    def _batch(self, key: bytes, value: bytes) -> None:
        if not self.batches.row(key, value):
            self._malformed(key)

    def _expiry(self, key: bytes, value: bytes) -> None:
        _, kind, name = keys.expiry_parts(key)
        leads_to_job = len(name) == 8 and (keys.is_ready(value) or value[:1] == b"T")
        if kind not in {LOCK, EXPIRES, FORGET, BATCH, WAIT} or (kind == EXPIRES and not leads_to_job):
            self._malformed(key)

    def _track(self, key: bytes, value: bytes) -> None:
        key[1:].decode()
        track = decode_track(value)
        self.numbers.highest = max(self.numbers.highest, track.seq)
        if track.until:
            self._hold_end(key, keys.expiry_key(track.until, FORGET, key[1:]), b"", "this is never forgotten")

    def _history(self, key: bytes, value: bytes) -> None:
        kind = key[1:2]
        if kind == b"n":
            self._single(keys.HISTORY_SIZE_KEY, None)(key, value)
            self.past_said = decode_history_size(value)
        elif kind == b"j" and len(key) == int.from_bytes(key[2:4]) + 20:
            self.past_entries += 1
        elif kind == b"t" and len(key) == 18:
            record = decode_history(value)
            decode_stored(record.payload)
            self.past.count += 1
            self.past.bytes += len(value)
            if keys.history_at(key) < self.past_said.oldest:
                self._report(Law.CURSOR, key, "history is read from a later instant on: it is never swept")
            if self.reader.get(keys.history_jid_key(record.jid, key)) is None:
                self._report(Law.HISTORY, key, f"nothing leads from the jid {record.jid[:200]} to it")
            else:
                self.past_entries -= 1
        else:
            self._malformed(key)

    def _bucket(self, key: bytes, value: bytes) -> None:
        _check_name(key[1:].decode())
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

    def _lock(self, key: bytes, value: bytes) -> None:
        lock = decode_lock(value)
        self.numbers.highest = max(self.numbers.highest, lock.seq)
        self._hold_end(key, keys.expiry_key(lock.until, LOCK, key[1:]), b"", "the lock never ends by time")

    def _hold_end(self, key: bytes, entry: bytes, value: bytes, what: str) -> None:
        """What ends by time has its entry among the expiries."""
        if self.reader.get(entry) != value and not self.reader.unreadable:
            self._report(Law.EXPIRY, key, f"no entry at {instant_shown(keys.expiry_at(entry))} leads here: {what}")

    def _chore(self, key: bytes, value: bytes) -> None:
        record = decode_chore(value)
        if len(key) != 9:
            self._malformed(key)
            return
        self.numbers.highest = max(self.numbers.highest, int.from_bytes(key[1:]), record.bound)
        if record.kind not in KINDS:
            self._report(Law.CHORE, key, f"no work of the kind {record.kind!r} is known, so it can never go on")
        elif record.kind == SWEEP:
            self.sweeps[record.arguments] = record.cursor
        elif record.kind == RELANE:
            self.lanes.changing.add(keys.lanes_parts(record.cursor)[0])
        else:
            json.decode(record.arguments, type=dict[str, Any])

    def _group(self, key: bytes, value: bytes) -> None:
        leases = decode_leases(value)
        self.groups[key] = 0
        for lease in leases:
            if not keys.is_ready(lease.key) or keys.lease_key(lease.group) != key:
                self._report(Law.LEASE, key, f"the lease of {lease.jid} cannot be one of this group")
            elif lease.key in self.leases:
                # A row comes back to the same key only when the lease that it had is written away.
                if self.reader.get(lease.key) is not None:
                    self.groups[key] += 1
                    self._report(Law.LEASED_TWICE, key, f"{shown(lease.key)} is leased in another group too")
            else:
                self.leases[lease.key] = lease

    def _queue(self, key: bytes, value: bytes) -> None:
        name = key[1:].decode()
        self.queues[name] = None
        record = decode_queue(value)
        _check_name(name)
        self.numbers.highest = max(self.numbers.highest, record.generation)
        self.queues[name] = _Line(record.generation, record.size, dict(record.cursors), record.lanes)

    def _about_lanes(self, key: bytes, value: bytes) -> None:
        try:
            self.lanes.row(key, value)
        except (IndexError, MalformedKey):
            self._malformed(key)

    def _set(self, key: bytes, value: bytes) -> None:
        if key[1:] not in SETS:
            self._malformed(key)
            return
        self.sets[key[1:]] = None
        self.sets[key[1:]] = decode_set(value)

    def _ready(self, key: bytes, value: bytes) -> None:
        parts = _take_parts(key)
        if parts is None:
            self._malformed(key)
            return
        name, generation, priority = parts
        order = keys.ready_order(key)
        read = self._job(key, value)
        lease = self.leases.get(key)
        line = self.queues.get(name)
        is_current = line is not None and line.generation == generation
        if key[:1] == b"V" and is_current and not self.reader.unreadable:
            self.lanes.job(key, priority, order, is_leased=lease is not None)
        if lease is not None:
            self.groups[keys.lease_key(lease.group)] += 1
            self.tally.places[Place.LEASED] += 1
        elif line is not None and is_current:
            self._in_line(key, line, priority, order)
        else:
            self._in_no_line(key, name, generation)
        if read is None:
            self.numbers.take(order)
            return
        extras, job = read
        seq = extras.seq or order
        if job.queue != name:
            self._report(Law.MISPLACED, key, f"job {job.jid} belongs to the queue {job.queue}")
        if lease is not None and (lease.seq, lease.jid, lease.queue) != (seq, job.jid, name):
            what = f"the lease here is of job {lease.jid} (seq {lease.seq}), and here lies {job.jid} (seq {seq})"
            self._report(Law.LEASE, key, what)
        if lease is not None and lease.uses.replace(CANCELLED, "") != extras.uses:
            what = f"job {job.jid} uses the features {extras.uses!r}, and its lease says {lease.uses!r}"
            self._report(Law.LEASE, key, what)
        self._hold_features(key, job, seq, extras, waits=is_current and lease is None)
        self.batches.job(key, job.jid, seq, extras, is_dead=False)
        if self._take_numbers(key, job.jid, seq, order):
            self._find_entry(key, job.jid, seq, order, is_required=is_current)

    def _hold_features(self, key: bytes, job: Job, seq: int, extras: Extras, *, waits: bool) -> None:
        unknown = set(extras.uses) - FEATURES.keys()
        if unknown:
            what = (
                f"job {job.jid} uses the features {''.join(sorted(unknown))!r}, and there are none: it can never move"
            )
            self._report(Law.FEATURE, key, what)
        if waits and extras.expires:
            entry = keys.expiry_key(extras.expires, EXPIRES, seq.to_bytes(8))
            self._hold_end(key, entry, key, f"job {job.jid} is not swept when it has expired")

    def _in_line(self, key: bytes, line: _Line, priority: int, order: int) -> None:
        self.tally.places[Place.READY] += 1
        line.found += 1
        if self.reader.unreadable:
            return  # its lease may be among what could not be read
        if key[:1] == b"V":
            return  # as `lanes` holds it
        cursor = line.cursors.get(priority)
        if cursor is None:
            self._report(Law.CURSOR, key, f"the queue knows no jobs of priority {priority}: it is never handed out")
        elif order < cursor:
            self._report(Law.CURSOR, key, f"the queue is read from order {cursor} on: it is never handed out")

    def _in_no_line(self, key: bytes, name: str, generation: int) -> None:
        """No queue holds it: then it waits to be swept, or what is wrong with its queue was reported already."""
        if self.reader.unreadable or self.queues.get(name, False) is None:
            return
        _, end = (keys.ready_range if key[:1] == b"R" else keys.laned_range)(name, generation)
        if end in self.sweeps and key >= self.sweeps[end]:
            self.tally.removed += 1
        else:
            self._report(Law.UNREACHABLE, key, "no queue holds it, no worker has it, and nothing clears it away")

    def _timed(self, key: bytes, value: bytes) -> None:
        code = key[1:2]
        if code not in SETS or len(key) != 18:
            self._malformed(key)
            return
        self.waiting[code] += 1
        self.tally.places[SETS[code]] += 1
        order, record = keys.timed_order(key), self.sets.get(code)
        if record is not None and keys.timed_due(key) < record.cursor:
            what = f"the set is read from {instant_shown(record.cursor)} on: nothing ever comes to it"
            self._report(Law.CURSOR, key, what)
        read = self._job(key, value)
        if read is None:
            self.numbers.take(order)
            return
        extras, job = read
        seq = extras.seq or order
        if extras.place and (line := self.queues.get(job.queue or "")) is not None:
            self.lanes.held(key, job.queue or "", line.generation, extras.lane)
        is_dead = SETS[code] is Place.DEAD
        self._hold_features(key, job, seq, extras, waits=not is_dead)
        self.batches.job(key, job.jid, seq, extras, is_dead=is_dead)
        if not 1 <= extras.priority <= 9:
            self._report(Law.MISPLACED, key, f"job {job.jid} has the priority {extras.priority}: there is no such line")
        elif job.queue not in self.queues:
            try:
                _check_name(job.queue or "")
            except ValueError as error:
                self._report(Law.MISPLACED, key, f"job {job.jid} can join no queue: {error}")
        if self._take_numbers(key, job.jid, seq, order):
            self._find_entry(key, job.jid, seq, order, is_required=True)

    def _failures(self, key: bytes, value: bytes) -> None:
        code, record = key[1:2], decode_group(value)
        if code not in SETS or len(key) != 10:
            self._malformed(key)
        elif record.count <= 0:
            self._report(Law.GROUP, key, f"it counts {record.count} jobs", Severity.UNTIDY)
        else:
            self.counted[code] = self.counted.get(code, 0) + record.count

    def _job(self, key: bytes, value: bytes) -> tuple[Extras, Job] | None:
        """A job and its extras; None when it is reported as broken."""
        try:
            extras, payload = split_value(value)
            job = decode_stored(payload)
            if not payload.isascii():
                payload.decode()
        except UNREADABLE as error:
            self._report(Law.JOB, key, f"the job cannot be read: {error}")
            return None
        if not 1 <= len(job.jid) <= MAX_JID_LENGTH or not job.jobtype or not payload.startswith(ARGS_FIRST):
            self._report(Law.JOB, key, f"job {job.jid[:200]!r} lacks what every job has: jid, jobtype, args")
            return None
        return extras, job

    def _take_numbers(self, key: bytes, jid: str, seq: int, order: int) -> bool:
        """Whether nobody else has the numbers of this row."""
        take = self.numbers.take
        is_first = take(seq)
        if order != seq:
            is_first = take(order) and is_first
        if not is_first:
            entry = self.reader.get(keys.where_key(jid, seq)) if self.watermark is not None else None
            other = f"; the index says that it lies at {shown(entry)}" if entry is not None else ""
            self._report(Law.DOUBLE, key, f"another row has the seq {seq} or the order {order} of job {jid}{other}")
            if entry == key:
                self.claimed += 1
        return is_first

    # The index

    def _find_entry(self, key: bytes, jid: str, seq: int, order: int, *, is_required: bool) -> None:
        """Count the job's entry, or say that it has none where it must.

        Nobody must find what a REMOVE left behind: a start does not look for young jobs there.
        """
        if self.watermark is None:
            return
        entry = self.reader.get(keys.where_key(jid, seq))
        if entry == key:
            self.claimed += 1
            return
        is_young = key[:1] == b"R" and seq == order and order > self.watermark
        if not is_required or (entry is None and (is_young or self.reader.unreadable)):
            return
        said = "it has no entry" if entry is None else f"its entry names {shown(entry)}"
        if order > self.watermark:
            self._report(Law.NOT_INDEXED, key, f"job {jid}: {said}, so nobody finds it by its jid")
        else:
            what = f"job {jid}: {said}; that is so when it was pushed or moved while jid_index was off"
            self._report(Law.NOT_INDEXED, key, what, Severity.UNTIDY)

    def _entry(self, key: bytes, value: bytes) -> None:  # noqa: ARG002 - every kind is looked at in one way
        if len(key) < 12 or len(key) != int.from_bytes(key[1:3]) + 11:
            self._malformed(key)
            return
        self.entries += 1

    def _follow_entries(self) -> Iterator[Finding]:
        """Say of each entry that names no row of its own job what it does name."""
        for rows in self.reader.slices(*keys.prefix_range(b"W")):
            for key, place in rows:
                value = self.reader.get(place)
                if value is None:
                    what = f"nothing lies at {shown(place)}; that is so when the job ended while jid_index was off"
                    self._report(Law.STALE, key, what, Severity.UNTIDY)
                elif not _is_of(key, place, value):
                    self._report(Law.ASTRAY, key, f"another job lies at {shown(place)}")
            yield from self._drain()

    # The whole

    def _hold_counts(self) -> None:
        if self.reader.unreadable:
            return
        self.batches.whole()
        if self.reserved is not None and max(self.numbers.highest, self.watermark or 0) > self.reserved:
            what = f"{self.numbers.highest} is used, and a start counts on from {self.reserved}: numbers would repeat"
            self._report(Law.SEQUENCE, keys.SEQUENCE_KEY, what)
        for name, line in self.queues.items():
            if line is not None and line.size != line.found:
                what = f"the record says {line.size} jobs, and {line.found} lie in the queue and are not leased"
                self._report(Law.SIZE, keys.queue_key(name), what)
            if line is not None:
                self.lanes.hold_sums(keys.queue_key(name), name, line.lanes)
        self.lanes.leave()
        for code, count in self.waiting.items():
            record = self.sets.get(code, SetRecord(0, 0))
            if record is not None and record.size != count:
                what = f"the record says {record.size} jobs, and {count} lie in the set"
                self._report(Law.SIZE, keys.set_key(code), what)
            elif self.counted.get(code, count) != count:
                # A store of a version without groups has none; a start counts anew either way.
                what = f"the groups of failures count {self.counted[code]} jobs, and {count} lie in the set"
                self._report(Law.GROUP, keys.set_key(code), what, Severity.UNTIDY)
        if (self.past.count, self.past.bytes) != (self.past_said.count, self.past_said.bytes):
            said, seen = self.past_said, self.past
            what = f"the record says {said.count} jobs of {said.bytes} bytes, and {seen.count} of {seen.bytes} are kept"
            self._report(Law.SIZE, keys.HISTORY_SIZE_KEY, what)
        if self.past_entries > 0:
            what = f"{self.past_entries} entries lead from a jid to no finished job"
            self._report(Law.HISTORY, keys.HISTORY_SIZE_KEY, what, Severity.UNTIDY)
        for group, counting in self.groups.items():
            if not counting:
                self._report(Law.ENDED, group, "none of its jobs is there; the next start deletes it", Severity.UNTIDY)


def _decimal(value: bytes) -> int:
    if not value.isdigit():
        raise ValueError(f"{value[:40]!r} is no number")
    return int(value)


def _take_parts(key: bytes) -> tuple[str, int, int] | None:
    """Queue name, generation and priority in the key of a ready job; None when it is not made as these are."""
    try:
        parts = keys.ready_parts(key)
        length = key[1] + 19 + (key[10 + key[1]] + 1 if key[:1] == b"V" else 0)
    except (ValueError, IndexError):
        return None
    return parts if 1 <= parts[2] <= 9 and len(key) == length else None


def _check_name(name: str) -> None:
    """Raises ValueError for what cannot be the name of a queue."""
    try:
        check_queue_name(name)
    except Refusal as refusal:
        raise ValueError(f"{name[:300]!r}: {refusal}") from None


def _is_of(entry: bytes, place: bytes, value: bytes) -> bool:
    """Whether the row is that of the job that an entry's key names; a broken job is taken for it: it was reported."""
    try:
        extras, payload = split_value(value)
        jid = decode_stored(payload).jid
        return not jid or keys.where_key(jid, extras.seq or int.from_bytes(place[-8:])) == entry
    except (*UNREADABLE, IndexError):
        return True
