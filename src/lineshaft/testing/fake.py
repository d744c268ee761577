"""The fake server: the real engine in memory, for tests of code that pushes jobs or is run by them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lineshaft.client import AsyncClient, Client
from lineshaft.clock import ManualClock, system_clock
from lineshaft.engine.settings import Settings
from lineshaft.testing.drain import Run, drain
from lineshaft.testing.memory import MemoryServer, half
from lineshaft.testing.talkers import AwaitingMemoryTalker, MemoryTalker
from lineshaft.worker.jobs import Jobs
from lineshaft.worker.middleware import Middleware

__all__ = ["FakeServer"]


class FakeServer:
    """A server in memory. Its clock stands at `now` (by default the moment of its making) until it is advanced.

    `chance` is what retries are spread out by; by default it is none, so that a test knows when.
    """

    def __init__(
        self, *, now: int | None = None, rules: Settings | None = None, chance: Callable[[], float] = half
    ) -> None:
        self.clock = ManualClock(system_clock() if now is None else now)
        self._memory = MemoryServer(self.clock, rules or Settings(), chance)
        self._draining = False
        self._observer = self.client()

    # Clients

    def client(self, **options: Any) -> Client:
        """A `Client` of this server; options as there."""
        client = Client("tcp://in-memory", clock=self.clock, **options)
        client._talker = MemoryTalker(client._pool, self._memory)
        return client

    def async_client(self, **options: Any) -> AsyncClient:
        """An `AsyncClient` of this server; options as there."""
        client = AsyncClient("tcp://in-memory", clock=self.clock, **options)
        client._talker = AwaitingMemoryTalker(client._pool, self._memory)
        return client

    @contextmanager
    def serving(self, *clients: Client | AsyncClient) -> Iterator[None]:
        """Have clients that the program has made already talk to this server, as long as the `with` lasts."""
        before = [(client._talker, client._clock) for client in clients]
        for client in clients:
            if isinstance(client, Client):
                client._talker = MemoryTalker(client._pool, self._memory)
            else:
                client._talker = AwaitingMemoryTalker(client._pool, self._memory)
            client._clock = self.clock
        try:
            yield
        finally:
            for client, (talker, clock) in zip(clients, before, strict=True):
                client._talker, client._clock = talker, clock

    # Time

    def advance(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> None:
        """Let time pass: what is scheduled or to be retried joins its queue when it is due."""
        self._memory.advance(seconds + 60 * (minutes + 60 * (hours + 24 * days)))

    # Jobs

    def drain(
        self,
        *jobs: Jobs,
        queues: Sequence[str] | None = None,
        middleware: Sequence[Middleware] = (),
        limit: int = 10_000,
        raise_errors: bool = True,
    ) -> list[Run]:
        """Run what is ready, and what follows from it, until nothing is; returns what has run, in order.

        Without `queues` all are served, by name. A job that raised has failed as it would in earnest; when nothing is
        left to run, the first such error is raised here too, unless `raise_errors` is False. Inside of a running event
        loop, await `drain_async`.
        """
        return asyncio.run(
            self.drain_async(*jobs, queues=queues, middleware=middleware, limit=limit, raise_errors=raise_errors)
        )

    async def drain_async(
        self,
        *jobs: Jobs,
        queues: Sequence[str] | None = None,
        middleware: Sequence[Middleware] = (),
        limit: int = 10_000,
        raise_errors: bool = True,
    ) -> list[Run]:
        """As `drain`."""
        runs: list[Run] = []
        # Jobs may push to queues that were not there when it began.
        while names := list(queues or self.queues()):
            more = await drain(self._memory, jobs, names, middleware, limit - len(runs))
            runs += more
            if queues or not more:
                break
        failed = next((run.error for run in runs if run.error is not None), None)
        if failed is not None and raise_errors:
            raise failed
        return runs

    @contextmanager
    def inline(self, *jobs: Jobs, client: Client, middleware: Sequence[Middleware] = ()) -> Iterator[None]:
        """As long as the `with` lasts, every push of the client returns when the job, and what follows, has run.

        What a job raises, the push raises. Jobs for later wait for `advance` and the next push, as in earnest.
        """
        with self.serving(client):
            run = client._talker.run

            def run_and_drain(talk: Any) -> Any:
                result = run(talk)
                if not self._draining:
                    self._draining = True
                    try:
                        self.drain(*jobs, middleware=middleware)
                    finally:
                        self._draining = False
                return result

            client._talker.run = run_and_drain  # type: ignore[method-assign]
            yield

    # What there is

    def info(self) -> dict[str, Any]:
        """As INFO."""
        return self._observer.info()

    def queues(self) -> dict[str, int]:
        """How many jobs are ready, by queue."""
        queues: dict[str, int] = self.info()["faktory"]["queues"]
        return queues

    def sets(self) -> dict[str, int]:
        """How many jobs are scheduled, to be retried, dead, and being worked on."""
        sets: dict[str, int] = self.info()["faktory"]["sets"]
        return sets
