"""The past: the figures of the last minutes to the last week, in four grains, for whatever is drawn over time.

They are noted once a second, which costs as much as INFO, and stand in memory: seconds for five minutes, ten seconds
for an hour, five minutes for a day, hours for a week. What the engine notes once a minute (`engine.stats.notes`) is
read back at the start, so that a chart outlives the process; whole days are on disk as well (`Views.days`).

What is true after every call: a grain holds no note that is older than its chart is long, and at most one for each of
its steps, the oldest first.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from lineshaft.engine.records import NoteRecord

__all__ = ["GRAINS", "Grain", "Note", "Past"]


class Note(Struct, frozen=True, gc=False):
    """The counters at an instant."""

    at: int
    processed: int
    failed: int
    enqueued: int
    busy: int
    retries: int
    scheduled: int
    dead: int
    loop_ms: float = 0.0  #: how late this note was: how long the loop was held


class Grain(Struct, frozen=True):
    """How finely a stretch of time is kept."""

    name: str
    every_ms: int
    length: int  #: notes; a chart has a step less

    @property
    def span_ms(self) -> int:
        """How long the chart is."""
        return self.every_ms * (self.length - 1)


GRAINS: Final = (
    Grain("5m", 1000, 301),
    Grain("1h", 10_000, 361),
    Grain("24h", 300_000, 289),
    Grain("1w", 3_600_000, 169),
)


class Past:
    """The notes of every grain."""

    def __init__(self) -> None:
        self.notes: dict[str, deque[Note]] = {grain.name: deque(maxlen=grain.length) for grain in GRAINS}
        #: By grain, until the next note: whoever looks in between looks at the same.
        self._rates: dict[str, tuple[list[float], list[float]]] = {}

    def recall(self, noted: Iterable[tuple[int, NoteRecord]]) -> None:
        """Take over what an earlier process noted, the oldest first."""
        for at, one in noted:
            self.take(Note(at, one.processed, one.failed, one.enqueued, one.busy, one.retries, one.scheduled, one.dead))

    def take(self, note: Note) -> None:
        """Note how things stand."""
        self._rates.clear()
        for grain in GRAINS:
            kept = self.notes[grain.name]
            if kept and note.at < kept[0].at:
                # The clock was set back beyond all that is known.
                kept.clear()
            if not kept or note.at // grain.every_ms > kept[-1].at // grain.every_ms:
                kept.append(note)
            while kept[0].at < note.at - grain.span_ms - grain.every_ms:
                kept.popleft()

    def rates(self, name: str) -> tuple[list[float], list[float]]:
        """Jobs processed and failed per second in each step of a grain up to its last note, the oldest first.

        Notes need not be a step apart: after a restart there are few, and between two of them the rate is one.
        """
        if name not in self._rates:
            self._rates[name] = self._rates_of(next(grain for grain in GRAINS if grain.name == name))
        return self._rates[name]

    def _rates_of(self, grain: Grain) -> tuple[list[float], list[float]]:
        notes = self.notes[grain.name]
        if len(notes) < 2:
            return [], []
        last, first = notes[-1].at, notes[0].at
        steps = min((last - first) // grain.every_ms, grain.length - 1)
        edges = [last - grain.every_ms * step for step in range(steps, -1, -1)]
        done, failed = _rates(list(notes), edges)
        return done, failed

    def change(self, figure: str, milliseconds: int) -> tuple[int, int]:
        """How much a figure has grown within that time, and how much of that time is known."""
        if not self.notes["5m"]:
            return 0, 0
        last = self.notes["5m"][-1]
        first = next((note for note in self.notes["1h"] if note.at >= last.at - milliseconds), last)
        return getattr(last, figure) - getattr(first, figure), last.at - first.at


def _rates(notes: list[Note], edges: list[int]) -> tuple[list[float], list[float]]:
    """The rates between every two edges, each of which lies within the notes, or before them."""
    done, failed, behind = [], [], 0
    before: tuple[float, float] | None = None
    for at in edges:
        while behind < len(notes) - 1 and notes[behind + 1].at <= at:
            behind += 1
        counts = _counts(notes[behind], notes[min(behind + 1, len(notes) - 1)], at)
        if before is not None:
            seconds = (edges[1] - edges[0]) / 1000
            # A FLUSH begins all counts anew.
            done.append(max(counts[0] - before[0], 0.0) / seconds)
            failed.append(max(counts[1] - before[1], 0.0) / seconds)
        before = counts
    return done, failed


def _counts(one: Note, next_one: Note, at: int) -> tuple[float, float]:
    """Processed and failed at an instant between two notes."""
    share = min(max((at - one.at) / max(next_one.at - one.at, 1), 0.0), 1.0)
    return (
        one.processed + share * max(next_one.processed - one.processed, 0),
        one.failed + share * max(next_one.failed - one.failed, 0),
    )
