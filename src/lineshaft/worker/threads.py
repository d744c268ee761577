"""The threads that functions run in: a job goes to one, and how it ended comes back to the loop.

As the standard library's pool, with less on the way: no lock for each call, and however many calls end while the loop
is busy, it is woken once. For a job that does nothing, the way there and back is most of what it costs.
"""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

__all__ = ["Threads"]

_Call: TypeAlias = "tuple[asyncio.Future[_End], contextvars.Context, Callable[..., Any], tuple[Any, ...]]"
_End: TypeAlias = "tuple[Any, BaseException | None]"


class Threads:
    """At most `most` threads, each started when there is more to do than the others can take."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        #: Only the loop counts: how many threads there are, and how many calls are under way.
        self._started = self._under_way = 0
        #: What ended, on its way to the loop; and whether that has been woken for it.
        self._ended: deque[tuple[asyncio.Future[_End], _End]] = deque()
        self._is_woken = False

    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call in a thread, with the context of here; returns and raises what it does."""
        future: asyncio.Future[_End] = self._loop.create_future()
        self._under_way += 1
        if self._started < min(self._under_way, self._most):
            self._started += 1
            threading.Thread(target=self._work, name=f"job_{self._started}").start()
        self._calls.put((future, contextvars.copy_context(), call, args))
        result, failure = await future
        if failure is not None:
            raise failure
        return result

    def _work(self) -> None:
        """A thread, until it is told to end."""
        while (taken := self._calls.get()) is not None:
            future, context, call, args = taken
            end: _End
            try:
                end = context.run(call, *args), None
            except BaseException as failure:  # it is raised where the call is awaited
                end = None, failure
            self._ended.append((future, end))
            # Whoever finds it set has put its end there before the loop begins to take them.
            if not self._is_woken:
                self._is_woken = True
                # A loop that is gone waits for nothing.
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._hand_over)
            del taken, future, context, call, args, end

    def _hand_over(self) -> None:
        self._is_woken = False
        while self._ended:
            future, end = self._ended.popleft()
            self._under_way -= 1
            if not future.done():
                future.set_result(end)

    def close(self) -> None:
        """Let threads end when their calls have; what has not begun never does."""
        with suppress(Empty):
            while True:
                self._calls.get_nowait()
        for _ in range(self._started):
            self._calls.put(None)
