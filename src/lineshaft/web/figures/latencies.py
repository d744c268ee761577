"""The latencies of all queues, for a list that is ordered by them.

A latency is read from a job, so those of many queues take long: they are read in small slices, between which others
have their turn, and kept for a few seconds for whoever asks next.
"""

import asyncio
import time
from heapq import nlargest
from typing import Final

from lineshaft.engine.engine import Engine
from lineshaft.web.backend import Backend
from lineshaft.web.pace import Pace

__all__ = ["Latencies"]

#: The latencies of so many queues are read, the longest queues first; the others stand last.
MOST_READ: Final = 20_000
SLICE: Final = 25
FRESH_SECONDS: Final = 10.0


class Latencies:
    """The latencies of all queues with jobs, as of a few seconds ago at most."""

    def __init__(self, backend: Backend, pace: Pace) -> None:
        self._backend = backend
        self._pace = pace
        self._known: dict[str, float] = {}
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def read(self) -> dict[str, float]:
        """Seconds by name. Raises StoreError."""
        async with self._lock:
            if time.monotonic() - self._read_at > FRESH_SECONDS:
                self._known = await self._all()
                self._read_at = time.monotonic()
        return self._known

    async def _all(self) -> dict[str, float]:
        known: dict[str, float] = {}
        sizes = self._backend.look(lambda engine: engine.views.queue_sizes())
        names = [name for _, name in nlargest(MOST_READ, ((size, name) for name, size in sizes if size))]
        for place in range(0, len(names), SLICE):
            known |= self._slice(names[place : place + SLICE])
            await self._pace.rest()
        return known

    def _slice(self, names: list[str]) -> dict[str, float]:
        def seconds(engine: Engine) -> dict[str, float]:
            views = [engine.views.queue(name) for name in names]
            return {view.name: view.latency_seconds for view in views if view is not None}

        return self._backend.look(seconds)
