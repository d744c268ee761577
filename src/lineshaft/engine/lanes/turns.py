"""Turns: the lanes of one queue whose turn comes, in a line.

```
on disk     O queue gen t | 31 -> acme   32 -> zeta   33 -> moon   34 -> ...
in memory   entries       | 31 -> acme   32 -> zeta |                  the first of them, up to the tail
```

The first lane is served, and goes to the end if it has another job that may run: so each has one job in a round,
however many wait in it. A lane that must wait for something is not in the line at all, so nobody ever passes it by.

The line lies on disk, and its first part in memory, by the rules that a window of jobs has (`ready`): `entries` are
exactly the turns before the tail, and there is no tail (`more` is False) when they are all.
"""

from collections import OrderedDict
from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.turn import Turn

__all__ = ["Turns"]

#: So many turns of one queue are in memory.
MOST: Final = 500


class Turns:
    """The line of a queue's lanes."""

    def __init__(self, turn: Turn, prefix: bytes, *, first: int = 1, next_number: int = 1) -> None:
        self.turn = turn
        self.prefix = prefix
        self.entries: OrderedDict[int, bytes] = OrderedDict()
        self.tail = first
        self.more = first < next_number
        #: The turn that is given next.
        self.next = next_number

    def cursor(self) -> int:
        """No lane has a turn before this."""
        if self.entries:
            return next(iter(self.entries))
        return self.tail if self.more else self.next

    def append(self, lane: bytes) -> int:
        """Give a lane the next turn; an effect."""
        number, self.next = self.next, self.next + 1
        self.turn.changes[self._key(number)] = lane
        if not self.more:
            if len(self.entries) < MOST:
                self.entries[number] = lane
            else:
                self.more, self.tail = True, number
        return number

    def remove(self, number: int) -> None:
        """A lane gives its turn up; an effect."""
        self.turn.changes[self._key(number)] = None
        self.entries.pop(number, None)

    def first(self) -> tuple[int, bytes] | None:
        """The first turn and its lane; None when nobody stands in line. Raises StoreError."""
        if not self.entries:
            if not self.more:
                return None
            self._refill()
        return next(iter(self.entries.items()), None)

    def _refill(self) -> None:
        _, end = keys.prefix_range(self.prefix)
        rows = self.turn.scan(self._key(self.tail), end, limit=MOST)
        for key, lane in rows:
            self.entries[int.from_bytes(key[-8:])] = lane
        self.more = len(rows) == MOST
        if rows:
            self.tail = int.from_bytes(rows[-1][0][-8:]) + 1

    def _key(self, number: int) -> bytes:
        return self.prefix + number.to_bytes(8)
