"""Groups: the jobs that wait for a retry, or are dead, by what went wrong: error, job type, shape of the message.

```
Y <set> <digest> -> GroupRecord        how many jobs of the set failed in this way, first and last
Y <set> 00000000 -> GroupRecord        all others, when there are too many ways
```

The shape of a message is the message without what differs from job to job: numbers, identifiers, what stands in quotes.
A group is counted in the change with which a job comes into its set or leaves it, and written once per turn. Since it
is written then anyway, it knows as well how many came in each hour of the last day. It goes with its last job, and its
place is free for another; so a job that was counted among the others may leave from a group of its own that has come
since, and the counts of single groups are as good as exact.

What is true after every call: for each set, the counts of its groups are together its size, as the turn leaves it. A
start sees to that, whatever an older version or a damaged row has left: what is missing is counted among the others.
"""

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from lineshaft.engine import keys
from lineshaft.engine.records import GroupRecord, decode_group, encode_record
from lineshaft.engine.turn import Turn
from lineshaft.job import Job

if TYPE_CHECKING:
    from lineshaft.engine.timed import TimedSet

__all__ = ["HOURS", "MOST_GROUPS", "OTHERS", "Groups", "digest_of", "hours_until", "shape_of"]

#: By set. More ways to fail than anybody looks through.
MOST_GROUPS: Final = 500

#: How long it is known when a group grew.
HOURS: Final = 24
HOUR_MS: Final = 3_600_000

#: The digest of all others.
OTHERS: Final = bytes(8)

#: So much of a shape is kept, and told from others.
MOST_LETTERS: Final = 200

_VARYING: Final = re.compile(
    r"(?<!\w)'[^']{0,400}'(?!\w)"
    r'|"[^"]{0,400}"'
    r"|\b0x[0-9a-fA-F]+\b"
    r"|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"
    r"|\b(?=[a-z]*\d)[0-9a-f]{8,}\b"
    r"|\d+(?:[.,:]\d+)*"
)


def shape_of(message: str) -> str:
    """A message without what differs from job to job."""
    return _VARYING.sub("…", message)[:MOST_LETTERS]


def digest_of(job: Job) -> bytes:
    """What tells the group of a job from others."""
    failure = job.failure
    told = [job.jobtype] if failure is None else [job.jobtype, failure.errtype, shape_of(failure.message)]
    return blake2b("\0".join(told).encode("utf-8", "replace"), digest_size=8).digest()


def _count_hour(record: GroupRecord, now: int) -> None:
    """One more in this hour; a clock that was set back counts in the last one that is known."""
    hour = now // HOUR_MS
    passed = hour - record.hour
    if passed >= HOURS or not record.hours:
        record.hour, record.hours = hour, [0]
    elif passed > 0:
        record.hour, record.hours = hour, (record.hours + [0] * passed)[-HOURS:]
    record.hours[-1] += 1


def hours_until(record: GroupRecord, now: int) -> list[int]:
    """How many came in each of the last HOURS hours, this one the last."""
    passed = max(now // HOUR_MS - record.hour, 0)
    return ([0] * HOURS + record.hours + [0] * passed)[-HOURS:] if passed < HOURS else [0] * HOURS


class Groups:
    """Every group, in memory and under its key."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.by_key: dict[bytes, GroupRecord] = {}
        #: How many each set has, by its code.
        self.sizes: dict[bytes, int] = {}
        self.dirty: set[bytes] = set()

    def load(self, sets: "list[TimedSet]") -> None:
        """Read all, and count among the others what of these sets is in no group. Raises StoreError."""
        self.clear()
        start, end = keys.prefix_range(keys.GROUPS)
        while rows := self.turn.scan(start, end, limit=1000):
            for key, value in rows:
                self.by_key[key] = decode_group(value)
                self.sizes[key[1:2]] = self.sizes.get(key[1:2], 0) + 1
            start = keys.after(rows[-1][0])
        for timed in sets:
            self._reconcile(timed.code, timed.size)

    def _reconcile(self, code: bytes, size: int) -> None:
        counted = sum(record.count for key, record in self.by_key.items() if key[1:2] == code)
        if counted < size:
            self._count(keys.group_key(code, OTHERS), size - counted, GroupRecord("", "", "", 0, 0, 0))
        while counted > size:
            key = self._spare(code)
            less = min(counted - size, self.by_key[key].count)
            self._count(key, -less, self.by_key[key])
            counted -= less

    def clear(self) -> None:
        """Forget all in memory; the keys are the caller's business."""
        self.by_key.clear()
        self.sizes.clear()
        self.dirty.clear()

    def settle(self) -> None:
        """Put what was counted into the turn."""
        for key in self.dirty:
            record = self.by_key.get(key)
            self.turn.changes[key] = None if record is None else encode_record(record)
        self.dirty.clear()

    def enter(self, code: bytes, job: Job, now: int) -> None:
        """A job came into a set; an effect."""
        key = keys.group_key(code, digest_of(job))
        if key not in self.by_key and self.sizes.get(code, 0) >= MOST_GROUPS:
            key = keys.group_key(code, OTHERS)
        record = self.by_key.get(key)
        if record is None:
            failure = job.failure
            if key[2:] == OTHERS:
                record = GroupRecord("", "", "", 0, now, now)
            elif failure is None:
                record = GroupRecord("", job.jobtype, "", 0, now, now)
            else:
                record = GroupRecord(failure.errtype, job.jobtype, shape_of(failure.message), 0, now, now)
        record.last_at = now
        _count_hour(record, now)
        self._count(key, 1, record)

    def leave(self, code: bytes, job: Job | None) -> None:
        """A job left a set; None for one that cannot be read. An effect."""
        key = keys.group_key(code, digest_of(job)) if job is not None else b""
        if key not in self.by_key:
            key = self._spare(code)
        self._count(key, -1, self.by_key[key])

    def _spare(self, code: bytes) -> bytes:
        """The group from which one may be taken whose own is not known: the others, else the largest."""
        others = keys.group_key(code, OTHERS)
        if others in self.by_key:
            return others
        own = [key for key in self.by_key if key[1:2] == code]
        return max(own, key=lambda key: self.by_key[key].count)

    def _count(self, key: bytes, number: int, record: GroupRecord) -> None:
        record.count += number
        self.dirty.add(key)
        code = key[1:2]
        if key not in self.by_key:
            self.by_key[key] = record
            self.sizes[code] = self.sizes.get(code, 0) + 1
        elif not record.count:
            del self.by_key[key]
            self.sizes[code] -= 1
