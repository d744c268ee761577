"""The pulse: the figures of the last minutes to hours, and the news for who watches.

Once a second the counters are noted, which costs as much as INFO; everything that is drawn over time comes from these
notes. They are kept in three grains (seconds for five minutes, ten seconds for an hour, five minutes for a day), in
memory alone, so they begin anew with the process; whole days are on disk (`Views.days`).

Whoever watches gets one small message a second, the same for all, made once; and none is made when nobody watches. It
says how large the sets are, and a number that changes when anything has changed, so that a page knows when to look.

What is true after every call: a grain holds at most its LENGTH notes, the oldest first; `queues` follows at most
MOST_QUEUES queues.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Final

import msgspec

from lineshaft.engine.views import Overview
from lineshaft.errors import LineshaftError
from lineshaft.web.backend import Backend

__all__ = ["GRAINS", "Grain", "Note", "Pulse", "Trend"]

log = logging.getLogger(__name__)

#: How often the counters are noted.
TICK_SECONDS: Final = 1.0

#: Queues whose size is followed; what lies beyond is shown without a curve.
MOST_QUEUES: Final = 200
QUEUE_EVERY_MS: Final = 5000
QUEUE_NOTES: Final = 121

#: More than this watching at once are turned away.
MOST_WATCHERS: Final = 500


class Note(msgspec.Struct, frozen=True, gc=False):
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


class Grain(msgspec.Struct, frozen=True):
    """How finely a stretch of time is kept."""

    name: str
    every_ms: int
    length: int


GRAINS: Final = (Grain("5m", 1000, 301), Grain("1h", 10_000, 361), Grain("24h", 300_000, 289))


class Trend:
    """What one queue did lately."""

    def __init__(self) -> None:
        self.notes: deque[tuple[int, int, int]] = deque(maxlen=QUEUE_NOTES)

    def rate(self) -> float:
        """Jobs worked per second, of late."""
        if len(self.notes) < 2:
            return 0.0
        (before, _, done), (now, _, done_now) = self.notes[-2], self.notes[-1]
        return max(done_now - done, 0) * 1000 / max(now - before, 1)

    def sizes(self) -> list[float]:
        """The sizes, the oldest first."""
        return [float(size) for _, size, _ in self.notes]


class Pulse:
    """The notes, and those who watch."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.notes: dict[str, deque[Note]] = {grain.name: deque(maxlen=grain.length) for grain in GRAINS}
        self.queues: dict[str, Trend] = {}
        self.watchers = 0
        self.ticks = 0
        self.version = 0
        self._queues_at = 0
        self._last: Overview | None = None
        self._message = b""
        self._news = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> None:
        """Begin, in the running loop."""
        self._due = asyncio.get_running_loop().time()
        self._tick()

    def stop(self) -> None:
        """End, and let those who watch go."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._message = b""
        self._announce()

    def now(self) -> int:
        """The instant of the last note."""
        return self._last.now if self._last is not None else 0

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        late_ms = max(loop.time() - self._due, 0.0) * 1000
        self._due = max(self._due + TICK_SECONDS, loop.time())
        self._timer = loop.call_at(self._due, self._tick)
        try:
            overview = self.backend.look(lambda engine: engine.views.overview())
            self.take(overview, late_ms)
        except LineshaftError as error:
            # The storage is away: the server says so itself, and a second without a note does no harm.
            log.debug("no figures this second: %s", error)

    def take(self, overview: Overview, late_ms: float = 0.0) -> None:
        """Note the counters, and tell those who watch."""
        note = Note(
            overview.now,
            overview.processed,
            overview.failed,
            overview.enqueued,
            overview.busy,
            overview.retries,
            overview.scheduled,
            overview.dead,
            late_ms,
        )
        for grain in GRAINS:
            kept = self.notes[grain.name]
            if not kept or note.at // grain.every_ms > kept[-1].at // grain.every_ms:
                kept.append(note)
            elif note.at < kept[0].at:
                # The clock was set back beyond all that is known.
                kept.clear()
                kept.append(note)
        if not 0 <= overview.now - self._queues_at < QUEUE_EVERY_MS:
            self._queues_at = overview.now
            self._follow_queues(overview.now)
        if self._last is None or msgspec.structs.replace(overview, now=0) != msgspec.structs.replace(self._last, now=0):
            self.version += 1
        self._last = overview
        self.ticks += 1
        if self.watchers:
            self._message = self._tell(overview)
            self._announce()

    def _follow_queues(self, now: int) -> None:
        counts = self.backend.look(lambda engine: engine.views.counts(MOST_QUEUES))
        for name in self.queues.keys() - counts.keys():
            del self.queues[name]
        for name, (size, processed) in counts.items():
            self.queues.setdefault(name, Trend()).notes.append((now, size, processed))

    def _tell(self, overview: Overview) -> bytes:
        told = {
            "version": self.version,
            "busy": overview.busy,
            "queues": overview.queues,
            "retries": overview.retries,
            "scheduled": overview.scheduled,
            "dead": overview.dead,
        }
        return b"data: %b\n\n" % msgspec.json.encode(told)

    def _announce(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def watch(self) -> AsyncIterator[bytes]:
        """The messages as they come, for one who watches; one that is slow misses some. Ends with the pulse."""
        self.watchers += 1
        try:
            yield b"retry: 2000\n\n"
            if self._last is not None:
                yield self._tell(self._last)
            while self._timer is not None:
                await self._news.wait()
                if self._message:
                    yield self._message
        finally:
            self.watchers -= 1

    def rates(self, name: str) -> tuple[list[float], list[float]]:
        """Jobs processed and failed per second in each step of a grain, the oldest first."""
        notes = list(self.notes[name])
        done, failed = [], []
        for before, after in pairwise(notes):
            seconds = max(after.at - before.at, 1) / 1000
            # A FLUSH begins all counts anew.
            done.append(max(after.processed - before.processed, 0) / seconds)
            failed.append(max(after.failed - before.failed, 0) / seconds)
        return done, failed

    def change(self, figure: str, milliseconds: int) -> tuple[int, int]:
        """How much a figure has grown within that time, and how much of that time is known."""
        hour, now = self.notes["1h"], self.notes["5m"]
        if not now:
            return 0, 0
        last = now[-1]
        first = next((note for note in hour if note.at >= last.at - milliseconds), last)
        return getattr(last, figure) - getattr(first, figure), last.at - first.at
