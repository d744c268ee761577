"""The store in memory: a sorted dict, for tests and `--ephemeral`.

It keeps every promise of the port but the one about death: with the process, everything is gone. So `sync`
has nothing to do, and `checkpoint` refuses, since a copy that cannot be opened again is none.

What is true after every call: `_rows` holds exactly what was committed, in key order. A closed store refuses
everything, as the one on disk does, so that a use after close shows in the fast tests already.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from sortedcontainers import SortedDict  # type: ignore[import-untyped]  # it ships no types

from lineshaft.errors import StoreError, UsageError
from lineshaft.store.port import Changes, KeyRange
from lineshaft.store.timing import Durations

__all__ = ["MemoryStore"]


class MemoryStore:
    """A store that lives and dies with the process; `rows` is what it holds at first."""

    def __init__(self, rows: Changes | None = None) -> None:
        self._rows = SortedDict(rows or {})
        self._closed = False

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None. Raises StoreError once closed."""
        self._check()
        value: bytes | None = self._rows.get(key)
        return value

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """As `Store.scan`. Raises StoreError once closed."""
        self._check()
        if start >= end:
            return []
        rows: list[tuple[bytes, bytes]] = []
        for key in islice(self._rows.irange(start, end, (True, False), reverse), max(limit, 0)):
            value = self._rows[key]
            rows.append((key, value))
            limit_bytes -= len(value)
            if limit_bytes <= 0:
                break
        return rows

    def commit(self, changes: Changes, cleared: Sequence[KeyRange] = ()) -> None:
        """As `Store.commit`; it is never busy. Raises StoreError once closed."""
        self._check()
        rows = self._rows
        for start, end in cleared:
            if start < end:
                for key in list(rows.irange(start, end, (True, False))):
                    del rows[key]
        for key, value in changes.items():
            if value is None:
                rows.pop(key, None)
            else:
                rows[key] = value

    def sync(self) -> None:
        """Nothing: there is no disk. Raises StoreError once closed."""
        self._check()

    def checkpoint(self, path: Path) -> None:
        """Refuse with UsageError: there is nothing on disk that a copy could be opened from."""
        raise UsageError(f"cannot back up to {path}: an ephemeral server keeps nothing on disk")

    def figures(self) -> dict[str, int]:
        """`rows`: how many keys it holds."""
        self._check()
        return {"rows": len(self._rows)}

    def durations(self) -> dict[str, Durations]:
        """None: there is no disk."""
        return {}

    def close(self) -> None:
        """Forget everything; idempotent."""
        self._closed = True
        self._rows.clear()

    def _check(self) -> None:
        if self._closed:
            raise StoreError("the store in memory is closed")
