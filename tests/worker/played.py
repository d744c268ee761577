"""A server that is played by hand, for the packets of a worker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lineshaft.client.aio import AsyncClient
from lineshaft.worker.exchange import Exchange

JOB = b'$9\r\n{"jid":1}\r\n'


class Peer:
    """One connection, from the server's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def hears(self) -> list[bytes]:
        """The commands that come in one piece; none at the end."""
        return (await asyncio.wait_for(self.reader.read(65536), 30)).splitlines()

    def says(self, data: bytes) -> None:
        self.writer.write(data)


class Server:
    def __init__(self) -> None:
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'+HI {"v":2}\r\n')
        await reader.readline()
        writer.write(b"+OK\r\n")
        self.peers.put_nowait(Peer(reader, writer))

    async def next_peer(self) -> Peer:
        return await asyncio.wait_for(self.peers.get(), 30)


@asynccontextmanager
async def played() -> AsyncIterator[tuple[Server, Exchange]]:
    played = Server()
    listening = await asyncio.start_server(played.greet, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    client = AsyncClient(f"tcp://127.0.0.1:{port}", wid="w1")
    exchange = Exchange(client._talker)
    try:
        yield played, exchange
    finally:
        await exchange.close()
        client.close()
        listening.close()
        await asyncio.sleep(0)
        while not played.peers.empty():
            played.peers.get_nowait().writer.close()


def play(scene: Callable[[Server, Exchange], Awaitable[None]]) -> None:
    async def run() -> None:
        async with played() as (server, exchange):
            await asyncio.wait_for(scene(server, exchange), 60)

    asyncio.run(run())
