"""The threads that functions run in: a job goes to one, and how it ended comes back to the loop.

For a job that does nothing, the way there and back is most of what it costs: a thread is woken, waits until others let
go of the interpreter, and so does the loop when it is woken in turn. So a thread that is awake takes one call after the
other, and how many are awake depends on what calls took lately:

    they took long      who takes a call wakes the next thread for what still waits, and the loop when it has ended
    they were quick     one thread takes all that wait, and wakes the loop when none is left

In the second way a call may turn out not to be quick after all. So it is taken only while the loop is going to look,
each millisecond: it takes what has ended, and wakes a thread for what has waited as long.

What is true after every call: where something waits, a thread is going to look at it, or is woken within two
milliseconds, if not all of them run calls; where something has ended, the loop is going to take it.
"""

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Final, TypeAlias

__all__ = ["Threads"]

_Call: TypeAlias = "tuple[float, asyncio.Future[_End], contextvars.Context, Callable[..., Any], tuple[Any, ...]]"
"""When it came, who waits for its end, and what is to be called."""

_End: TypeAlias = "tuple[Any, BaseException | None]"

#: Calls that take less on average are quick. To wake a thread and to be woken costs some fifty microseconds.
QUICK_SECONDS: Final = 0.0002
#: The longest that one call counts for, so that dozens of quick ones are enough to forget it.
LONG_SECONDS: Final = 0.01
#: So soon the loop looks whether calls that were taken for quick are.
LOOK_SECONDS: Final = 0.001


class Threads:
    """At most `most` threads, each started when there is more to do than the others can take."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop = asyncio.get_running_loop()
        #: What nobody has begun.
        self._calls: deque[_Call] = deque()
        #: An entry wakes a thread; False ends it.
        self._wakes: SimpleQueue[bool] = SimpleQueue()
        #: Only the loop counts: how many threads there are, and how many calls are under way.
        self._started = self._under_way = 0
        #: A thread is going to look at `_calls` once more.
        self._is_seen_to = False
        #: How long a call takes, on average; each counts an eighth. Threads may overwrite one another's.
        self._usual_seconds = LONG_SECONDS
        #: What ended, on its way to the loop; and whether that has been woken for it.
        self._ended: deque[tuple[asyncio.Future[_End], _End]] = deque()
        self._is_woken = False
        #: The loop is going to look, within a millisecond.
        self._looks = False

    async def run(self, call: Callable[..., Any], *args: Any) -> Any:
        """Call in a thread, with the context of here; returns and raises what it does."""
        future: asyncio.Future[_End] = self._loop.create_future()
        if self._started < min(self._under_way + 1, self._most):
            # Where the system has no more threads this raises: nothing waits yet.
            threading.Thread(target=self._work, name=f"job_{self._started + 1}").start()
            self._started += 1
        self._under_way += 1
        if self._usual_seconds < QUICK_SECONDS:
            self._look_soon()
        self._calls.append((perf_counter(), future, contextvars.copy_context(), call, args))
        if not self._is_seen_to:
            self._wake()
        result, failure = await future
        try:
            if failure is not None:
                raise failure
            return result
        finally:
            # Its traceback leads here: a circle, with all that the call had in hand.
            del future, failure

    def _wake(self) -> None:
        """Have a thread look at what waits; called in the loop, and in threads."""
        self._is_seen_to = True
        self._wakes.put(True)

    # In the loop

    def _look_soon(self) -> None:
        if not self._looks:
            self._looks = True
            self._loop.call_later(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """See whether anything waits for a call that was taken for quick."""
        self._looks = False
        self._hand_over()
        try:
            came = self._calls[0][0]
        except IndexError:
            return
        if perf_counter() - came < LOOK_SECONDS:
            self._look_soon()
        else:
            self._usual_seconds = LONG_SECONDS
            self._wake()

    def _hand_over(self) -> None:
        self._is_woken = False
        while self._ended:
            future, end = self._ended.popleft()
            self._under_way -= 1
            if not future.done():
                future.set_result(end)

    # In threads

    def _work(self) -> None:
        """A thread, until it is told to end."""
        while self._wakes.get():
            self._run_all()
            # A call that came just before it said that it looks no more has woken nobody.
            while self._calls:
                self._run_all()

    def _run_all(self) -> None:
        """Run calls until none is left, and say so: for the next one a thread is woken."""
        began = perf_counter()
        while True:
            try:
                _, future, context, call, args = self._calls.popleft()
            except IndexError:
                self._is_seen_to = False
                return
            # What waits may wait for this one only as long as the loop is going to look.
            if not (self._usual_seconds < QUICK_SECONDS and self._looks):
                self._leave_the_rest()
            end: _End
            try:
                end = context.run(call, *args), None
            except BaseException as failure:  # it is raised where the call is awaited
                end = None, failure
            self._ended.append((future, end))
            ended = perf_counter()
            self._usual_seconds += (min(ended - began, LONG_SECONDS) - self._usual_seconds) / 8
            began = ended
            self._tell()
            del future, context, call, args, end

    def _leave_the_rest(self) -> None:
        """See to it that another thread takes what waits, and that for what comes now one is woken."""
        if not self._calls:
            self._is_seen_to = False
        # One that came just before that has woken nobody.
        if self._calls:
            self._wake()

    def _tell(self) -> None:
        """Have the loop take what has ended: at once, or when it looks, if there is more to do that is quick."""
        if self._calls and self._usual_seconds < QUICK_SECONDS and self._looks:
            return
        # Whoever finds it set has put its end there before the loop begins to take them.
        if not self._is_woken:
            self._is_woken = True
            # A loop that is gone waits for nothing.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._hand_over)

    def close(self) -> None:
        """Let threads end when their calls have; what has not begun never does."""
        self._calls.clear()
        for _ in range(self._started):
            self._wakes.put(False)
