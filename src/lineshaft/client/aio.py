"""The client for asyncio. It belongs to one event loop at a time.

>>> from lineshaft.client import AsyncClient, job_of
>>> async with AsyncClient("tcp://localhost:7419") as client:  # doctest: +SKIP
...     await client.push(job_of("send_mail", 42))
"""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from lineshaft.client.awaiting import AwaitingTalker
from lineshaft.client.batch import BatchCommands, Plan, new_batch, open_batch
from lineshaft.client.commands import Commands, PushedCommands, Pusher
from lineshaft.client.job import Job
from lineshaft.client.verb import Awaiting

__all__ = ["AsyncBatch", "AsyncClient", "AsyncPushedJob"]

R = TypeVar("R")


class AsyncPushedJob(PushedCommands[R], Awaiting):
    """A job that was pushed."""


class _Pusher(Pusher, Awaiting):
    @overload
    async def push(self, job: Job[R]) -> AsyncPushedJob[R]: ...

    @overload
    async def push(self, job: Mapping[str, Any]) -> AsyncPushedJob[Any]: ...

    async def push(self, job: Job[Any] | Mapping[str, Any]) -> AsyncPushedJob[Any]:
        """Push a job; it is safe when this returns."""
        pushed = await self._talker.run(self._push(job))
        return AsyncPushedJob(self._talker, pushed.jid, pushed.result_type)


class AsyncBatch(_Pusher, BatchCommands):
    """A batch: `async with` makes it, and commits it at the end."""

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.commit()


class AsyncClient(_Pusher, Commands):
    """The way to a server, for asyncio."""

    __doc__ = Commands.__doc__
    _new_talker = AwaitingTalker

    def batch(self, description: str = "", **plan: Unpack[Plan]) -> AsyncBatch:
        """A new batch, made when its `async with` begins."""
        return AsyncBatch(self, new_batch(self, description, plan))

    def open_batch(self, bid: str) -> AsyncBatch:
        """A batch that exists, opened when its `async with` begins."""
        return AsyncBatch(self, open_batch(bid), bid)

    def close(self) -> None:
        """Close all connections; idempotent. The client cannot be used any more."""
        self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        # The loop says good-bye in its next turn.
        await asyncio.sleep(0)
