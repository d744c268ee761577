"""The clients' talkers for a server in memory: what waits, lets the server's time pass instead."""

from lineshaft.client.awaiting import AwaitingTalker
from lineshaft.client.blocking import BlockingTalker
from lineshaft.client.talk import Pool
from lineshaft.client.url import Address
from lineshaft.testing.memory import MemoryServer, MemoryStream

__all__ = ["AwaitingMemoryTalker", "MemoryTalker"]


def _pool_like(pool: Pool) -> Pool:
    """An empty pool for the same client, so that connections of one kind never meet the other talker."""
    address = Address("in-memory")
    return Pool(lambda: address, pool.hello, timeout_seconds=pool.timeout_seconds, reconnect=False)


class MemoryTalker(BlockingTalker):
    """For `Client`."""

    def __init__(self, pool: Pool, server: MemoryServer) -> None:
        self._server = server
        super().__init__(_pool_like(pool), 100, None)

    def open(self, address: Address, seconds: float) -> MemoryStream:  # noqa: ARG002 - as the talker of sockets
        """A connection to the server, whatever the address."""
        return self._server.connect()

    def sleep(self, seconds: float) -> None:
        """Let the server's time pass."""
        self._server.advance(seconds)


class _AwaitingStream:
    """A stream whose waiting is awaited, in form at least."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream
        self.close = stream.close
        self.is_silent = stream.is_silent

    async def carry(self, data: bytes, seconds: float) -> bytes:
        return self._stream.carry(data, seconds)


class AwaitingMemoryTalker(AwaitingTalker):
    """For `AsyncClient`."""

    def __init__(self, pool: Pool, server: MemoryServer) -> None:
        self._server = server
        super().__init__(_pool_like(pool), 100, None)

    async def open(self, address: Address, seconds: float) -> _AwaitingStream:  # noqa: ARG002 - see above
        """A connection to the server, whatever the address."""
        return _AwaitingStream(self._server.connect())

    async def sleep(self, seconds: float) -> None:
        """Let the server's time pass."""
        self._server.advance(seconds)
