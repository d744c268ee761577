"""The port of the store: ordered byte keys, atomic batches, and nothing that knows what they mean.

    get(key)                      one value
    scan(start, end, limit=...)   a bounded slice of a range, in key order
    commit(changes, cleared)      all of it or nothing, at once visible to get and scan
    sync()                        everything committed before the call is on disk after it

What is true after every call: `commit` has applied every change or none; a commit that returned
survives the death of the process (kill -9); one followed by a returned `sync` survives a power cut.
What a power cut leaves of commits without a sync is always a prefix of them, in order.

Adapters: `rocks` (the default), `memory` (tests and `--ephemeral`), `faulty` (tests). One conformance
suite, tests/conformance/store.py, runs on each.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from lineshaft.store.timing import Durations

__all__ = ["Changes", "KeyRange", "Store"]

Changes = Mapping[bytes, bytes | None]
"""Key to new value, or to None for a delete; each key once, so order inside a batch means nothing."""

KeyRange = tuple[bytes, bytes]
"""From the first key (inclusive) to the second (exclusive)."""


class Store(Protocol):
    """Ordered bytes. All methods but `sync` are called from one thread."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, or None. Raises StoreError, StoreCorrupt."""
        ...

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """At most `limit` (key, value) pairs with start <= key < end, in key order, or backwards.

        The slice also ends behind the pair with which the values together reach `limit_bytes`: a
        thousand jobs of 16 MiB must not come into memory at once.

        A list, not an iterator: nothing stays open between calls (an open RocksDB iterator would
        keep the database locked), and the caller pages by passing the last key on. The cost is that
        of the pairs returned plus the deleted keys skipped, so seek from a cursor, never from a
        queue's beginning.
        """
        ...

    def commit(self, changes: Changes, cleared: Sequence[KeyRange] = ()) -> None:
        """Clear the ranges `cleared`, then apply `changes`, as one atomic write.

        Raises StoreBusy when the store asks for a pause: nothing was written, the same call may be
        repeated. Raises StoreError when the write failed: the outcome is unknown, and the store must
        be closed and opened again.
        """
        ...

    def sync(self) -> None:
        """Return when all that was committed before this call is on disk. Called from another thread.

        Raises StoreError; the store must then be closed and opened again: a failed fsync must never
        be retried, since the kernel may have dropped the pages (the fsyncgate lesson).
        """
        ...

    def checkpoint(self, path: Path) -> None:
        """Write a consistent copy of the store, as of now, into the new directory `path`."""
        ...

    def figures(self) -> dict[str, int]:
        """What there is to say of the store's own state, for INFO and metrics; bytes and counts by name."""
        ...

    def durations(self) -> Mapping[str, Durations]:
        """How long `commit` and `sync` took since the store was opened; empty where there is no disk to wait for."""
        ...

    def close(self) -> None:
        """Release files and locks; idempotent, and never raises over what already failed."""
        ...
