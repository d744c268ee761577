"""Following a real stream: in order, without gaps, many entries with each question, and after whatever went wrong."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from cluster.real import NatsServer, nats_program
from lineshaft.cluster import follow
from lineshaft.cluster.follow import Follower

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    pytest.mark.timeout(60),
]

STREAM = "LOG"


class Reader:
    """Who is told."""

    def __init__(self, client: Client, api: JetStreamContext, after: int = 0) -> None:
        self.heard: list[tuple[int, bytes]] = []
        #: Whether the last one said that more were there.
        self.more = False
        self.follower = Follower(client, api, STREAM, after, self._heard)
        self.task = asyncio.create_task(self.follower.run())

    def _heard(self, sequence: int, data: bytes, more: bool) -> None:
        self.heard.append((sequence, data))
        self.more = more

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.heard) < count:
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        self.follower.stop()
        async with asyncio.timeout(5):
            await self.task


@asynccontextmanager
async def stream(root: Path) -> AsyncIterator[tuple[Client, JetStreamContext]]:
    """A stream on a server of its own."""
    server = NatsServer("nats", root)
    server.configure([])
    server.start()
    try:
        client = await nats.connect(server.url, reconnect_time_wait=0.1, max_reconnect_attempts=-1)
        api = client.jetstream()
        await api.add_stream(name=STREAM, subjects=[STREAM])
        yield client, api
        await client.close()
    finally:
        server.kill()


def run(root: Path, play: Callable[[Client, JetStreamContext], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        async with stream(root) as (client, api):
            await play(client, api)

    asyncio.run(all_of_it())


async def append(client: Client, first: int, count: int, size: int = 0) -> None:
    for number in range(first, first + count):
        await client.publish(STREAM, b"%d" % number + b"x" * size)
    await client.flush()


def expected(first: int, count: int) -> list[tuple[int, bytes]]:
    return [(number, b"%d" % number) for number in range(first, first + count)]


def test_all_entries_come_in_order_those_of_before_and_those_of_later(tmp_path: Path) -> None:
    async def play(client: Client, api: JetStreamContext) -> None:
        # More than one question brings.
        await append(client, 1, 2 * follow.BATCH + 7)
        reader = Reader(client, api, after=3)
        await reader.wait_for(2 * follow.BATCH + 4)
        for first in range(2 * follow.BATCH + 8, 2 * follow.BATCH + 58, 5):
            await append(client, first, 5)
            await asyncio.sleep(0.01)
        await reader.wait_for(2 * follow.BATCH + 54)
        assert not reader.more
        assert reader.heard == expected(4, 2 * follow.BATCH + 54)
        await reader.end()
        await append(client, 1, 1)
        assert len(reader.heard) == 2 * follow.BATCH + 54

    run(tmp_path, play)


def test_more_bytes_than_one_question_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "BATCH_BYTES", 1)

    async def play(client: Client, api: JetStreamContext) -> None:
        # Each question brings no more than twice what an entry may have.
        await append(client, 1, 9, size=900_000)
        reader = Reader(client, api)
        await reader.wait_for(9)
        assert [sequence for sequence, _ in reader.heard] == list(range(1, 10))
        await reader.end()

    run(tmp_path, play)


def test_a_consumer_that_is_gone_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "SILENCE_SECONDS", 0.7)

    async def play(client: Client, api: JetStreamContext) -> None:
        await append(client, 1, 3)
        reader = Reader(client, api)
        await reader.wait_for(3)
        for consumer in await api.consumers_info(STREAM):
            assert await api.delete_consumer(STREAM, consumer.name)
        await append(client, 4, 3)
        await reader.wait_for(6)
        assert reader.heard == expected(1, 6)
        await reader.end()

    run(tmp_path, play)


def test_what_was_lost_on_the_way_is_told_by_the_heartbeat(tmp_path: Path) -> None:
    async def play(client: Client, api: JetStreamContext) -> None:
        reader = Reader(client, api)
        await append(client, 1, 3)
        await reader.wait_for(3)
        follower, deliver = reader.follower, reader.follower._delivered
        lost = []

        async def lose(message: object) -> None:
            if lost or (message.headers or {}).get("Status"):  # type: ignore[attr-defined]
                await deliver(message)  # type: ignore[arg-type]
            else:
                lost.append(message)

        # The next consumer is subscribed to as the first was.
        follower._delivered = lose  # type: ignore[method-assign]
        follower._is_stale = True
        follower._answered.set()
        await asyncio.sleep(follow.PAUSE_SECONDS + 0.2)
        await append(client, 4, 1)
        await reader.wait_for(4)
        assert lost
        assert reader.heard == expected(1, 4)
        await reader.end()

    run(tmp_path, play)
