"""Both kinds of client for the tests of this folder, and a real server."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from lineshaft.client import AsyncClient, Client
from processes import ServerProcess


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


@pytest.fixture(params=[Client, Awaited], ids=["blocking", "awaited"])
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def url(server: ServerProcess) -> str:
    url = f"tcp://127.0.0.1:{server.port}"
    with Client(url) as client:
        client.flush()
    return url
