"""Periodic: the jobs that the server pushes by itself, and up to where their runs have been dealt with.

```
            since                last       floor  now      next_due
   ... x ─────┼──── x ──── x ───── x ──────────┼────┼───────── x ────>   x: due times
```

A run is due once its due time has passed. `last`, the latest due time that was dealt with, is written in the commit
that pushes the run, and nothing at or before it is ever run again: not after a crash, a reload, a FLUSH, or on a clock
that steps back. If several due times have passed, the latest stands for all of them.

`floor` is the instant after which due times count. It is at least `last`, and at least `since`, when the server first
had this schedule. Without `catch_up` it is also at least the start of the process (`up_since`): what was due while the
server was down is left out. Only `last` binds a clock that steps back; `since` and `up_since` are moved back with it,
or a server that was started by a wrong clock would rest until that time came.

What is true after every call: `next_due` is the earliest of the entries', each entry's is the first due time after
its floor, and there is one record on disk, as the turn leaves it, per entry and no other.
"""

from msgspec import Struct, structs

from lineshaft.engine import keys
from lineshaft.engine.leases import NEVER
from lineshaft.engine.records import PeriodicRecord, decode_periodic, encode_record
from lineshaft.engine.settings import Periodic
from lineshaft.engine.turn import Turn

__all__ = ["Entry", "PeriodicJobs", "RefusedRun"]


class RefusedRun(Struct, frozen=True):
    """A run that did not come to be."""

    name: str
    due: int
    reason: str


class Entry:
    """One periodic job: what it is, and how far it has come."""

    __slots__ = ("floor", "next_due", "record", "what")

    def __init__(self, what: Periodic, record: PeriodicRecord) -> None:
        self.what = what
        self.record = record
        self.floor = 0
        self.next_due = NEVER

    def count_from(self, floor: int) -> None:
        """Let due times after this instant count, if they are after the last as well."""
        self.floor = max(floor, self.record.last)
        self.next_due = following(self.what, self.floor)


def following(what: Periodic, after: int) -> int:
    """The first due time after an instant, or NEVER."""
    due = what.schedule.next(after)
    return NEVER if due is None else due


class PeriodicJobs:
    """All periodic jobs."""

    def __init__(self, turn: Turn, now: int) -> None:
        self.turn = turn
        self.entries: list[Entry] = []
        #: The earliest due time of all that is not dealt with.
        self.next_due = NEVER
        #: The start of the process; a reload of the store, after it failed, is none.
        self.up_since = now
        #: For the shell, which tells of them.
        self.refused: list[RefusedRun] = []
        self._records: dict[str, PeriodicRecord] = {}

    def load(self) -> None:
        """Read all records; `take_over` says to whom they belong. Raises StoreError."""
        self._records.clear()
        start, end = keys.prefix_range(b"P")
        while rows := self.turn.scan(start, end, limit=1000):
            for key, value in rows:
                self._records[key[1:].decode()] = decode_periodic(value)
            start = keys.after(rows[-1][0])

    def take_over(self, periodic: tuple[Periodic, ...], now: int) -> None:
        """Have these periodic jobs and no other; those whose schedule stays go on where they are."""
        before = {entry.what.name: entry for entry in self.entries}
        self.entries = [self._entry(what, before.get(what.name), now) for what in periodic]
        kept = {what.name for what in periodic}
        for name in self._records.keys() - kept:
            self.turn.changes[keys.periodic_key(name)] = None
            del self._records[name]
        self.settle()

    def step_back(self, now: int) -> None:
        """The clock has been set back to `now`: what has not been dealt with may come again, what has may not."""
        self.up_since = min(self.up_since, now)
        for entry in self.entries:
            if entry.record.since > now:
                self.write(entry, structs.replace(entry.record, since=now))
            if entry.floor > max(now, entry.record.last):
                entry.count_from(now)
        self.settle()

    def write(self, entry: Entry, record: PeriodicRecord) -> None:
        """Note how far an entry has come, in this turn."""
        entry.record = self._records[entry.what.name] = record
        self.turn.changes[keys.periodic_key(entry.what.name)] = encode_record(record)

    def settle(self) -> None:
        """Find the earliest due time again."""
        self.next_due = min((entry.next_due for entry in self.entries), default=NEVER)

    def _entry(self, what: Periodic, before: Entry | None, now: int) -> Entry:
        record = self._records.get(what.name) or PeriodicRecord("", now)
        is_known = record.schedule == str(what.schedule)
        entry = Entry(what, record)
        if not is_known or record.since > now:
            # What a new schedule would have had to do before it was there is not missed; and the clock may have been
            # set back while nobody looked.
            self.write(entry, structs.replace(record, schedule=str(what.schedule), since=now))
        if is_known and before is not None:
            entry.count_from(before.floor)
        elif what.catch_up:
            entry.count_from(entry.record.since)
        else:
            entry.count_from(max(entry.record.since, self.up_since))
        return entry
