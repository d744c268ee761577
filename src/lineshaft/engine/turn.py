"""The turn: what has been decided and is not yet in the store.

All commands that one turn of the event loop brings write their key changes here; at its end the whole turn is
one commit. Reads go through it, so that a command sees what the one before it did. When the store asks for a
pause, the turn simply stays, and grows, until it can be committed.

A transition that can fail half way collects its changes in a `Change` of its own and merges it when it is
through: an exception leaves the turn and the memory untouched, whoever else shares them. The few transitions of
the hot path (a plain push, a fetch, an ack) do the same without the object: everything in them that can raise
stands before their first write.

What is true after every call: each key is in `changes` once, with its last value; `cleared` ranges come before
all of `changes`; nothing here is visible on disk.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from itertools import islice
from types import TracebackType
from typing import Any, Final, Self

from lineshaft.store.port import KeyRange, Store

__all__ = ["Change", "Turn"]


#: So many new keys are cheaper put in their places than everything is sorted again.
FEW: Final = 50


class Turn:
    """The changes since the last commit, over the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        #: What the commit will write. The hot path puts its keys in directly.
        self.changes: dict[bytes, bytes | None] = {}
        self.cleared: list[KeyRange] = []
        #: The keys of `changes`, sorted, as far as a scan has needed them.
        self._sorted: list[bytes] = []
        #: Rows that could not be read; see `damage`.
        self.damaged: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` as it will be after this turn. Raises StoreError."""
        if key in self.changes:
            return self.changes[key]
        if self.cleared and any(start <= key < end for start, end in self.cleared):
            return None
        return self.store.get(key)

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """As `Store.scan`, with this turn's changes in it. Raises StoreError."""
        own = self._own(start, end)
        if not own and not self.cleared:
            return self.store.scan(start, end, limit=limit, limit_bytes=limit_bytes, reverse=reverse)
        while True:
            rows = self._stored(start, end, limit + len(own), limit_bytes, reverse)
            # Behind the last stored row of a slice that was cut short the store has more, which a change
            # of ours must not overtake.
            is_cut = len(rows) == limit + len(own) or sum(len(value) for _, value in rows) >= limit_bytes
            edge = rows[-1][0] if is_cut else b""
            merged = dict(rows)
            for key, value in own.items():
                if is_cut and (key < edge if reverse else key > edge):
                    continue
                if value is None:
                    merged.pop(key, None)
                else:
                    merged[key] = value
            if merged or not is_cut:
                return sorted(merged.items(), reverse=reverse)[:limit]
            # This turn removes all of it. An empty answer would say that the range ends here, and it does not.
            start, end = (start, edge) if reverse else (edge + b"\0", end)

    def _own(self, start: bytes, end: bytes) -> dict[bytes, bytes | None]:
        """The changes in a range. Their keys are kept sorted, so that a scan in a long turn does not look at all."""
        new = len(self.changes) - len(self._sorted)
        if new > FEW:
            self._sorted = sorted(self.changes)
        elif new:
            for key in islice(reversed(self.changes), new):
                insort(self._sorted, key)
        found = self._sorted[bisect_left(self._sorted, start) : bisect_left(self._sorted, end)]
        return {key: self.changes[key] for key in found}

    def take_back(self, key: bytes) -> None:
        """A change of this turn shall never have been."""
        del self.changes[key]
        self._sorted = []

    def _stored(
        self, start: bytes, end: bytes, limit: int, limit_bytes: int, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        # What is cleared is whole kinds of keys: a scan lies inside of one or beside it, never across its edge.
        if any(low <= start < high for low, high in self.cleared):
            return []
        return self.store.scan(start, end, limit=limit, limit_bytes=limit_bytes, reverse=reverse)

    def clear(self, start: bytes, end: bytes) -> None:
        """Remove every key of a range, at once and whatever its size."""
        self.changes = {key: value for key, value in self.changes.items() if not start <= key < end}
        self._sorted = []
        self.cleared.append((start, end))

    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.changes and not self.cleared

    def commit(self) -> None:
        """Write the turn as one commit and begin the next. Raises StoreBusy (the turn stays), StoreError."""
        self.store.commit(self.changes, self.cleared)
        self.changes = {}
        self._sorted = []
        self.cleared = []


class Change:
    """What one transition will do, collected before anything moves.

    Used as a context: leaving it normally merges the key changes into the turn and then runs the effects on
    memory, in order; leaving it by an exception drops everything. An effect must not be able to fail. Where every job
    passes, `merge` is called outright, since a `with` costs as much as a hook.
    """

    __slots__ = ("changes", "effects", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.changes: dict[bytes, bytes | None] = {}
        self.effects: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value of `key` as this change leaves it. Raises StoreError."""
        if key in self.changes:
            return self.changes[key]
        return self.turn.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Set a key when the change is merged."""
        self.changes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove a key when the change is merged."""
        self.changes[key] = None

    def then(self, effect: Callable[..., object], *arguments: Any) -> None:
        """Call `effect` with `arguments` when the change is merged."""
        self.effects.append((effect, arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.merge()

    def merge(self) -> None:
        """Do all of it; the last thing that may be asked of a change."""
        self.turn.changes.update(self.changes)
        for effect, arguments in self.effects:
            effect(*arguments)
