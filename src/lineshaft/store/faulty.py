"""The store for tests of what goes wrong: it fails where it is told to, and crashes to any state a disk could show.

    store = FaultyStore()
    store.fail_commit(3, applied=True)      the third commit raises StoreError, yet it is on disk
    store.fail_sync(2)                      the second sync raises StoreError
    store.busy_for(2)                       the next two commits raise StoreBusy
    store.fail_get(5); store.fail_scan(1)   one read raises StoreError
    ...
    for kept in range(store.unsynced + 1):
        after = store.crash(kept)           what a power cut may leave: the synced, then `kept` commits more

Everything is counted from one, over the life of the store; nothing is left to chance, so a failing test fails
again. What is true after every call:

* `log` holds, in order, every commit that reached the disk's cache, failed ones with `applied` included;
  `synced` of them survive a power cut, and any prefix beyond may;
* a failed commit or sync poisons the store as it does the real one: all that is left is `close` and `crash`;
* a failed read or a busy commit has changed nothing, and the same call may succeed the next time.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lineshaft.errors import StoreBusy, StoreError
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Changes, KeyRange
from lineshaft.store.timing import Durations

__all__ = ["Commit", "FaultyStore"]


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit as it was asked for; a copy, so that the caller may go on with its mapping."""

    changes: Changes
    cleared: tuple[KeyRange, ...]


class FaultyStore:
    """A store in memory with a log, an honest idea of what a power cut leaves, and faults on order.

    `rows` is what it holds at first, as if synced long ago.
    """

    def __init__(self, rows: Changes | None = None) -> None:
        # What it began with, and what came after: enough to go back to any moment.
        self._first = dict(rows or {})
        self.log: list[Commit] = []
        #: How many commits of the log are on disk for good.
        self.synced = 0
        # The present.
        self._now = MemoryStore(self._first)
        self._failure: str | None = None
        self._counting = threading.Lock()
        #: Calls so far, whether they failed or not; a commit refused as busy is none.
        self.commits = self.syncs = self.gets = self.scans = 0
        # What was ordered.
        self._failing_commits: dict[int, bool] = {}
        self._failing_syncs: set[int] = set()
        self._failing_gets: set[int] = set()
        self._failing_scans: set[int] = set()
        self._busy = 0

    # Orders.

    def fail_commit(self, number: int, *, applied: bool) -> None:
        """Let commit `number` raise StoreError; `applied` says whether it is on disk nevertheless."""
        self._failing_commits[number] = applied

    def fail_sync(self, number: int) -> None:
        """Let sync `number` raise StoreError; what it should have synced stays in doubt for ever."""
        self._failing_syncs.add(number)

    def fail_get(self, number: int) -> None:
        """Let get `number` raise StoreError."""
        self._failing_gets.add(number)

    def fail_scan(self, number: int) -> None:
        """Let scan `number` raise StoreError."""
        self._failing_scans.add(number)

    def busy_for(self, commits: int) -> None:
        """Let the next `commits` calls of commit raise StoreBusy."""
        self._busy = commits

    # Crashes.

    @property
    def unsynced(self) -> int:
        """How many commits of the log a power cut may take: the most that `crash` can keep."""
        return len(self.log) - self.synced

    def crash(self, kept: int) -> "FaultyStore":
        """What is there after a power cut that left `kept` of the unsynced commits; this store is dead.

        With all of them kept it is also what is there after a kill -9, or when the same process closes the
        store and opens it again. It may be called again with another number. The new store has the log up
        to there, no faults, and counts from one. Raises ValueError when there are fewer commits than that.
        """
        if not 0 <= kept <= self.unsynced:
            raise ValueError(f"cannot keep {kept} of {self.unsynced} commits since the last sync")
        self.close()
        after = FaultyStore(self._first)
        for commit in self.log[: self.synced + kept]:
            after.log.append(commit)
            after._now.commit(commit.changes, commit.cleared)
        after.synced = len(after.log)
        return after

    # The port.

    def get(self, key: bytes) -> bytes | None:
        """As `Store.get`, unless ordered otherwise."""
        self._check()
        self.gets += 1
        if self.gets in self._failing_gets:
            raise StoreError(f"get {self.gets} fails, as ordered")
        return self._now.get(key)

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """As `Store.scan`, unless ordered otherwise."""
        self._check()
        self.scans += 1
        if self.scans in self._failing_scans:
            raise StoreError(f"scan {self.scans} fails, as ordered")
        return self._now.scan(start, end, limit=limit, limit_bytes=limit_bytes, reverse=reverse)

    def commit(self, changes: Changes, cleared: Sequence[KeyRange] = ()) -> None:
        """As `Store.commit`, unless ordered otherwise."""
        with self._counting:
            self._check()
            if self._busy:
                self._busy -= 1
                raise StoreBusy("the store asks for a pause, as ordered")
            self.commits += 1
            applied = self._failing_commits.get(self.commits)
            if applied is not False:
                self.log.append(Commit(dict(changes), tuple(cleared)))
                self._now.commit(changes, cleared)
            if applied is not None:
                self._failure = f"commit {self.commits} failed, as ordered"
                self._check()

    def sync(self) -> None:
        """As `Store.sync`, unless ordered otherwise; at once, so everything committed before is synced."""
        self.finish_sync(self.start_sync())

    def start_sync(self) -> int:
        """The first half of a sync that takes its time: what `finish_sync` is to be given. Raises StoreError."""
        with self._counting:
            self._check()
            return len(self.log)

    def finish_sync(self, started: int) -> None:
        """The second half: the commits from before the first half are on disk, unless ordered otherwise.

        A simulation lets other things happen between the halves, as they do during a real fsync.
        """
        with self._counting:
            self._check()
            self.syncs += 1
            if self.syncs in self._failing_syncs:
                self._failure = f"sync {self.syncs} failed, as ordered"
                self._check()
            self.synced = max(self.synced, started)

    def checkpoint(self, path: Path) -> None:
        """Refuse with UsageError, as the store in memory does."""
        self._now.checkpoint(path)

    def durations(self) -> dict[str, Durations]:
        """None: there is no disk."""
        return {}

    def figures(self) -> dict[str, int]:
        """`rows`, `commits`, `syncs` and `unsynced`."""
        self._check()
        return {
            **self._now.figures(),
            "commits": self.commits,
            "syncs": self.syncs,
            "unsynced": self.unsynced,
        }

    def close(self) -> None:
        """Refuse everything from here on but `crash`, which needs the log; idempotent."""
        self._failure = self._failure or "the faulty store is closed"

    def _check(self) -> None:
        if self._failure is not None:
            raise StoreError(self._failure)
