"""The search process as the server has it: started when it is asked, ended when nobody has asked for a while.

There is one at most, and one look at a time in it; so many searches as there are take turns. What goes wrong there is
an error for those who asked, and a new process for those who ask later.

What is true after every call: the process works on one look at most, for whoever `_asking` is; `_waiting` holds, in
order, who comes after that. Whoever has gone meanwhile is passed over, so that pages which do not wait to the end leave
no work behind. When the process ends, all of them have been told why. `_starting` is held while one starts and while
one ends, so that there are never two: whoever asks meanwhile learns what became of it.
"""

import asyncio
import logging
import shutil
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import DecodeError, json

from lineshaft.engine.search.scan import Seen, Sought
from lineshaft.errors import Unavailable
from lineshaft.search.helper import WORD, Ask, Told
from lineshaft.store.rocks import FOLLOWER

__all__ = ["SearchProcess"]

log = logging.getLogger(__name__)

#: Nobody has asked for so long: the process ends. Its start costs a tenth of a second or two.
IDLE_SECONDS: Final = 60.0
#: More who wait for a look than this are told to come again.
MOST_WAITING: Final = 32
#: A look takes hundredths of a second; a disk that answers none in this time is stuck.
STUCK_SECONDS: Final = 20.0
#: No wait is shorter: a clock and a timer may differ by a little.
LEAST_SECONDS: Final = 0.01
#: After one has failed, no other is started for so long.
REST_SECONDS: Final = 2.0
#: It ends by itself when its input does; one that does not is killed.
END_SECONDS: Final = 2.0
#: The longest line: a hundred keys of the longest names.
LINE_BYTES: Final = 1 << 20


class SearchProcess:
    """The process, or none while nobody searches. Everything here belongs to the event loop."""

    def __init__(self, directory: Path, *, idle_seconds: float = IDLE_SECONDS) -> None:
        # Fixed for life.
        self._directory = directory
        self._idle_seconds = idle_seconds
        # Of the process that runs.
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._asking: asyncio.Future[Seen] | None = None
        self._waiting: deque[tuple[Ask, asyncio.Future[Seen]]] = deque()
        self._starting = asyncio.Lock()
        # When to start none, and when to end it.
        self._rests_until = 0.0
        self._why = ""
        self._asked_at = 0.0
        self._stopped = False

    @property
    def pid(self) -> int | None:
        """The process that runs, if one does."""
        return None if self._process is None else self._process.pid

    async def look(self, sought: Sought, *, fresh: bool = False) -> Seen:
        """Look for jobs once. Raises Unavailable, with the reason, when that cannot be done now."""
        loop = asyncio.get_running_loop()
        if self._asking is None:
            # While a look is under way this is when that began: a process that is stuck must be noticed.
            self._asked_at = loop.time()
        await self._started()
        self._waiting = deque(waits for waits in self._waiting if not waits[1].done())
        if len(self._waiting) + (self._asking is not None) >= MOST_WAITING:
            raise Unavailable("too many searches at once: try again in a moment")
        answer: asyncio.Future[Seen] = loop.create_future()
        self._waiting.append((Ask(sought, fresh), answer))
        self._ask_next()
        return await answer

    async def stop(self) -> None:
        """End it, and start no other."""
        self._stopped = True
        async with self._starting:
            # Whoever was about to start one has done so.
            process, reading = self._process, self._reading
        if process is not None:
            await _exited(process)
        if reading is not None:
            await reading

    def _ask_next(self) -> None:
        """Give the process its next look, if it has none."""
        while self._asking is None and self._waiting:
            ask, answer = self._waiting.popleft()
            if not answer.done():
                assert self._process is not None, "somebody waits for it"
                assert self._process.stdin is not None, "it has pipes"
                self._asking, self._asked_at = answer, asyncio.get_running_loop().time()
                self._process.stdin.write(json.encode(ask) + b"\n")

    async def _started(self) -> None:
        async with self._starting:
            loop = asyncio.get_running_loop()
            if self._stopped:
                raise Unavailable("shutdown in progress")
            if self._process is None:
                if loop.time() < self._rests_until:
                    raise Unavailable(self._why)
                await self._start()

    async def _start(self) -> None:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *_command(self._directory),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES,
            )
        except OSError as error:
            self._rest(f"the search process cannot be started: {error}")
            raise Unavailable(self._why) from None
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Give the answers to those who wait for them, until the process ends or nobody asks."""
        why = "the search process ended"
        loop = asyncio.get_running_loop()
        assert process.stdout is not None, "it has pipes"
        try:
            while True:
                # A look may begin while this waits, and whatever is left of its time is waited for the next time.
                patience = min(STUCK_SECONDS, self._idle_seconds)
                if self._asking:
                    patience = max(self._asked_at + STUCK_SECONDS - loop.time(), LEAST_SECONDS)
                try:
                    line = await asyncio.wait_for(process.stdout.readline(), patience)
                except TimeoutError:
                    if self._asking and loop.time() - self._asked_at >= STUCK_SECONDS:
                        why = f"the search process has not answered for {STUCK_SECONDS:.0f} s"
                        break
                    if not self._asking and loop.time() - self._asked_at >= self._idle_seconds:
                        why = ""
                        break
                    continue
                if not line:
                    break
                self._hand_over(json.decode(line, type=Told))
        except (ValueError, DecodeError) as error:
            why = f"the search process cannot be understood: {error}"
        finally:
            await self._gone(process, why)

    def _hand_over(self, told: Told) -> None:
        answer, self._asking = self._asking, None
        self._ask_next()
        if answer is None or answer.done():
            # Whoever asked has gone.
            return
        if told.seen is not None:
            answer.set_result(told.seen)
        else:
            answer.set_exception(Unavailable(f"the search cannot go on: {told.error}"))

    async def _gone(self, process: asyncio.subprocess.Process, why: str) -> None:
        """It has ended, or is to: tell those who wait, and those who ask before it has."""
        async with self._starting:
            self._process = None
            waiting, self._waiting = [answer for _, answer in self._waiting], deque()
            if self._asking is not None:
                waiting, self._asking = [self._asking, *waiting], None
            code = await _ended(process)
            # One that was killed has left it behind.
            shutil.rmtree(self._directory / FOLLOWER, ignore_errors=True)
            if why and not self._stopped:
                self._rest(f"{why} (code {code}): a new one is started in a moment")
                log.error("%s", self._why)
            for answer in waiting:
                if not answer.done():
                    answer.set_exception(Unavailable("shutdown in progress" if self._stopped else self._why))

    def _rest(self, why: str) -> None:
        self._why = why
        self._rests_until = asyncio.get_running_loop().time() + REST_SECONDS


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Let it end, or end it, once nobody reads what it says; its exit code."""
    code = await _exited(process)
    # To the end of what it has said: then the loop closes the pipe, too.
    assert process.stdout is not None, "it has pipes"
    with suppress(ValueError):
        await process.stdout.read()
    await asyncio.sleep(0)
    return code


async def _exited(process: asyncio.subprocess.Process) -> int:
    """The same, while somebody may still read."""
    assert process.stdin is not None, "it has pipes"
    process.stdin.close()
    try:
        return await asyncio.wait_for(process.wait(), END_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        return await process.wait()


def _command(directory: Path) -> list[str]:
    """How it is started: by our command line, which is all that there is in a single-file executable."""
    start = [sys.executable] if getattr(sys, "frozen", False) else [sys.executable, "-m", "lineshaft"]
    return [*start, WORD, str(directory)]
