"""Feeding: a MUTATE of everything that matches, with the looking done by the search process.

The engine can do it alone, in slices, and does so where there is no search process or it fails: then each slice reads a
hundred jobs in the loop to find perhaps one. Fed, the loop meets only jobs that match. The chore is on disk either way,
so a crash half way changes nothing about it.

    feed ──> sought_by ──> the process looks ──> mutate_found, one transition ──> on disk ──> sought_by ...  let go
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from lineshaft.engine.search.scan import Seen, Sought
from lineshaft.errors import LineshaftError
from lineshaft.server import errands
from lineshaft.server.delivery import finish_chores

if TYPE_CHECKING:
    from lineshaft.engine.engine import Engine
    from lineshaft.server.server import Server

__all__ = ["Feeder", "Look", "act"]

log = logging.getLogger(__name__)


class Look(Protocol):
    """One look of the search process."""

    def __call__(self, sought: Sought, *, fresh: bool = False) -> Awaitable[Seen]:
        """Raises Unavailable."""
        ...


async def act(server: "Server", verb: "Callable[[Engine], Any]") -> Any:
    """Run an errand; returns when it is on disk, as far as the configuration promises that. Raises as the errand."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def done(result: Any, error: Exception | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    errands.run(server, verb, done)
    return await future


class Feeder:
    """Feeds one chore after the other. Everything here belongs to the event loop."""

    def __init__(self, server: "Server", look: Look) -> None:
        self._server = server
        self.look = look
        self._task: asyncio.Task[None] | None = None

    def rouse(self) -> None:
        """Begin, if there is something to feed and nothing is fed; to be called whenever a chore may have begun."""
        server = self._server
        if self._task is not None or server.failed is not None or server.stopping:
            return
        number = server.engine.feed()
        if number is not None:
            self._task = asyncio.create_task(self._feed(number))
            self._task.add_done_callback(self._ended)

    async def stop(self) -> None:
        """End; a later start goes on with what is left."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _feed(self, number: int) -> None:
        fresh = True
        try:
            while (sought := self._server.engine.sought_by(number)) is not None:
                seen = await self.look(sought, fresh=fresh)
                # It must have seen every job that was there when the chore began; what came later is left alone.
                fresh = False
                await act(self._server, partial(self._slice, number, seen))
        except LineshaftError as error:
            log.warning("a MUTATE goes on without the search process: %s", error)
        finally:
            self._server.engine.let_go(number)
            self._server.need_turn()

    def _slice(self, number: int, seen: Seen, engine: "Engine") -> None:
        engine.mutate_found(number, seen.hits, seen.cursor)
        finish_chores(self._server)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and task.exception() is None:
            self.rouse()
