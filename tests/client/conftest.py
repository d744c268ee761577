"""Both kinds of client for the tests of this folder, and a real server."""

from collections.abc import Iterator
from typing import Any

import pytest

from awaited import Awaited
from lineshaft.client import Client
from processes import ServerProcess


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
