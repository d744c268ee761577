"""The simulated disk: a store that forgets, fails, fills up and stalls, and knows at every moment what it may forget.

Every commit of a run has a *position*, counted over all lives of the server. What a client was told is held against
these: a reply that was written at position p tells of nothing that a crash which keeps p commits can take back.

A crash leaves whole commits only, as RocksDB's log does: a record that is torn at its end is cut off at the next open,
which `tests/store` and the power cuts below a real process show.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from lineshaft.errors import StoreError
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.port import Store

__all__ = ["Disk"]

EVERYTHING = (b"", b"\xff" * 32)


class Disk:
    """The one disk of a run; `store` is the handle that is open now."""

    def __init__(self) -> None:
        self.store = FaultyStore()
        #: How many commits came before the first of this handle.
        self._base = 0
        #: While it is full every commit fails, and so does opening.
        self.full = False
        #: The last failure may have cost what was not synced: the kernel drops pages that it could not write.
        self.lost_pages = False

    @property
    def position(self) -> int:
        """How many commits it has seen."""
        return self._base + len(self.store.log)

    @property
    def synced(self) -> int:
        """How many of them no crash can take."""
        return self._base + self.store.synced

    def rows(self) -> dict[bytes, bytes]:
        """What is there now, whether the handle has failed or not."""
        return dict(self.store._now.scan(*EVERYTHING, limit=1 << 30))

    def crash(self, keep: int) -> int:
        """Lose all but `keep` of the commits since the last sync; returns the position that is left."""
        after = self.store.crash(keep)
        self._base = self.synced + keep
        self.store = FaultyStore(dict(after.scan(*EVERYTHING, limit=1 << 30)))
        if self.full:
            self.fail_next_commit(applied=False)
        return self._base

    # What goes wrong

    def fail_next_commit(self, *, applied: bool) -> None:
        """An I/O error in the next commit, which is on disk nevertheless, or not."""
        self.store.fail_commit(self.store.commits + 1, applied=applied)

    def fail_next_sync(self) -> None:
        """An I/O error in the next sync."""
        self.store.fail_sync(self.store.syncs + 1)
        self.lost_pages = True

    def fail_read(self, ahead: int) -> None:
        """An I/O error in a read to come."""
        self.store.fail_get(self.store.gets + ahead)
        self.store.fail_scan(self.store.scans + ahead)

    def fill(self) -> None:
        """No space is left: every commit fails from here on."""
        self.full = True
        self.fail_next_commit(applied=False)

    def empty(self) -> None:
        """There is space again."""
        self.full = False
        self.store._failing_commits.clear()

    def open_again(self) -> None:
        """Raises StoreError while it is full."""
        if self.full:
            raise StoreError("no space left on device")

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Look at it without meeting an error that was ordered for the server."""
        store = self.store
        orders, counts = (store._failing_gets, store._failing_scans), (store.gets, store.scans)
        store._failing_gets, store._failing_scans = set(), set()
        try:
            yield
        finally:
            store._failing_gets, store._failing_scans = orders
            store.gets, store.scans = counts

    def is_open(self, store: Store) -> bool:
        """Whether this is the handle that is open now."""
        return store is self.store
