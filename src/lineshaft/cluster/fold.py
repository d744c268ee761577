"""The fold: which entries of the log count. Every node reads the log by this rule, and so all agree.

    An entry counts if its epoch is the newest so far and its number is the next one; every other is skipped.

```
sequence      1     2     3     4     5     6     7
epoch.number  1.0   1.1   2.0   1.2   2.1   2.3   2.2
              epoch whole epoch skip  whole skip  whole
                                │           └ 2.2 was refused and is sent again: 2.3 will be, too
                                └ the former leader's, whose expected sequence others had made right again
```

The log's own check ("append only if the last sequence is ...") is not enough once appends are pipelined: a record can
be refused and its successor, which expects one more, be accepted behind somebody else's. That is what epochs and
numbers are for. Safety rests on the order of the log and on this rule, never on clocks or leases.

A sans-IO state machine: entries in, verdicts out. What is true after every call: `epoch` and `number` are those of the
last entry that counted; `sequence` is that of the last entry seen; `parts` are the pieces of a transaction whose last
one has not come. An epoch that begins drops them: they never counted.
"""

from enum import Enum, auto
from typing import Final

from msgspec import Struct

from lineshaft.cluster.record import Record
from lineshaft.errors import StoreError

__all__ = ["Fold", "Gap", "Verdict"]


class Gap(StoreError):
    """Entries are missing between what was read and what came: they were purged; a snapshot has them."""


class Verdict(Enum):
    """What an entry is."""

    SKIPPED = auto()  #: it does not count
    EPOCH = auto()  #: a new leader
    PART = auto()  #: counts, but the transaction is not whole yet
    WHOLE = auto()  #: counts, and `Fold.body` is what is to be applied


_SKIPPED: Final = Verdict.SKIPPED


class Fold(Struct):
    """Where a reader of the log stands."""

    sequence: int = 0
    epoch: int = 0
    number: int = 0
    parts: list[bytes] = []

    def take(self, sequence: int, record: Record | None) -> Verdict:
        """Judge the next entry; None is one that is no record of ours. Raises Gap, and has then changed nothing."""
        if sequence != self.sequence + 1:
            raise Gap(f"the log goes on at {sequence}, and this node has read up to {self.sequence}")
        self.sequence = sequence
        if record is None:
            return _SKIPPED
        if record.number == 0:
            if record.epoch <= self.epoch:
                return _SKIPPED
            self.epoch, self.number, self.parts = record.epoch, 0, []
            return Verdict.EPOCH
        if record.epoch != self.epoch or record.number != self.number + 1:
            return _SKIPPED
        self.number = record.number
        self.parts.append(record.body)
        return Verdict.PART if record.more else Verdict.WHOLE

    def take_body(self) -> bytes:
        """The transaction that has become whole."""
        parts, self.parts = self.parts, []
        return parts[0] if len(parts) == 1 else b"".join(parts)
