"""When a periodic job is due: a cron expression in a time zone, and instants in, instants out.

    minute hour day month weekday          at second 0
    second minute hour day month weekday
    @hourly @daily @midnight @weekly @monthly @yearly @annually

Parsing and the search for the next match are cronsim's; nothing here reads a clock. What happens when the zone's clock
is changed is ours, since cronsim follows Debian's cron there, and that depends on how an expression is written:

* An expression that leaves hours out (`30 2 * * *`) goes by the clock on the wall: each local time counts once, the
  first time that it comes. One that does not exist that day counts at the next one that does.
* An expression for all 24 hours (`*/5 * * * *`) goes by time elapsed: it neither rests for an hour that comes twice nor
  catches up with one that was left out.

What is true after every call: `next` is strictly later than what it was given, and never jumps over a due time.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

__all__ = ["NAMES", "Schedule", "ScheduleError", "find_zone"]

NAMES: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""What the names stand for."""

_EVERY_HOUR: Final = set(range(24))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)
_DAY: Final = timedelta(days=1)

#: Where a new expression is tried: whatever comes at all comes within the 50 years for which cronsim looks.
_TRIAL: Final = 1_764_000_000_000


class ScheduleError(ValueError):
    """An expression that cannot be; the text says what is wrong with it, as in `bad minute`."""


class Schedule:
    """A cron expression in a time zone."""

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        """Raises ScheduleError, and ValueError for a zone that is not known."""
        self.expression = expression
        self.zone = zone
        self._tz = find_zone(zone)
        self._fields = _fields(expression)
        try:
            self._by_elapsed_time = CronSim(self._fields, datetime(2000, 1, 1)).hours == _EVERY_HOUR
        except CronSimError as error:
            raise ScheduleError(str(error).lower()) from None
        if self.next(_TRIAL) is None:
            raise ScheduleError("it never comes")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        return f"{self.expression} {self.zone}"

    def next(self, after: int) -> int | None:
        """The first due time after an instant, both in milliseconds; None when there is none for 50 years.

        Mostly 30 to 100 microseconds; some milliseconds for a 29 February that is also a fifth Monday.
        """
        try:
            return self._next_elapsed(after) if self._by_elapsed_time else self._next_on_the_wall(after)
        except (OverflowError, ValueError):
            # The calendar ends with the year 9999.
            return None

    def latest(self, due: int, now: int) -> int:
        """The last due time that is not after `now`; `due` is one of them. Takes some forty steps at most."""
        following = self.next(due)
        if following is None or following > now:
            return due
        # Always: `due` is a due time not after now, and none lies between `end` and now.
        due, end = following, now
        while due < end:
            middle = (due + end) // 2
            found = self.next(middle)
            if found is not None and found <= now:
                due = found
            else:
                end = middle
        return due

    def _next_elapsed(self, after: int) -> int | None:
        start = self._local(after)
        while True:
            # As if the clock on the wall were never changed. Where it is, the search begins anew; cronsim's own way
            # misses due times where it is changed by half an hour.
            wall = next(CronSim(self._fields, start.replace(tzinfo=None)), None)
            if wall is None:
                return None
            due = (wall.replace(tzinfo=UTC) - _offset(start)).astimezone(self._tz)
            # A day ahead, since a clock that is put back shows once more what was already passed.
            for seen in (min(due, self._later(start, _DAY), key=_instant), due):
                if _offset(seen) != _offset(start):
                    changed = self._change(start, seen)
                    start = changed.replace(tzinfo=timezone(_offset(changed))) - _SECOND
                    break
            else:
                return _instant(due)

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The first second at which the offset is no longer that of `before`, which it is not at `after`."""
        low, high = _instant(before) // 1000, _instant(after) // 1000
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(self._local(middle * 1000)) == _offset(before):
                low = middle
            else:
                high = middle
        return self._local(high * 1000)

    def _later(self, start: datetime, by: timedelta) -> datetime:
        return (start.astimezone(UTC) + by).astimezone(self._tz)

    def _next_on_the_wall(self, after: int) -> int | None:
        for wall in CronSim(self._fields, self._local(after).replace(tzinfo=None)):
            # In an hour that comes again, what lies ahead on the wall has been before.
            if (due := self._first(wall)) > after:
                return due
        return None

    def _first(self, wall: datetime) -> int:
        """The instant at which the clock on the wall first shows this, or the next time that it shows at all.

        It never falls as the wall's time rises, so the first match on the wall is the first in time.
        """
        moment = wall.replace(tzinfo=self._tz).astimezone(UTC)
        while moment.astimezone(self._tz).replace(tzinfo=None) != wall:
            # Clocks are changed at whole minutes.
            wall = wall.replace(second=0) + _MINUTE
            moment = wall.replace(tzinfo=self._tz).astimezone(UTC)
        return _instant(moment)

    def _local(self, instant: int) -> datetime:
        return (_EPOCH + timedelta(seconds=instant // 1000)).astimezone(self._tz)


def find_zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ValueError for any other."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"no time zone {name!r}") from None


def _fields(expression: str) -> str:
    """Six fields. With five, cronsim would apply Debian's rules for days on which the clock is changed."""
    parts = NAMES.get(expression.strip().lower(), expression).split()
    if len(parts) not in (5, 6):
        raise ScheduleError("wrong number of fields")
    if any(re.fullmatch(r"[0-9A-Za-z*/,#-]+", part) is None for part in parts):
        raise ScheduleError("bad character")
    return " ".join(parts if len(parts) == 6 else ["0", *parts])


def _instant(moment: datetime) -> int:
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)


def _offset(moment: datetime) -> timedelta:
    offset = moment.utcoffset()
    assert offset is not None, "every moment here has a zone"
    return offset
