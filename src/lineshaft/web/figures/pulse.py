"""The pulse: once a second, a look at the figures, and the news for who watches.

Each second is noted in the past (`past`), and once a minute the engine is asked to note it too, on disk. What others
have noted there is read back when there are figures again after a time without: at the start, and on a node of a
cluster when it comes to lead.

Whoever watches gets one small message a second, the same for all, made once; and none is made when nobody watches. It
says how large the sets are, and a number that changes when anything has changed, so that a page knows when to look.

Of the queues the size and the rate are followed: of all, while there are no more than MOST_QUEUES; else of those that a
page has shown lately, and then of the longest.

What is true after every call: `queues` follows at most MOST_QUEUES queues, and `slow` has at most MOST_SLOW.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Final

import msgspec

from lineshaft.engine.stats.notes import EVERY_MS as NOTE_EVERY_MS
from lineshaft.engine.views.views import Overview
from lineshaft.errors import LineshaftError
from lineshaft.store.timing import Durations
from lineshaft.web.backend import Backend
from lineshaft.web.figures.chart import spark
from lineshaft.web.figures.past import GRAINS, Note, Past

__all__ = ["Pulse", "Trend"]

log = logging.getLogger(__name__)

#: How often the counters are noted.
TICK_SECONDS: Final = 1.0

#: Queues whose size is followed; what lies beyond is shown without a curve.
MOST_QUEUES: Final = 200
#: One that was shown is followed for so long, the length of a curve.
SHOWN_MS: Final = 600_000
QUEUE_EVERY_MS: Final = 5000
QUEUE_NOTES: Final = 121

#: Queues whose latency is looked at each second, and those that are remembered as slow.
SLOW_LOOKS: Final = 50
MOST_SLOW: Final = 20

#: Who watches is written to in groups; to write to one takes about a tenth of a millisecond.
TOLD_AT_ONCE: Final = 5
#: More than this watching at once are turned away.
MOST_WATCHERS: Final = 500


class Trend:
    """What one queue did lately."""

    def __init__(self) -> None:
        self.notes: deque[tuple[int, int, int]] = deque(maxlen=QUEUE_NOTES)
        self._points = ""

    def rate(self) -> float | None:
        """Jobs worked per second, of late; None while that is not known yet."""
        if len(self.notes) < 2:
            return None
        (before, _, done), (now, _, done_now) = self.notes[-2], self.notes[-1]
        return max(done_now - done, 0) * 1000 / max(now - before, 1)

    def add(self, now: int, size: int, processed: int) -> None:
        """So it is now."""
        self.notes.append((now, size, processed))
        self._points = ""

    def points(self) -> str:
        """The sizes as a small curve, the oldest first; drawn once for all who look until the next note."""
        if not self._points:
            self._points = spark([float(size) for _, size, _ in self.notes])
        return self._points


class Pulse:
    """The notes, and those who watch."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.past = Past()
        #: How late the loop came to each second.
        self.loop = Durations()
        self.queues: dict[str, Trend] = {}
        #: When a page has last shown which queue.
        self._shown: dict[str, int] = {}
        #: Called once a second.
        self.each_second: Callable[[], None] = lambda: None
        #: Queues whose oldest job waits too long, as of the last look at each.
        self.slow: set[str] = set()
        self._slow_after = ""
        self.watchers = 0
        self.ticks = 0
        self.version = 0
        self._queues_at = 0
        self._last: Overview | None = None
        self._message = b""
        #: Of each who watches: whether there is news for it.
        self._news: set[asyncio.Event] = set()
        self._telling: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        #: There were no figures in the last second, so what is noted on disk may be news.
        self._was_away = True
        #: The minute that was noted last, and the task that does it.
        self._noted = 0
        self._noting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop."""
        self._due = asyncio.get_running_loop().time()
        self._tick()

    def stop(self) -> None:
        """End, and let those who watch go."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if self._noting is not None:
            self._noting.cancel()
        if self._telling is not None:
            self._telling.cancel()
        self._message = b""
        for news in self._news:
            news.set()

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
            if self._was_away:
                self._was_away = False
                self._recall(overview.now)
            self.loop.add(late_ms / 1000)
            self.take(overview, late_ms)
            self._look_for_slow()
            self.each_second()
            if overview.now // NOTE_EVERY_MS != self._noted:
                self._noted = overview.now // NOTE_EVERY_MS
                self._noting = asyncio.create_task(self._note())
        except LineshaftError as error:
            # The storage is away: the server says so itself, and a second without a note does no harm.
            self._was_away = True
            log.debug("no figures this second: %s", error)

    def _recall(self, now: int) -> None:
        """Take over what was noted on disk and is not known here."""
        longest = max(grain.span_ms for grain in GRAINS)
        since = max(now - longest, self.now() + 1)
        try:
            self.past.recall(self.backend.look(lambda engine: engine.views.notes(since)))
        except LineshaftError as error:
            log.warning("the charts begin anew: what was noted cannot be read: %s", error)

    async def _note(self) -> None:
        """Have this minute noted on disk."""
        try:
            await self.backend.act(lambda engine: engine.take_note())
        except LineshaftError as error:
            log.debug("no note of this minute: %s", error)

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
        self.past.take(note)
        if not 0 <= overview.now - self._queues_at < QUEUE_EVERY_MS:
            self._queues_at = overview.now
            self._follow_queues(overview.now)
        if self._last is None or msgspec.structs.replace(overview, now=0) != msgspec.structs.replace(self._last, now=0):
            self.version += 1
        self._last = overview
        self.ticks += 1
        if self.watchers:
            self._message = self._tell(overview)
            self._telling = asyncio.get_running_loop().create_task(self._announce())

    def show(self, names: Iterable[str]) -> None:
        """A page shows these queues: they are the ones to follow."""
        now = self.now()
        for name in names:
            self._shown.pop(name, None)
            self._shown[name] = now
        for name in list(islice(self._shown, max(len(self._shown) - MOST_QUEUES, 0))):
            del self._shown[name]

    def _follow_queues(self, now: int) -> None:
        self._shown = {name: at for name, at in self._shown.items() if now - at < SHOWN_MS}
        counts = self.backend.look(lambda engine: engine.views.counts(self._shown, MOST_QUEUES))
        for name in self.queues.keys() - counts.keys():
            del self.queues[name]
        for name, (size, processed) in counts.items():
            self.queues.setdefault(name, Trend()).add(now, size, processed)

    def _look_for_slow(self) -> None:
        """Look at a few queues more each time, since each costs a look at its oldest job."""
        slow_seconds = self.backend.settings().slow_after_ms / 1000
        looked_at, more = self.backend.look(
            lambda engine: engine.views.queues(after=self._slow_after, limit=SLOW_LOOKS)
        )
        last = looked_at[-1].name if more else "\U0010ffff"
        passed = {name for name in self.slow if self._slow_after < name <= last}
        found = {queue.name for queue in looked_at if queue.latency_seconds > slow_seconds and not queue.paused}
        self.slow = set(sorted((self.slow - passed) | found)[:MOST_SLOW])
        self._slow_after = last if more else ""

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

    async def _announce(self) -> None:
        """Wake those who watch, a few at a time: to write to five hundred at once would hold up everybody."""
        for count, news in enumerate(list(self._news)):
            news.set()
            if count % TOLD_AT_ONCE == TOLD_AT_ONCE - 1:
                await asyncio.sleep(0)

    async def watch(self) -> AsyncIterator[bytes]:
        """The messages as they come, for one who watches; one that is slow misses some. Ends with the pulse."""
        self.watchers += 1
        news = asyncio.Event()
        self._news.add(news)
        try:
            yield b"retry: 2000\n\n"
            if self._last is not None:
                yield self._tell(self._last)
            while self._timer is not None:
                await news.wait()
                news.clear()
                if self._message:
                    yield self._message
        finally:
            self._news.discard(news)
            self.watchers -= 1
