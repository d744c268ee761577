"""Notes: the figures of the whole server as they stood once a minute, so that a chart outlives the process.

```
Z <at> -> NoteRecord              at is a whole minute
```

Whoever draws charts asks for a note (`take`); a server without pages takes none, and no job pays for one. A note goes
when no grain keeps it any more: every minute for an hour, each fifth for a day, those of whole hours for a week. So
there are never more than MOST, and none is summed up: each is a reading of counters, and two of them make a rate.

What is true after every call: `kept` has the instants of all notes in the store, in order.
"""

from bisect import bisect_left
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from lineshaft.engine import keys
from lineshaft.engine.records import NoteRecord, decode_note, encode_record
from lineshaft.engine.turn import Turn
from lineshaft.job import UNREADABLE

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["EVERY_MS", "MOST", "Notes", "take_note"]

EVERY_MS: Final = 60_000

#: How finely, and for how long; a little longer than the charts that are drawn of them.
GRAINS: Final = ((EVERY_MS, 3_900_000), (300_000, 90_000_000), (3_600_000, 610_000_000))

#: Of a key.
LENGTH: Final = 9

#: Of these grains there are 65, 300 and 170 at once. A clock that is set about leaves some in the future.
MOST: Final = 1000


class Notes:
    """Which notes there are; what they say is on disk."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.kept: list[int] = []

    def load(self) -> None:
        """Read their instants. Raises StoreError."""
        self.kept = []
        start, end = keys.prefix_range(keys.NOTES)
        while rows := self.turn.scan(start, end, limit=MOST):
            self.kept += [keys.note_at(key) for key, _ in rows if len(key) == LENGTH]
            start = keys.after(rows[-1][0])

    def clear(self) -> None:
        """Forget all in memory; the keys are the caller's business."""
        self.kept = []

    def since(self, at: int, until: int) -> list[tuple[int, NoteRecord]]:
        """The notes from one instant to another, the oldest first; none that cannot be read. Raises StoreError."""
        found = []
        for key, value in self.turn.scan(keys.note_key(at), keys.note_key(until + 1), limit=MOST):
            # One that cannot be read is missing from the charts, and goes when its time has come.
            with suppress(*UNREADABLE):
                found.append((keys.note_at(key), decode_note(value)))
        return found


def take_note(state: "State") -> bool:
    """Note the figures as they stand, once a minute; False when this minute has its note. Cannot fail."""
    notes, at = state.notes, state.now // EVERY_MS * EVERY_MS
    place = bisect_left(notes.kept, at)
    if notes.kept[place : place + 1] == [at]:
        return False
    record = NoteRecord(
        state.processed(),
        state.failed(),
        sum(queue.size for queue in state.queues),
        len(state.leases),
        state.retries.size,
        state.scheduled.size,
        state.dead.size,
    )
    state.turn.changes[keys.note_key(at)] = encode_record(record)
    notes.kept.insert(place, at)
    wanted = [kept for kept in notes.kept if _is_wanted(kept, at)][-MOST:]
    for gone in set(notes.kept).difference(wanted):
        state.turn.changes[keys.note_key(gone)] = None
    notes.kept = wanted
    return True


def _is_wanted(kept: int, now: int) -> bool:
    """Whether a grain keeps the note of an instant; one of the future too, since the clock may be wrong for a while."""
    return any(kept % every == 0 and now - kept <= keep for every, keep in GRAINS)
