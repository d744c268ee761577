"""Families: a RocksDB database whose rows lie in two column families, and are read and written as one key space.

    READY      a queue's jobs: their keys come in order
    default    everything else: records that are written again and again, and the jid index, in no order at all

A table of rows that came in order is written once, and then moves from level to level as it is, since it overlaps no
other. With a queue's record in it, or a row of the index, each new table would overlap all old ones, and the jobs be
rewritten with them time after time (docs/decisions/0025-two-families.md).

A database keeps the families that it was made with: one that has no READY has all of its rows in the default one.

What is true after every call: a row lies in one family; a commit is one write, whatever families it touches; and all
families are written from memory to tables together (`atomic_flush`), so that the tables alone are of one moment too.
"""

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from rocksdict import AccessType, ColumnFamily, Options, Rdict, RdictIter, ReadOptions, WriteBatch

from lineshaft.store.port import Changes, KeyRange

__all__ = ["READY", "READY_NAME", "Families"]

READY_NAME: Final = "ready"

#: The keys of the ready jobs (`engine.keys`).
READY: Final[KeyRange] = (b"R", b"S")
_FIRST, _BEYOND = READY


class Families:
    """The database in the directory `path`; whatever RocksDB reports is raised as it comes from rocksdict."""

    def __init__(self, path: Path, options: Options, access: AccessType | None = None) -> None:
        # All that there are must be named; for one that is not, rocksdict would take the options that it finds on disk.
        names = ["default", READY_NAME]
        if not (_is_empty(path) and access is None) and READY_NAME not in Rdict.list_cf(str(path)):
            names.remove(READY_NAME)
        self.database = Rdict(str(path), options, dict.fromkeys(names, options), access or AccessType.read_write())
        self._ready: Rdict | None = None
        self._handle: ColumnFamily | None = None
        if READY_NAME in names:
            self._ready = self.database.get_column_family(READY_NAME)
            self._handle = self.database.get_column_family_handle(READY_NAME)

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None."""
        family = self._ready if _FIRST <= key < _BEYOND and self._ready is not None else self.database
        value: bytes | None = family.get(key)
        return value

    def scan(self, start: bytes, end: bytes, limit: int, limit_bytes: int, reverse: bool) -> list[tuple[bytes, bytes]]:
        """As `Store.scan`; one family after the other where the range goes across."""
        rows: list[tuple[bytes, bytes]] = []
        pieces = self._pieces(start, end)
        for family, low, high in reversed(pieces) if reverse else pieces:
            bounds = ReadOptions()
            # Never `set_iterate_lower_bound`: in rocksdict 0.3.29 it sets the upper bound.
            bounds.set_iterate_upper_bound(high)
            found = _read_rows(family.iter(bounds), low, limit - len(rows), limit_bytes, reverse)
            if len(pieces) == 1:
                return found
            rows += found
            limit_bytes -= sum(len(value) for _, value in found)
            if rows and (len(rows) == limit or limit_bytes <= 0):
                break
        return rows

    def batch(self, changes: Changes, cleared: Sequence[KeyRange]) -> WriteBatch:
        """Clear the ranges, then apply the changes: as one batch for `database.write`, which consumes it."""
        batch = WriteBatch(True)
        for start, end in cleared:
            for family, low, high in self._pieces(start, end):
                batch.delete_range(low, high, None if family is self.database else self._handle)
        put, delete = batch.put, batch.delete
        # In key order, since a hint from the key before makes each insertion into the memtable cheaper: keys of
        # several kinds, mixed as they come, cost a third more. The loop stands here twice, since every commit
        # passes it: one over both families costs a plain cycle a hundredth more.
        ordered = sorted(changes)
        ready: list[bytes] = []
        if self._ready is not None:
            first, beyond = bisect_left(ordered, _FIRST), bisect_left(ordered, _BEYOND)
            ready = ordered[first:beyond]
            del ordered[first:beyond]
        for key in ordered:
            value = changes[key]
            if value is None:
                delete(key)
            else:
                put(key, value)
        for key in ready:
            value = changes[key]
            if value is None:
                delete(key, self._handle)
            else:
                put(key, value, self._handle)
        return batch

    def flush(self) -> None:
        """Write what is in memory to tables: one family after the other, as rocksdict has it.

        In between, and until they are next flushed together (a checkpoint does that), tables of one are ahead of the
        other's: a log that is damaged in just that moment cannot be cut off.
        """
        for family in self._all():
            family.flush()

    def figure(self, name: str) -> int:
        """One of RocksDB's own counters, of which each family has its own: over all of them."""
        return sum(_figure(family, name) for family in self._all())

    def shared_figure(self, name: str) -> int:
        """One that is the same for every family."""
        return _figure(self.database, name)

    def close(self) -> None:
        """Write out what is in memory where that still works, and let go of the directory in any case."""
        # Whatever it complains of has been reported, or is found by the next open.
        for family in reversed(self._all()):
            with suppress(Exception):
                family.close()
        # Each of these keeps the database open.
        self._ready = self._handle = None

    def _all(self) -> list[Rdict]:
        return [self.database] if self._ready is None else [self.database, self._ready]

    def _pieces(self, start: bytes, end: bytes) -> list[tuple[Rdict, bytes, bytes]]:
        """What of a range lies in which family, in key order; nothing of a range that ends before it starts."""
        if self._ready is None or end <= _FIRST or start >= _BEYOND:
            parts = [(self.database, start, end)]
        else:
            parts = [
                (self.database, start, _FIRST),
                (self._ready, max(start, _FIRST), min(end, _BEYOND)),
                (self.database, _BEYOND, end),
            ]
        return [(family, low, high) for family, low, high in parts if low < high]


def _is_empty(path: Path) -> bool:
    """Whether there is no database yet, or one whose making was cut short: nothing was ever written to it."""
    if not (path / "CURRENT").exists():
        return True
    return not any(path.glob("*.sst")) and not any(log.stat().st_size for log in path.glob("*.log"))


def _figure(family: Rdict, name: str) -> int:
    return int(family.property_value(f"rocksdb.{name}") or 0)


def _read_rows(
    iterator: RdictIter, start: bytes, limit: int, limit_bytes: int, reverse: bool
) -> list[tuple[bytes, bytes]]:
    """The rows between `start` and the iterator's upper bound; raises what RocksDB says of a bad block.

    The raw iterator, since the pleasant one (`Rdict.items`, twice as fast per row) cannot tell the end of a
    range from a block that it could not read: a queue would look empty.
    """
    rows: list[tuple[bytes, bytes]] = []
    read_key, read_value = iterator.key, iterator.value
    try:
        if reverse:
            advance = iterator.prev
            iterator.seek_to_last()
        else:
            advance = iterator.next
            iterator.seek(start)
        # No key is less than `start` on the way up; on the way down it is what ends the range.
        while (key := read_key()) is not None and key >= start:
            value = read_value()
            rows.append((key, value))
            limit_bytes -= len(value)
            if len(rows) == limit or limit_bytes <= 0:
                break
            advance()
        iterator.status()
    finally:
        # An error's traceback keeps this frame, and a live iterator would keep the directory locked.
        del iterator, read_key, read_value, advance
    return rows
