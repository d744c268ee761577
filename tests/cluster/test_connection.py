"""The connection to NATS, when a server does not close it and does not read it either."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from cluster.real import NatsServer, nats_program
from lineshaft.cluster.access import Access, connect
from lineshaft.cluster.jetstream import JetStream
from lineshaft.cluster.port import Failure, Outcome

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    # nats-py leaves the stream of a connection to itself that it did not come to use.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_server_that_reads_no_more_is_left_for_another(tmp_path: Path) -> None:
    """What was written and not read fills all buffers on the way, and would have to go out first."""
    servers = [NatsServer(f"nats-{number}", tmp_path) for number in (1, 2)]
    for server in servers:
        server.configure([])
        server.start()
    try:
        asyncio.run(_leave(servers))
    finally:
        for server in servers:
            server.kill()


async def _leave(servers: list[NatsServer]) -> None:
    client = await connect(Access("test", tuple(server.url for server in servers)), "test")
    assert client.connected_url is not None
    (first,) = [server for server in servers if server.port == client.connected_url.port]
    first.pause()
    stuck = False
    while not stuck:
        began = time.monotonic()
        await client.publish("anything", b"x" * 100_000)
        stuck = time.monotonic() - began > 0.5
    async with asyncio.timeout(15):
        while not client.is_connected or client.connected_url.port == first.port:
            await asyncio.sleep(0.02)
    await client.flush()
    await client.close()


def test_a_connection_ends_although_nobody_reads_it(tmp_path: Path) -> None:
    server = NatsServer("nats-1", tmp_path)
    server.configure([])
    server.start()
    try:
        asyncio.run(_end(server))
    finally:
        server.kill()


async def _end(server: NatsServer) -> None:
    access = Access("test", (server.url,), replicas=1)
    client = await connect(access, "test")
    stream = JetStream(access, client)
    await stream.start()
    server.pause()
    outcomes: list[Outcome] = []
    for number in range(200):
        stream.append(b"x" * 100_000, expected=0, identity=str(number), done=outcomes.append)
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await stream.close()
    assert time.monotonic() - began < 4
    stream.sweep()
    assert set(outcomes) <= {Failure.UNKNOWN}
