"""An AsyncClient whose calls block, so that one test serves both kinds of client."""

import asyncio
import inspect
from typing import Any

from lineshaft.client import AsyncClient


class Awaited:
    """An AsyncClient whose calls block, so that one test serves both kinds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.runner = asyncio.Runner()
        self.client = AsyncClient(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return self.blocking(getattr(self.client, name))

    def blocking(self, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            return self.runner.run(result) if inspect.isawaitable(result) else result

        return call

    def push(self, job: Any) -> Any:
        return AwaitedJob(self, self.runner.run(self.client.push(job)))

    def __enter__(self) -> "Awaited":
        return self

    def __exit__(self, *error: object) -> None:
        async def close() -> None:
            self.client.close()
            # The loop closes sockets, and says good-bye, in its next turns.
            for _ in range(3):
                await asyncio.sleep(0)

        self.runner.run(close())
        self.runner.close()


class AwaitedJob:
    """The same for a job that was pushed."""

    def __init__(self, owner: Awaited, pushed: Any) -> None:
        self.owner, self.pushed, self.jid = owner, pushed, pushed.jid

    def __getattr__(self, name: str) -> Any:
        return self.owner.blocking(getattr(self.pushed, name))
