"""A real server for the tests of this folder."""

from collections.abc import Iterator

import pytest

from lineshaft.client import Client
from processes import ServerProcess


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


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client
