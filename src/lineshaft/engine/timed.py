"""Timed: the jobs that wait for an instant. Three sets: scheduled, retries, dead.

```
T s | due 10:00 order 7 | due 10:00 order 9 | due 10:05 order 3 | ...
```

A set lies on disk alone, ordered by time; memory holds its size, the earliest due instant that may be in it
(`next_due`, a lower bound) and from where to scan: nothing lies before the instant `cursor`, which is written down, nor
before the key `first_key`, which is not. So no scan crosses the deleted keys of what has left, however many jobs were
due at one instant. In the dead set the instant is that of the death.

What is true after every call: `size` counts the set's keys as the turn leaves them.
"""

from enum import StrEnum
from typing import Final

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.leases import NEVER
from lineshaft.engine.records import SetRecord, decode_set, encode_record
from lineshaft.engine.turn import Change, Turn
from lineshaft.engine.value import Extras, join_value, split_value
from lineshaft.job import UNREADABLE, Job, decode_stored

__all__ = ["SetName", "TimedJob", "TimedSet", "read_timed"]

#: One slice of a set in memory is no larger than this, however few jobs that is.
SLICE_BYTES: Final = 4 << 20


class SetName(StrEnum):
    """The timed sets, by the names that the protocol gives them."""

    SCHEDULED = "scheduled"
    RETRIES = "retries"
    DEAD = "dead"


_CODES: Final = {SetName.SCHEDULED: b"s", SetName.RETRIES: b"r", SetName.DEAD: b"d"}


class TimedJob(Struct, frozen=True, gc=False):
    """A job in a timed set."""

    key: bytes
    seq: int
    extras: Extras
    job: Job
    payload: bytes


class TimedSet:
    """One set of jobs that wait for an instant."""

    def __init__(self, turn: Turn, name: SetName) -> None:
        self.turn = turn
        self.name = name
        self.code = _CODES[name]
        #: Whether its jobs are counted by what went wrong, in `groups`.
        self.is_grouped = name is not SetName.SCHEDULED
        self.prefix = keys.timed_prefix(self.code)
        self.size = 0
        #: No job of the set is due before this instant; NEVER when the set is known to be empty.
        self.next_due = NEVER
        #: No key of the set lies before this instant, nor before this key.
        self.cursor = 0
        self.first_key = self.prefix
        self.dirty = False
        #: The last slice that was due was as much work as one may be: read no more than that for the next.
        self.is_dear = False

    def load(self) -> None:
        """Read the set's record; no job is read. Raises StoreError."""
        value = self.turn.get(keys.set_key(self.code))
        record = decode_set(value) if value is not None else SetRecord(0, 0)
        self.size, self.cursor = record.size, record.cursor
        self.first_key = self.prefix + self.cursor.to_bytes(8)
        self.next_due = self.cursor if self.size else NEVER
        self.dirty = False

    def clear(self) -> None:
        """Forget everything in memory; the keys are the caller's business."""
        self.size, self.cursor, self.next_due, self.dirty = 0, 0, NEVER, False
        self.first_key = self.prefix

    def forget_size(self) -> None:
        """There is no job, whatever its record said: it was damaged."""
        self.size, self.dirty = 0, True

    def settle(self) -> None:
        """Put the set's record into the turn, if it changed."""
        if self.dirty:
            self.dirty = False
            self.turn.changes[keys.set_key(self.code)] = encode_record(SetRecord(self.size, self.cursor))

    def add(self, change: Change, due: int, order: int, seq: int, extras: Extras, payload: bytes) -> bytes:
        """Put a job into the set; returns the key under which it lies."""
        key = keys.timed_key(self.code, due, order)
        kept = extras.at_home(seq=seq if seq != order else 0, priority=extras.priority)
        change.put(key, join_value(kept, payload))
        change.then(self._entered, max(due, 0), key)
        return key

    def take_in(self, due: int, order: int, value: bytes) -> bytes:
        """Put a stored job into the set at once, without a change; returns the key under which it lies."""
        key = keys.timed_key(self.code, due, order)
        self.turn.changes[key] = value
        self._entered(max(due, 0), key)
        return key

    def remove(self, change: Change, key: bytes) -> None:
        """Take a job out of the set."""
        change.delete(key)
        change.then(self.left)

    def due(self, now: int, limit: int) -> list[TimedJob]:
        """The jobs that are due, the earliest first, at most `limit`. Raises StoreError.

        An empty answer also says when to ask again: `next_due` is then exact.
        """
        if now < self.next_due:
            return []
        rows = self.oldest(limit)
        # They are in order: nearly always all of them are due, or the first is not.
        is_all = bool(rows) and keys.timed_due(rows[-1].key) <= now
        due = rows if is_all else [job for job in rows if keys.timed_due(job.key) <= now]
        if rows:
            first = keys.timed_due(rows[0].key)
            self.next_due = first
            if first > self.cursor:
                self.cursor, self.dirty = first, True
        elif not self.turn.damaged:
            self.next_due = NEVER
        return due

    def oldest(self, limit: int) -> list[TimedJob]:
        """The jobs with the earliest instants, at most `limit`. Raises StoreError."""
        jobs = self.slice(self.first_key, limit) if self.size else []
        if jobs:
            self.first_key = jobs[0].key
        return jobs

    def slice(self, start: bytes, limit: int) -> list[TimedJob]:
        """Jobs of the set from the key `start` on, at most `limit`. Raises StoreError."""
        _, end = keys.prefix_range(self.prefix)
        rows = self.turn.scan(start, end, limit=limit, limit_bytes=SLICE_BYTES)
        jobs = []
        for key, value in rows:
            try:
                jobs.append(read_timed(key, value))
            except UNREADABLE:
                self.turn.damaged[key] = value
        return jobs

    def _entered(self, due: int, key: bytes) -> None:
        self.size += 1
        self.dirty = True
        self.next_due = min(self.next_due, due)
        self.cursor = min(self.cursor, due)
        self.first_key = min(self.first_key, key)

    def left(self) -> None:
        """A job has left the set; an effect."""
        self.size -= 1
        self.dirty = True
        if not self.size:
            # Whatever comes next lowers it again.
            _, self.first_key = keys.prefix_range(self.prefix)


def read_timed(key: bytes, value: bytes) -> TimedJob:
    """A row of a timed set. Raises one of UNREADABLE when it is damaged."""
    extras, payload = split_value(value)
    return TimedJob(key, extras.seq or keys.timed_order(key), extras, decode_stored(payload), payload)
