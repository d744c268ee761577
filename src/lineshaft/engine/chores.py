"""Chores: long work in bounded slices, between other clients' commands.

A chore is a record on disk that says what is to be done and how far it came. Each slice is one transition. How far it
came is written only now and then: a crash repeats some slices, which does no harm, since what they moved is no longer
there, or came back with an order above the chore's bound. A new kind of long work is a function from a record to the
changes of its next slice, entered in `agenda.CHORES`, for which the same must hold.

A chore may be *fed*: somebody outside looks for what it is to touch, and hands in each slice. Then `tick` leaves it
alone, until it is let go again.

What is true after every call: the C keys are those of `active` as the turn leaves them; a chore that ended is on
`finished`, once, for whoever waits for it; `fed` are some of the active ones.
"""

from typing import Final

from msgspec import structs

from lineshaft.engine import keys
from lineshaft.engine.records import ChoreRecord, decode_chore, encode_record
from lineshaft.engine.turn import Change, Turn

__all__ = ["Chores"]

#: How far a chore came is written with every so many slices: its record may be long.
SLICES_PER_WRITE: Final = 32

#: Of so many that have ended it is known how much they did.
MOST_ENDED: Final = 100


class Chores:
    """The long work that is in progress."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.active: dict[int, ChoreRecord] = {}
        self.finished: list[int] = []
        #: How many jobs those dealt with that ended last.
        self.ended: dict[int, int] = {}
        self.fed: set[int] = set()
        self.slices = 0

    def load(self) -> None:
        """Read what was in progress. Raises StoreError."""
        self.active.clear()
        self.fed.clear()
        start, end = keys.prefix_range(b"C")
        for key, value in self.turn.scan(start, end, limit=100_000):
            self.active[int.from_bytes(key[1:])] = decode_chore(value)

    def clear(self) -> None:
        """Forget all; whoever waits for one is told that it ended. The keys are the caller's business."""
        self.finished += self.active
        self.active.clear()
        self.fed.clear()

    def begin(self, change: Change, number: int, record: ChoreRecord) -> None:
        """Take a chore on."""
        change.put(keys.chore_key(number), encode_record(record))
        change.then(self.active.__setitem__, number, record)

    def take_back(self, number: int) -> None:
        """A chore that was begun in this turn shall never have been: its first slice failed."""
        del self.active[number]
        self.turn.take_back(keys.chore_key(number))

    @property
    def is_due(self) -> bool:
        """Whether a slice of some chore can be done now."""
        return len(self.active) > len(self.fed)

    def next(self) -> tuple[int, ChoreRecord] | None:
        """The chore whose turn it is; each slice goes to another."""
        return next(((number, record) for number, record in self.active.items() if number not in self.fed), None)

    def advance(self, change: Change, number: int, cursor: bytes, done: int) -> None:
        """Note how far a chore came; the other chores have their turn first."""
        record = structs.replace(self.active[number], cursor=cursor, done=self.active[number].done + done)
        self.slices += 1
        if self.slices % SLICES_PER_WRITE == 0:
            change.put(keys.chore_key(number), encode_record(record))
        change.then(self._requeue, number, record)

    def end(self, change: Change, number: int, done: int = 0) -> None:
        """A chore is through; its last slice dealt with so many."""
        change.delete(keys.chore_key(number))
        change.then(self._end, number, done)

    def _requeue(self, number: int, record: ChoreRecord) -> None:
        del self.active[number]
        self.active[number] = record

    def _end(self, number: int, done: int) -> None:
        self.ended[number] = self.active.pop(number).done + done
        while len(self.ended) > MOST_ENDED:
            del self.ended[next(iter(self.ended))]
        self.fed.discard(number)
        self.finished.append(number)
