"""The replicated store: what a leader's engine writes to. A commit goes into the log, and from there into the replica.

```
commit ─> overlay (seen by every read) ─> Writer ─> the log ─> stands ─> replica's store, and out of the overlay
```

To the engine it is a store like any other. What it has committed and what does not stand in the log yet lies over the
replica's store like the engine's own turn does, so reads see it at once. Nothing of it is in that store before a
majority has it: a leader that is none any more throws this object away, and its store is a standby's again.

What stands is applied in slices worth a commit, and `apply_rest`, several times a second, applies the rest: nobody
waits for it, since the overlay has it.

What is true after every call: `committed` is the number of the last turn, `standing` of the last one that stands in
the log, `applied` of the last one in the replica's store; the overlay holds exactly the turns behind that.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

from msgspec import Struct

from lineshaft.cluster.fold import Fold
from lineshaft.cluster.record import encode_transaction
from lineshaft.cluster.replica import GATHER_BYTES, Replica, merged
from lineshaft.cluster.writer import Turn, Writer
from lineshaft.engine.turn import Turn as Layer
from lineshaft.errors import StoreBusy, StoreError
from lineshaft.store.port import Changes, KeyRange
from lineshaft.store.timing import Durations

__all__ = ["ReplicatedStore"]

#: With so much that does not stand yet, or is not applied, the engine is asked to pause.
PENDING_BYTES: Final = 64 << 20
PENDING_TURNS: Final = 4096

#: How long a backup waits for what was committed before it to be in the store that it copies.
COPY_SECONDS: Final = 30.0


class Overlay(Layer):
    """Turns over a store: the newest value of each key, and which turn it is from."""

    def __init__(self, replica: Replica) -> None:
        super().__init__(replica.store)
        self._turns: dict[bytes, int] = {}

    def add(self, turn: Turn) -> None:
        """Lay a turn over all others."""
        for start, end in turn.cleared:
            self.clear(start, end)
        self.changes.update(turn.changes)
        self._turns.update(dict.fromkeys(turn.changes, turn.number))

    def remove(self, turn: Turn) -> None:
        """The oldest turn is in the store below."""
        turns = self._turns
        for key in turn.changes:
            if turns.get(key) == turn.number:
                del turns[key]
                # A later turn may have cleared it.
                self.changes.pop(key, None)
        del self.cleared[: len(turn.cleared)]
        self._sorted = []


class _Slice(Struct):
    """Turns that stand in the log and are applied as one, and the fold behind them."""

    fold: Fold
    turns: list[Turn] = []
    size_bytes: int = 0


class ReplicatedStore:
    """A `Store` whose commits are in the log of a cluster before anybody hears of them."""

    def __init__(self, replica: Replica, writer: Writer, is_current: Callable[[], bool] = lambda: True) -> None:
        """`is_current` says whether what is read here is what the cluster has, whoever else may lead by now."""
        self.replica = replica
        self.writer = writer
        self.is_current = is_current
        self._overlay = Overlay(replica)
        self.get = self._overlay.get
        self.scan = self._overlay.scan
        self.committed = 0
        self.standing = 0
        self.applied = 0
        #: What stands and is not applied yet.
        self._unapplied: deque[_Slice] = deque()
        self._appends = Durations()
        self._began: deque[float] = deque()
        #: It takes nothing new: what is in flight shall end before another node leads.
        self._paused = False
        self._failure: str | None = None
        self._closed = threading.Event()

    def commit(self, changes: Changes, cleared: Sequence[KeyRange] = ()) -> None:
        """As `Store.commit`; it is durable once `standing` has reached `committed` of now."""
        if self._failure is not None:
            raise StoreError(self._failure)
        if self._paused or self.writer.pending_bytes > PENDING_BYTES or self.committed - self.standing > PENDING_TURNS:
            raise StoreBusy("the cluster's log is behind")
        if self.unapplied > PENDING_TURNS:
            self.apply_rest()
            raise StoreBusy("the store of this node is behind the cluster's log")
        self.committed += 1
        turn = Turn(self.committed, changes, list(cleared), encode_transaction(changes, cleared))
        self._overlay.add(turn)
        self._began.append(perf_counter())
        self.writer.commit(turn)

    def pause(self) -> None:
        """Take no more commits: the engine is asked to wait."""
        self._paused = True

    def stands(self, fold: Fold, turns: list[Turn]) -> None:
        """These turns stand in the log, up to where `fold` is. Raises StoreError when they cannot be applied."""
        now = perf_counter()
        for turn in turns:
            self.standing = turn.number
            self._appends.add(now - self._began.popleft())
        behind = Fold(fold.sequence, fold.epoch, fold.number)
        if not self._unapplied or self._unapplied[-1].size_bytes >= GATHER_BYTES:
            self._unapplied.append(_Slice(behind))
        last = self._unapplied[-1]
        last.fold = behind
        last.turns += turns
        last.size_bytes += sum(len(turn.data) for turn in turns)
        if last.size_bytes >= GATHER_BYTES:
            self.apply_rest()

    def apply_rest(self) -> None:
        """Apply what stands, as far as the store takes it. Raises StoreError."""
        while self._unapplied:
            one = self._unapplied[0]
            try:
                self.replica.apply(one.fold, merged([(dict(turn.changes), turn.cleared) for turn in one.turns]))
            except StoreBusy:
                return
            self._unapplied.popleft()
            for turn in one.turns:
                self._overlay.remove(turn)
                self.applied = turn.number

    @property
    def unapplied(self) -> int:
        """How many turns stand in the log and are not in this node's store yet."""
        return self.standing - self.applied

    def sync(self) -> None:
        """Nothing: who waits for a turn waits for the log. Raises StoreError once it is closed."""
        if self._failure is not None:
            raise StoreError(self._failure)

    def checkpoint(self, path: Path) -> None:
        """As `Store.checkpoint`, once all that was committed before is applied. Called from another thread."""
        wanted, end = self.committed, time.monotonic() + COPY_SECONDS
        while self.applied < wanted:
            if time.monotonic() > end or self._closed.wait(0.01):
                raise StoreError("the cluster's log did not take what was committed before the copy")
        self.replica.store.checkpoint(path)

    def figures(self) -> dict[str, int]:
        """As those of this node's store."""
        return self.replica.store.figures()

    def durations(self) -> Mapping[str, Durations]:
        """As those of this node's store, and `append`: from a commit until it stands in the log."""
        return {**self.replica.store.durations(), "append": self._appends}

    def close(self) -> None:
        """Refuse everything from now on; the store of this node stays open, since it is a standby's now."""
        self._failure = "this node does not lead the cluster any more"
        self._closed.set()
        self.writer.stop()
