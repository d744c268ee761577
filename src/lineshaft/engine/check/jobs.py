"""The laws of places, for `check`: each job lies where something leads to it, is whole, and is counted there.

Leases, queues, sets and the chores that sweep come before the jobs in key order, so what is said of a place is
remembered (one small record for each) when its jobs are met.
"""

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.cancel import CANCELLED
from lineshaft.engine.check.batches import BatchLaws
from lineshaft.engine.check.ends import EndLaws
from lineshaft.engine.check.findings import SETS, Law, MalformedKey, Report, Severity, Tally, instant_shown, shown
from lineshaft.engine.check.index import IndexLaws
from lineshaft.engine.check.lanes import LaneLaws
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.features.expiring import END as EXPIRES
from lineshaft.engine.naming import check_queue_name
from lineshaft.engine.records import (
    LanesRecord,
    Lease,
    SetRecord,
    decode_group,
    decode_leases,
    decode_queue,
    decode_set,
)
from lineshaft.engine.stats.groups import HOURS
from lineshaft.engine.value import Extras, split_value
from lineshaft.errors import Refusal
from lineshaft.job import ARGS_FIRST, MAX_JID_LENGTH, UNREADABLE, Job, decode_stored
from lineshaft.lifecycle import Place

__all__ = ["JobLaws", "check_name"]


class _Line(Struct):
    """A queue as its record says, and what was counted of it."""

    generation: int
    size: int
    cursors: dict[int, int]
    lanes: LanesRecord | None
    found: int = 0


class JobLaws:
    """One way through leases, queues, sets, and the jobs in them."""

    def __init__(
        self,
        reader: Reader,
        report: Report,
        tally: Tally,
        *,
        index: IndexLaws,
        ends: EndLaws,
        batches: BatchLaws,
        lanes: LaneLaws,
    ) -> None:
        self.reader = reader
        self.report = report
        self.tally = tally
        # The laws of what a job may be part of.
        self.index = index
        self.ends = ends
        self.batches = batches
        self.lanes = lanes
        #: What removed queues left behind: the end of a range that is swept, and how far.
        self.sweeps: dict[bytes, bytes] = {}
        # What is remembered of the rows before.
        self._leases: dict[bytes, Lease] = {}
        self._groups: dict[bytes, int] = {}
        self._queues: dict[str, _Line | None] = {}
        self._sets: dict[bytes, SetRecord | None] = {}
        self._waiting = dict.fromkeys(SETS, 0)
        #: What the groups of failures count, by set.
        self._counted: dict[bytes, int] = {}

    # What leads to jobs

    def leases(self, key: bytes, value: bytes) -> None:
        """The leases of one turn. Raises DecodeError."""
        found = decode_leases(value)
        self._groups[key] = 0
        for lease in found:
            if not keys.is_ready(lease.key) or keys.lease_key(lease.group) != key:
                self.report(Law.LEASE, key, f"the lease of {lease.jid} cannot be one of this group")
            elif lease.key in self._leases:
                # A row comes back to the same key only when the lease that it had is written away.
                if self.reader.get(lease.key) is not None:
                    self._groups[key] += 1
                    self.report(Law.LEASED_TWICE, key, f"{shown(lease.key)} is leased in another group too")
            else:
                self._leases[lease.key] = lease

    def queue(self, key: bytes, value: bytes) -> None:
        """The record of a queue. Raises DecodeError, ValueError."""
        name = key[1:].decode()
        self._queues[name] = None
        record = decode_queue(value)
        check_name(name)
        self.index.numbers.highest = max(self.index.numbers.highest, record.generation)
        self._queues[name] = _Line(record.generation, record.size, dict(record.cursors), record.lanes)

    def set(self, key: bytes, value: bytes) -> None:
        """The record of a set. Raises MalformedKey, DecodeError."""
        if key[1:] not in SETS:
            raise MalformedKey
        self._sets[key[1:]] = None
        self._sets[key[1:]] = decode_set(value)

    def failures(self, key: bytes, value: bytes) -> None:
        """A group of failures. Raises MalformedKey, DecodeError."""
        code, record = key[1:2], decode_group(value)
        if code not in SETS or len(key) != 10:
            raise MalformedKey
        if record.count <= 0:
            self.report(Law.GROUP, key, f"it counts {record.count} jobs", Severity.UNTIDY)
        elif len(record.hours) > HOURS or min(record.hours, default=0) < 0:
            self.report(Law.GROUP, key, "what came in each hour cannot be that", Severity.UNTIDY)
        if record.count > 0:
            self._counted[code] = self._counted.get(code, 0) + record.count

    # Jobs

    def ready(self, key: bytes, value: bytes) -> None:
        """A job in a queue. Raises MalformedKey."""
        parts = _take_parts(key)
        if parts is None:
            raise MalformedKey
        name, generation, priority = parts
        order = keys.ready_order(key)
        read = self._job(key, value)
        lease = self._leases.get(key)
        line = self._queues.get(name)
        is_current = line is not None and line.generation == generation
        if key[:1] == b"V" and is_current and not self.reader.unreadable:
            self.lanes.job(key, priority, order, is_leased=lease is not None)
        if lease is not None:
            self._groups[keys.lease_key(lease.group)] += 1
            self.tally.places[Place.LEASED] += 1
        elif line is not None and is_current:
            self._in_line(key, line, priority, order)
        else:
            self._in_no_line(key, name, generation)
        if read is None:
            self.index.numbers.take(order)
            return
        extras, job = read
        seq = extras.seq or order
        if job.queue != name:
            self.report(Law.MISPLACED, key, f"job {job.jid} belongs to the queue {job.queue}")
        if lease is not None and (lease.seq, lease.jid, lease.queue) != (seq, job.jid, name):
            what = f"the lease here is of job {lease.jid} (seq {lease.seq}), and here lies {job.jid} (seq {seq})"
            self.report(Law.LEASE, key, what)
        if lease is not None and lease.uses.replace(CANCELLED, "") != extras.uses:
            what = f"job {job.jid} uses the features {extras.uses!r}, and its lease says {lease.uses!r}"
            self.report(Law.LEASE, key, what)
        self._hold_features(key, job, seq, extras, waits=is_current and lease is None)
        self.batches.job(key, job.jid, seq, extras, is_dead=False)
        if self.index.take(key, job.jid, seq, order):
            self.index.find(key, job.jid, seq, order, is_required=is_current)

    def timed(self, key: bytes, value: bytes) -> None:
        """A job in a set. Raises MalformedKey."""
        code = key[1:2]
        if code not in SETS or len(key) != 18:
            raise MalformedKey
        self._waiting[code] += 1
        self.tally.places[SETS[code]] += 1
        order, record = keys.timed_order(key), self._sets.get(code)
        if record is not None and keys.timed_due(key) < record.cursor:
            what = f"the set is read from {instant_shown(record.cursor)} on: nothing ever comes to it"
            self.report(Law.CURSOR, key, what)
        read = self._job(key, value)
        if read is None:
            self.index.numbers.take(order)
            return
        extras, job = read
        seq = extras.seq or order
        if extras.place and (line := self._queues.get(job.queue or "")) is not None:
            self.lanes.held(key, job.queue or "", line.generation, extras.lane)
        is_dead = SETS[code] is Place.DEAD
        self._hold_features(key, job, seq, extras, waits=not is_dead)
        self.batches.job(key, job.jid, seq, extras, is_dead=is_dead)
        if job.queue not in self._queues:
            try:
                check_name(job.queue or "")
            except ValueError as error:
                self.report(Law.MISPLACED, key, f"job {job.jid} can join no queue: {error}")
        if self.index.take(key, job.jid, seq, order):
            self.index.find(key, job.jid, seq, order, is_required=True)

    def _hold_features(self, key: bytes, job: Job, seq: int, extras: Extras, *, waits: bool) -> None:
        if waits and extras.expires:
            entry = keys.expiry_key(extras.expires, EXPIRES, seq.to_bytes(8))
            self.ends.hold(key, entry, key, f"job {job.jid} is not swept when it has expired")

    def _in_line(self, key: bytes, line: _Line, priority: int, order: int) -> None:
        self.tally.places[Place.READY] += 1
        line.found += 1
        if self.reader.unreadable:
            return  # its lease may be among what could not be read
        if key[:1] == b"V":
            return  # as `lanes` holds it
        cursor = line.cursors.get(priority)
        if cursor is None:
            self.report(Law.CURSOR, key, f"the queue knows no jobs of priority {priority}: it is never handed out")
        elif order < cursor:
            self.report(Law.CURSOR, key, f"the queue is read from order {cursor} on: it is never handed out")

    def _in_no_line(self, key: bytes, name: str, generation: int) -> None:
        """No queue holds it: then it waits to be swept, or what is wrong with its queue was reported already."""
        if self.reader.unreadable or self._queues.get(name, False) is None:
            return
        _, end = (keys.ready_range if key[:1] == b"R" else keys.laned_range)(name, generation)
        if end in self.sweeps and key >= self.sweeps[end]:
            self.tally.removed += 1
        else:
            self.report(Law.UNREACHABLE, key, "no queue holds it, no worker has it, and nothing clears it away")

    def _job(self, key: bytes, value: bytes) -> tuple[Extras, Job] | None:
        """A job and its extras; None when it is reported as broken."""
        try:
            extras, payload = split_value(value)
            job = decode_stored(payload)
            if not payload.isascii():
                payload.decode()
        except UNREADABLE as error:
            self.report(Law.JOB, key, f"the job cannot be read: {error}")
            return None
        if not 1 <= len(job.jid) <= MAX_JID_LENGTH or not job.jobtype or not payload.startswith(ARGS_FIRST):
            self.report(Law.JOB, key, f"job {job.jid[:200]!r} lacks what every job has: jid, jobtype, args")
            return None
        return extras, job

    # The whole

    def whole(self) -> None:
        """What only the end tells."""
        for name, line in self._queues.items():
            if line is not None and line.size != line.found:
                what = f"the record says {line.size} jobs, and {line.found} lie in the queue and are not leased"
                self.report(Law.SIZE, keys.queue_key(name), what)
            if line is not None:
                self.lanes.hold_sums(keys.queue_key(name), name, line.lanes)
        self.lanes.leave()
        for code, count in self._waiting.items():
            self._hold_set(code, count)
        for group, counting in self._groups.items():
            if not counting:
                self.report(Law.ENDED, group, "none of its jobs is there; the next start deletes it", Severity.UNTIDY)

    def _hold_set(self, code: bytes, count: int) -> None:
        record = self._sets.get(code, SetRecord(0, 0))
        if record is not None and record.size != count:
            what = f"the record says {record.size} jobs, and {count} lie in the set"
            self.report(Law.SIZE, keys.set_key(code), what)
        elif self._counted.get(code, count) != count:
            # A store of a version without groups has none; a start counts anew either way.
            what = f"the groups of failures count {self._counted[code]} jobs, and {count} lie in the set"
            self.report(Law.GROUP, keys.set_key(code), what, Severity.UNTIDY)


def _take_parts(key: bytes) -> tuple[str, int, int] | None:
    """Queue name, generation and priority in the key of a ready job; None when it is not made as these are."""
    try:
        parts = keys.ready_parts(key)
        length = key[1] + 19 + (key[10 + key[1]] + 1 if key[:1] == b"V" else 0)
    except (ValueError, IndexError):
        return None
    return parts if 1 <= parts[2] <= 9 and len(key) == length else None


def check_name(name: str) -> None:
    """Raises ValueError for what cannot be the name of a queue."""
    try:
        check_queue_name(name)
    except Refusal as refusal:
        raise ValueError(f"{name[:300]!r}: {refusal}") from None
