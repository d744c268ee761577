"""Scan: looking through the jobs of a place for those that match, wherever that is done.

The server looks through a place itself where that is short (`views.jobs`). What is long is left to a process apart,
which reads the same rows (`lineshaft.search`): it is told what is sought, looks for a moment, and says which keys it
found and where it stopped. It remembers nothing, so whoever asks goes on from there or not, as he likes.

What is found is a hint: by the time it is told the job may have moved on. The engine looks again before it shows a job
or acts on it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.search.filter import Filter, contains
from lineshaft.engine.value import split_value
from lineshaft.job import UNREADABLE, decode_stored
from lineshaft.store.port import KeyRange, Store

__all__ = ["Seen", "Sought", "narrowed", "scan"]

#: Rows that are read at once: a millisecond or two.
ROWS: Final = 250
ROWS_BYTES: Final = 1 << 20


class Sought(Struct, frozen=True):
    """What is looked for."""

    ranges: list[KeyRange]  #: in key order
    filter: Filter
    limit: int  #: so many are found at most; with 0 they are only counted
    newest: bool = False  #: from the end of the last range backwards


class Seen(Struct, frozen=True):
    """What one look has found."""

    hits: list[bytes]  #: keys
    count: int  #: of what matched
    looked_at: int  #: rows
    cursor: bytes  #: a look that goes on begins here (backwards: ends before it); empty at the end


def scan(store: Store, sought: Sought, may_go_on: Callable[[], bool]) -> Seen:
    """Look for as long as it may go on, and at one slice at least. Raises StoreError."""
    hits: list[bytes] = []
    count = looked_at = 0
    left = narrowed(sought.ranges, b"", newest=sought.newest)
    while left:
        start, end = left[-1 if sought.newest else 0]
        rows = store.scan(start, end, limit=ROWS, limit_bytes=ROWS_BYTES, reverse=sought.newest)
        for key, value in rows:
            looked_at += 1
            if _matches(sought.filter, key, value):
                count += 1
                if sought.limit:
                    hits.append(key)
                    if count == sought.limit:
                        return Seen(hits, count, looked_at, _behind(key, newest=sought.newest))
        # Without rows this range is through.
        cursor = _behind(rows[-1][0], newest=sought.newest) if rows else start if sought.newest else end
        left = narrowed(left, cursor, newest=sought.newest)
        if left and not may_go_on():
            return Seen(hits, count, looked_at, cursor)
    return Seen(hits, count, looked_at, b"")


def narrowed(ranges: Sequence[KeyRange], cursor: bytes, *, newest: bool) -> list[KeyRange]:
    """What is left of ranges from a cursor on; an empty one is no cursor yet."""
    if not cursor:
        return [(start, end) for start, end in ranges if start < end]
    cut = [(start, min(end, cursor)) if newest else (max(start, cursor), end) for start, end in ranges]
    return [(start, end) for start, end in cut if start < end]


def _behind(key: bytes, *, newest: bool) -> bytes:
    return key if newest else keys.after(key)


def _matches(wanted: Filter, key: bytes, value: bytes) -> bool:
    """The text first: nearly all rows are out by it, and then need not be decoded."""
    try:
        _, payload = split_value(value)
        if wanted.text and not contains(payload, wanted.text):
            return False
        due = 0 if keys.is_ready(key) else keys.timed_due(key)
        return wanted.matches(decode_stored(payload), payload, due)
    except UNREADABLE:
        return False
