"""Reader: reads a store that may be damaged, and steps over what cannot be read.

A damaged block of a table takes some hundred neighbouring rows with it, and whoever seeks behind it can go on. Where
that is, nothing says: so keys are taken for numbers, and the first that can be read again is found by doubling the
distance and then halving it.

What is true after every call: a row that was returned was read whole; `unreadable` is True when any was not.
"""

from collections.abc import Callable, Iterator
from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.check.findings import shown
from lineshaft.errors import StoreCorrupt
from lineshaft.store.port import Store

__all__ = ["Reader", "Rows"]

#: One slice in memory is no more than this.
SLICE: Final = 1000
SLICE_BYTES: Final = 4 << 20

Rows = list[tuple[bytes, bytes]]
"""Keys and values, in key order."""


class Reader:
    """A store without StoreCorrupt: `complain` is told the key and what could not be read there."""

    def __init__(self, store: Store, complain: Callable[[bytes, str], None]) -> None:
        self._store = store
        self._complain = complain
        #: Something could not be read, so that nothing is known of how many rows there are.
        self.unreadable = False

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`; None also when it cannot be read. Raises StoreError, but no StoreCorrupt."""
        try:
            return self._store.get(key)
        except StoreCorrupt as error:
            self._fail(key, f"the row cannot be read: {error}")
            return None

    def slices(self, start: bytes, end: bytes) -> Iterator[Rows]:
        """All rows of a range that can be read, in order, in slices. Raises StoreError, but no StoreCorrupt."""
        while True:
            try:
                rows = self._store.scan(start, end, limit=SLICE, limit_bytes=SLICE_BYTES)
            except StoreCorrupt as error:
                rows = self._before(start, end) or self._behind(start, end, error)
            if not rows:
                return
            yield rows
            start = keys.after(rows[-1][0])

    def _before(self, start: bytes, end: bytes) -> Rows:
        """The rows in front of the damage, one by one."""
        rows: Rows = []
        while len(rows) < SLICE and (row := self._one(start, end)):
            rows += row
            start = keys.after(row[0][0])
        return rows

    def _behind(self, start: bytes, end: bytes, error: StoreCorrupt) -> Rows:
        """The first row behind the damage; none when there is none."""
        width = max(len(start) + 8, len(end))
        low, limit = (int.from_bytes(key.ljust(width, b"\0")) for key in (start, end))
        found, high, step = None, low, 1
        while found is None and low + step < limit:
            high = low + step
            found = self._one(high.to_bytes(width), end)
            step *= 2
        while found is not None and high - low > 1:
            middle = (low + high) // 2
            row = self._one(middle.to_bytes(width), end)
            if row is None:
                low = middle
            else:
                high, found = middle, row
        upto = f", up to {shown(found[0][0])}" if found else " at all"
        # A slice starts just behind the last row that was read; that one can be named.
        self._fail(start.removesuffix(b"\0"), f"no row behind this can be read{upto}: {error}")
        return found or []

    def _one(self, start: bytes, end: bytes) -> Rows | None:
        """The next row, none at the end of the range; None when it cannot be read."""
        try:
            return self._store.scan(start, end, limit=1)
        except StoreCorrupt:
            return None

    def _fail(self, key: bytes, what: str) -> None:
        self.unreadable = True
        self._complain(key, what)
