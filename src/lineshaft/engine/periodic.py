"""Periodic jobs: those that the server pushes by itself, and up to where each has been dealt with.

```
          since or up_since      last                     now
  ────────────┼───────x──────x─────x──────x──────────x──────┼────x────   x: due times
                                   └ floor           └ this one is pushed next, and stands for the one before it
```

A run is due once its due time has passed. `last`, the latest due time that was dealt with, is written in the commit
that pushes the run, and nothing at or before it is ever run again: not after a crash, a reload, a FLUSH, or on a clock
that steps back. If several due times have passed, the latest stands for all of them.

`floor` is the instant after which due times count. It is at least `last`, and at least `since`, when the server first
had this schedule, or when a pause of it ended. Without `catch_up` it is also at least the start of the process
(`up_since`): what was due while the server was down is left out. Only `last` binds a clock that steps back; `since` and
`up_since` are moved back with it, or a server that was started by a wrong clock would rest until that time came.

To search for a due time takes a hundred microseconds, and there may be ten thousand entries. So whatever concerns all
of them (a start, a reload, a clock that steps back) only says that an entry has to be looked at, and `run` does that a
slice at a time.

What an operator removes is not forgotten at once: its record stays for a week, so that a job which comes back finds
its `last` and its pause.

What is true after every call: each entry's `next_due` is the first due time after its floor, NEVER while it is paused,
or UNKNOWN; `next_due` of all is the earliest; there is one record on disk, as the turn leaves it, per entry, and one
with an empty schedule per removed entry that is remembered.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from msgspec import Struct, structs

from lineshaft.engine import keys
from lineshaft.engine.leases import NEVER
from lineshaft.engine.records import PeriodicRecord, decode_periodic, encode_record
from lineshaft.engine.settings import Periodic
from lineshaft.engine.turn import Turn
from lineshaft.errors import Refusal

__all__ = ["UNKNOWN", "Entry", "PeriodicJobs", "SkippedRun", "following"]

#: The next due time of an entry that has still to be worked out; so it is looked at before all others.
UNKNOWN: Final = 0
#: How long what was removed is remembered, and how many at most.
REMEMBERED_MS: Final = 7 * 86_400_000
REMEMBERED_MOST: Final = 10_000


class SkippedRun(Struct, frozen=True):
    """A run that did not come to be."""

    name: str
    due: int
    reason: str
    is_expected: bool  #: the job before it has not ended, and the operator wants no two


class Entry:
    """One periodic job: what it is, and how far it has come."""

    __slots__ = ("floor", "next_due", "number", "record", "what")

    def __init__(self, what: Periodic, record: PeriodicRecord, number: int) -> None:
        self.what = what
        self.record = record
        self.number = number  #: its place in the configuration
        self.floor = 0
        self.next_due = UNKNOWN

    def count_from(self, floor: int) -> None:
        """Let due times after this instant count, if they are after the last as well."""
        self.floor = max(floor, self.record.last)
        self.next_due = NEVER if self.record.paused else UNKNOWN


def following(what: Periodic, after: int) -> int:
    """The first due time after an instant, or NEVER."""
    due = what.schedule.next(after)
    return NEVER if due is None else due


class PeriodicJobs:
    """All periodic jobs."""

    def __init__(self, turn: Turn, now: int) -> None:
        self.turn = turn
        #: By name, in the order of the configuration.
        self.entries: dict[str, Entry] = {}
        #: When the first of them is to be looked at.
        self.next_due = NEVER
        #: The start of the process; a reload of the store, after it failed, is none.
        self.up_since = now
        #: For the shell, which tells of them.
        self.skipped: list[SkippedRun] = []
        #: Every record on disk, also those of what was removed.
        self._records: dict[str, PeriodicRecord] = {}
        #: Next due time and entry, the earliest first; what does not agree with its entry any more is left out.
        self._line: list[tuple[int, int, Entry]] = []

    def load(self) -> None:
        """Read all records; `take_over` says to whom they belong. Raises StoreError."""
        self._records.clear()
        start, end = keys.prefix_range(b"J")
        while rows := self.turn.scan(start, end, limit=1000):
            for key, value in rows:
                self._records[key[1:].decode()] = decode_periodic(value)
            start = keys.after(rows[-1][0])

    def take_over(self, periodic: tuple[Periodic, ...], now: int) -> None:
        """Have these periodic jobs and no other; those whose schedule stays go on where they are."""
        before = self.entries
        self.entries = {
            what.name: self._entry(what, before.get(what.name), now, number) for number, what in enumerate(periodic)
        }
        self._forget(now)
        self._line_up()

    def step_back(self, now: int) -> None:
        """The clock has been set back to `now`: what has not been dealt with may come again, what has may not."""
        self.up_since = min(self.up_since, now)
        for entry in self.entries.values():
            if entry.record.since > now:
                self.write(entry, structs.replace(entry.record, since=now))
            if entry.floor > max(now, entry.record.last):
                entry.count_from(now)
        self._line_up()

    def get(self, name: str) -> Entry:
        """The entry of a name. Raises Refusal."""
        entry = self.entries.get(name)
        if entry is None:
            raise Refusal(f"no such periodic job {name[:200]}")
        return entry

    def first_due(self, now: int) -> Entry | None:
        """The entry that is to be looked at first, if its time has come."""
        return self._line[0][2] if self.next_due <= now else None

    def pause(self, name: str) -> None:
        """Let its due times pass without a push. Raises Refusal."""
        entry = self.get(name)
        if not entry.record.paused:
            self.write(entry, structs.replace(entry.record, paused=True))
            self.place(entry, NEVER)

    def resume(self, name: str, now: int) -> None:
        """Let it run again; what was due during the pause is never made up for. Raises Refusal."""
        entry = self.get(name)
        if entry.record.paused:
            self.write(entry, structs.replace(entry.record, paused=False, since=now))
            entry.count_from(now)
            self.place(entry, following(entry.what, entry.floor))

    def write(self, entry: Entry, record: PeriodicRecord) -> None:
        """Note how far an entry has come, in this turn."""
        entry.record = record
        self._note(entry.what.name, record)

    def place(self, entry: Entry, next_due: int) -> None:
        """Note when an entry is due next."""
        entry.next_due = next_due
        if next_due < NEVER:
            heappush(self._line, (next_due, entry.number, entry))
        if len(self._line) > 2 * len(self.entries) + 16:
            self._line_up()
        while self._line and self._line[0][0] != self._line[0][2].next_due:
            heappop(self._line)
        self.next_due = self._line[0][0] if self._line else NEVER

    def _line_up(self) -> None:
        entries = self.entries.values()
        self._line = [(entry.next_due, entry.number, entry) for entry in entries if entry.next_due < NEVER]
        heapify(self._line)
        self.next_due = self._line[0][0] if self._line else NEVER

    def _note(self, name: str, record: PeriodicRecord) -> None:
        self._records[name] = record
        self.turn.changes[keys.periodic_key(name)] = encode_record(record)

    def _entry(self, what: Periodic, before: Entry | None, now: int, number: int) -> Entry:
        record = self._records.get(what.name) or PeriodicRecord("", now)
        is_known = record.schedule == str(what.schedule)
        entry = Entry(what, record, number)
        if not is_known or record.since > now:
            # What a new schedule would have had to do before it was there is not missed; and the clock may have been
            # set back while nobody looked.
            self.write(entry, structs.replace(record, schedule=str(what.schedule), since=now))
        if is_known and before is not None:
            entry.floor, entry.next_due = before.floor, before.next_due
        elif what.catch_up:
            entry.count_from(entry.record.since)
        else:
            entry.count_from(max(entry.record.since, self.up_since))
        return entry

    def _forget(self, now: int) -> None:
        """Note what is not there any more; what has not been there for long is forgotten."""
        removed = [name for name in self._records if name not in self.entries]
        for name in removed:
            record = self._records[name]
            if record.schedule:
                self._note(name, structs.replace(record, schedule="", since=now))
        removed.sort(key=lambda name: self._records[name].since, reverse=True)
        for place, name in enumerate(removed):
            record = self._records[name]
            if place >= REMEMBERED_MOST or max(record.since, record.last) + REMEMBERED_MS < now:
                del self._records[name]
                self.turn.changes[keys.periodic_key(name)] = None
