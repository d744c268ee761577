"""The blocking client. Any number of threads may share one.

>>> from lineshaft.client import Client, job_of
>>> with Client("tcp://localhost:7419") as client:  # doctest: +SKIP
...     client.push(job_of("send_mail", 42))
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, overload

from lineshaft.client.batch import BatchCommands, Plan, new_batch, open_batch
from lineshaft.client.blocking import BlockingTalker
from lineshaft.client.commands import Commands, PushedCommands, Pusher
from lineshaft.client.job import Job
from lineshaft.client.verb import Blocking

__all__ = ["Batch", "Client", "PushedJob"]

R = TypeVar("R")


class PushedJob(PushedCommands[R], Blocking):
    """A job that was pushed."""


class _Pusher(Pusher, Blocking):
    @overload
    def push(self, job: Job[R]) -> PushedJob[R]: ...

    @overload
    def push(self, job: Mapping[str, Any]) -> PushedJob[Any]: ...

    def push(self, job: Job[Any] | Mapping[str, Any]) -> PushedJob[Any]:
        """Push a job; it is safe when this returns."""
        pushed = self._talker.run(self._push(job))
        return PushedJob(self._talker, pushed.jid, pushed.result_type)


class Batch(_Pusher, BatchCommands):
    """A batch: `with` makes it, and commits it at the end."""

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()


class Client(_Pusher, Commands):
    """The way to a server, for threads."""

    __doc__ = Commands.__doc__
    _new_talker = BlockingTalker

    def batch(self, description: str = "", **plan: Unpack[Plan]) -> Batch:
        """A new batch, made when its `with` begins."""
        return Batch(self, new_batch(self, description, plan))

    def open_batch(self, bid: str) -> Batch:
        """A batch that exists, opened when its `with` begins."""
        return Batch(self, open_batch(bid), bid)

    def close(self) -> None:
        """Close all connections; idempotent. The client cannot be used any more."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
