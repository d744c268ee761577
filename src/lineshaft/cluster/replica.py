"""The replica: a node's own store, which holds the log applied up to some entry, and says in itself up to which.

```
Z    PositionRecord: which log, the sequence, and the epoch and number that the fold had there
```

The row is written in the same commit as what the entry changed, so the two are never apart, whatever a crash takes
back. Nothing here is synced: the log is what keeps things, and a store that has lost its tail reads it again.

So nothing is lost either when entries wait in memory until some are worth a commit. It costs the store less: a job
that came and went meanwhile is written never, and deleted once.

What is true after every call: the store holds every transaction that counts up to `applied` and none behind
it; what was taken and is not in the store is `gathered`. A position stands only between transactions: parts of one
that is not whole are read again.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from lineshaft.cluster.fold import Fold, Verdict
from lineshaft.cluster.record import (
    Leadership,
    Transaction,
    UnknownVersion,
    decode_leadership,
    decode_record,
    decode_transactions,
)
from lineshaft.engine import keys
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.engine.records import PositionRecord, decode_position, encode_record
from lineshaft.errors import StoreBusy, StoreCorrupt, StoreError
from lineshaft.store.port import Changes, KeyRange, Store

__all__ = ["GATHER_BYTES", "Replica", "is_empty", "merged", "position_of"]

#: So much of the log is worth a commit of its own: some hundred rows, which take the store a millisecond or two.
GATHER_BYTES: Final = 64 << 10


def position_of(store: Store) -> PositionRecord | None:
    """The position of a store, or None when it has never been part of a cluster. Raises StoreError."""
    row = store.get(POSITION_KEY)
    if row is None:
        return None
    try:
        return decode_position(row)
    except msgspec.DecodeError as error:
        raise StoreCorrupt(f"the position in the log cannot be read: {error}: run `lineshaft check`") from None


def is_empty(store: Store) -> bool:
    """Whether nothing lies in a store."""
    return not store.scan(b"", b"\xff", limit=1)


def check_format(value: bytes | None) -> None:
    """Whether an engine of this version can read a store whose row of the format is `value`. Raises UnknownVersion.

    A node finds out when the row comes, not when it has come to lead: a leader that cannot load its store ends, and
    the cluster with nobody to lead it would have waited for it in vain.
    """
    if value is not None and value.isdigit() and int(value) > keys.FORMAT_VERSION:
        raise UnknownVersion(
            f"the log has data of format {int(value)}, and this Lineshaft reads {keys.FORMAT_VERSION}:"
            " upgrade this node"
        )


def merged(transactions: list[Transaction]) -> tuple[Changes, list[KeyRange]]:
    """Several transactions as one, with the same effect."""
    if len(transactions) == 1:
        return transactions[0]
    changes: dict[bytes, bytes | None] = {}
    cleared: list[KeyRange] = []
    for own, ranges in transactions:
        for start, end in ranges:
            changes = {key: value for key, value in changes.items() if not start <= key < end}
            cleared.append((start, end))
        changes.update(own)
    return changes, cleared


class Replica:
    """A store and its place in the log."""

    def __init__(
        self,
        store: Store,
        log_id: str,
        began: Callable[[Leadership, int], None] | None = None,
        *,
        gather_bytes: int = 0,
    ) -> None:
        """`began` is told of each epoch: who leads it, and the sequence of its record.

        `take` gathers so many bytes of the log before it writes to the store; `write` does not wait for them.

        Raises StoreError when the store belongs to another log, or to a single server; UnknownVersion.
        """
        self.store = store
        self.log_id = log_id
        self._began = began
        position = position_of(store)
        if position is None and not is_empty(store):
            raise StoreError("the store has jobs that no cluster knows: export them and import them into the cluster")
        if position is not None and position.log_id != log_id:
            raise StoreError(
                f"the store belongs to the log {position.log_id}, and this one is {log_id}: if the log was made anew,"
                " its jobs are in this store alone: export them before you empty it"
            )
        check_format(store.get(keys.FORMAT_KEY))
        self.fold = Fold() if position is None else Fold(position.sequence, position.epoch, position.number)
        #: What a restart would begin from.
        self.applied = self.fold.sequence
        self._gather_bytes = gather_bytes
        #: What is not in the store yet, how much of the log that is, and where the fold was behind it.
        self._gathered: list[Transaction] = []
        self._gathered_bytes = 0
        self._end = Fold(self.fold.sequence, self.fold.epoch, self.fold.number)

    def take(self, sequence: int, data: bytes) -> None:
        """Read the next entry, and gather what it makes whole. Entries that are known are passed over.

        Raises Gap, UnknownVersion; StoreBusy, and the same entry may then be given again; StoreError.
        """
        if sequence <= self.fold.sequence:
            return
        record = decode_record(data)
        # Tried on a copy: a store that asks for a pause must leave the fold where it was.
        fold = Fold(self.fold.sequence, self.fold.epoch, self.fold.number, list(self.fold.parts))
        verdict = fold.take(sequence, record)
        if verdict is Verdict.WHOLE:
            self._gather(fold, decode_transactions(fold.take_body()), len(data))
        elif verdict is Verdict.EPOCH:
            self._gather(fold, [], len(data))
        self.fold = fold
        if verdict is Verdict.EPOCH and self._began is not None:
            assert record is not None
            self._began(decode_leadership(record.body), sequence)

    def _gather(self, fold: Fold, transactions: list[Transaction], size: int) -> None:
        for changes, _ in transactions:
            check_format(changes.get(keys.FORMAT_KEY))
        before = (len(self._gathered), self._gathered_bytes, self._end)
        self._gathered += transactions
        # A copy: the fold goes on, also when it becomes a writer's.
        self._gathered_bytes, self._end = self._gathered_bytes + size, Fold(fold.sequence, fold.epoch, fold.number)
        if self._gathered_bytes >= self._gather_bytes:
            try:
                self.write()
            except StoreBusy:
                # As if the entry had not come.
                count, self._gathered_bytes, self._end = before
                del self._gathered[count:]
                raise

    def write(self) -> None:
        """Have all that was gathered in the store. Raises StoreBusy, and it stays gathered then; StoreError."""
        if self._end.sequence > self.applied:
            self.apply(self._end, merged(self._gathered))
            self._gathered, self._gathered_bytes = [], 0

    def apply(self, fold: Fold, transaction: tuple[Changes, list[KeyRange]]) -> None:
        """Write what counts, with the position behind it. Raises StoreBusy, UnknownVersion, StoreError."""
        changes, cleared = transaction
        check_format(changes.get(keys.FORMAT_KEY))
        position = PositionRecord(self.log_id, fold.sequence, fold.epoch, fold.number)
        self.store.commit({**changes, POSITION_KEY: encode_record(position)}, cleared)
        self.applied = fold.sequence
