"""Servers for other people's clients: open to all, with a password, with a password and TLS; and those clients."""

from collections.abc import Iterator

import pytest

from acceptance.clients.programs import CLIENTS, Client
from acceptance.clients.servers import PASSWORD, Target, write_certificate
from processes import ServerProcess
from wire_client import WireClient


@pytest.fixture(scope="session")
def open_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with ServerProcess(tmp_path_factory.mktemp("open")) as server:
        yield Target(server)


@pytest.fixture
def target(open_target: Target) -> Iterator[Target]:
    """The open server, empty."""
    with open_target.wire() as wire:
        assert wire.command(b"FLUSH") == "OK"
    yield open_target
    assert open_target.server.process is not None
    assert open_target.server.process.poll() is None, open_target.server.log.read_text()[-4000:]


@pytest.fixture
def wire(target: Target) -> Iterator[WireClient]:
    """A raw connection to the open server."""
    with target.wire() as client:
        yield client


@pytest.fixture(scope="session")
def guarded_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with a password, without TLS."""
    with ServerProcess(tmp_path_factory.mktemp("guarded"), f'[faktory]\npassword = "{PASSWORD}"\n') as server:
        yield Target(server, password=PASSWORD)


@pytest.fixture(scope="session")
def secured_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A server with a password and TLS."""
    server = ServerProcess(tmp_path_factory.mktemp("secured"), f'[faktory]\npassword = "{PASSWORD}"\n')
    certificate = write_certificate(server.config)
    with server:
        yield Target(server, scheme="tcp+tls", password=PASSWORD, certificate=certificate)


@pytest.fixture(scope="session", params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    """Each client library in turn, its program built."""
    chosen: Client = request.param
    chosen.prepare()
    return chosen
