"""The laws of numbers and of the jid index, for `check`.

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
"""

from collections.abc import Iterator

from lineshaft.engine import keys
from lineshaft.engine.check.findings import Law, MalformedKey, Report, Severity, shown
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.records import LARGEST_FIGURE
from lineshaft.engine.value import split_value
from lineshaft.job import UNREADABLE, decode_stored

__all__ = ["IndexLaws", "Numbers"]


class Numbers:
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


class IndexLaws:
    """Which numbers are taken, and what the index says of who took them."""

    def __init__(self, reader: Reader, report: Report) -> None:
        self.reader = reader
        self.report = report
        self.numbers = Numbers()
        #: None where its row cannot be read.
        self.reserved: int | None = 0
        self.watermark: int | None = None
        # Entries that a job was found for, and all of them.
        self._claimed = 0
        self._entries = 0

    # Rows

    def sequence(self, key: bytes, value: bytes) -> None:
        """How far numbers are reserved. Raises MalformedKey, ValueError."""
        self.reserved = None
        reserved = _single_decimal(key, keys.SEQUENCE_KEY, value)
        if reserved > LARGEST_FIGURE:
            raise ValueError("numbers that high are never reached")
        self.reserved = reserved

    def watermark_row(self, key: bytes, value: bytes) -> None:
        """From which number on jobs have their entries. Raises MalformedKey, ValueError."""
        self.watermark = _single_decimal(key, keys.INDEX_KEY, value)

    def entry(self, key: bytes, value: bytes) -> None:  # noqa: ARG002 - every kind is looked at in one way
        """From a jid to a job. Raises MalformedKey."""
        if len(key) < 12 or len(key) != int.from_bytes(key[1:3]) + 11:
            raise MalformedKey
        self._entries += 1

    # Jobs

    def take(self, key: bytes, jid: str, seq: int, order: int) -> bool:
        """Whether nobody else has the numbers of this row."""
        take = self.numbers.take
        is_first = take(seq)
        if order != seq:
            is_first = take(order) and is_first
        if not is_first:
            entry = self.reader.get(keys.where_key(jid, seq)) if self.watermark is not None else None
            other = f"; the index says that it lies at {shown(entry)}" if entry is not None else ""
            self.report(Law.DOUBLE, key, f"another row has the seq {seq} or the order {order} of job {jid}{other}")
            if entry == key:
                self._claimed += 1
        return is_first

    def find(self, key: bytes, jid: str, seq: int, order: int, *, is_required: bool) -> None:
        """Count the job's entry, or say that it has none where it must.

        Nobody must find what a REMOVE left behind: a start does not look for young jobs there.
        """
        if self.watermark is None:
            return
        entry = self.reader.get(keys.where_key(jid, seq))
        if entry == key:
            self._claimed += 1
            return
        is_young = key[:1] == b"R" and seq == order and order > self.watermark
        if not is_required or (entry is None and (is_young or self.reader.unreadable)):
            return
        said = "it has no entry" if entry is None else f"its entry names {shown(entry)}"
        if order > self.watermark:
            self.report(Law.NOT_INDEXED, key, f"job {jid}: {said}, so nobody finds it by its jid")
        else:
            what = f"job {jid}: {said}; that is so when it was pushed or moved while jid_index was off"
            self.report(Law.NOT_INDEXED, key, what, Severity.UNTIDY)

    # The whole

    def hold_sequence(self) -> None:
        """No number that is used will be given again; after all rows."""
        if self.reserved is not None and max(self.numbers.highest, self.watermark or 0) > self.reserved:
            what = f"{self.numbers.highest} is used, and a start counts on from {self.reserved}: numbers would repeat"
            self.report(Law.SEQUENCE, keys.SEQUENCE_KEY, what)

    def follow(self) -> Iterator[None]:
        """Say of each entry that names no row of its own job what it does name; after all rows, in slices."""
        if self.watermark is None or self.reader.unreadable or self._claimed == self._entries:
            return
        for rows in self.reader.slices(*keys.prefix_range(b"W")):
            for key, place in rows:
                value = self.reader.get(place)
                if value is None:
                    what = f"nothing lies at {shown(place)}; that is so when the job ended while jid_index was off"
                    self.report(Law.STALE, key, what, Severity.UNTIDY)
                elif not _is_of(key, place, value):
                    self.report(Law.ASTRAY, key, f"another job lies at {shown(place)}")
            yield


def _single_decimal(key: bytes, name: bytes, value: bytes) -> int:
    if key != name:
        raise MalformedKey
    if not value.isdigit():
        raise ValueError(f"{value[:40]!r} is no number")
    return int(value)


def _is_of(entry: bytes, place: bytes, value: bytes) -> bool:
    """Whether the row is that of the job that an entry's key names; a broken job is taken for it: it was reported."""
    try:
        extras, payload = split_value(value)
        jid = decode_stored(payload).jid
        return not jid or keys.where_key(jid, extras.seq or int.from_bytes(place[-8:])) == entry
    except (*UNREADABLE, IndexError):
        return True
