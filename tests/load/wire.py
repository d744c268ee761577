"""A connection of the asyncio kind, cheap enough for ten thousand of them: lines out, replies in, in their order.

It uses none of the server's code, like `wire_client`, whose twin it is.
"""

import asyncio
import json
import time
from collections import deque
from typing import Any, Self, cast

from wire_client import WireError

__all__ = ["Wire", "instant"]


class Wire(asyncio.Protocol):
    """One connection to a server; `connect` makes it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.buffer = b""
        #: Who waits for a reply; the first one is the greeting's.
        self.waiting: deque[asyncio.Future[Any]] = deque()
        self.is_lost = False

    @classmethod
    async def connect(cls, port: int, hello: dict[str, Any] | None = None) -> Self:
        """A connection that has said HELLO. Raises OSError, WireError."""
        loop = asyncio.get_running_loop()
        wire = cls()
        greeting: asyncio.Future[Any] = loop.create_future()
        wire.waiting.append(greeting)
        await loop.create_connection(lambda: wire, "127.0.0.1", port)
        try:
            await greeting
            await wire.ask(b"HELLO " + json.dumps(hello or {"v": 2}).encode())
        except BaseException:
            wire.close(abort=True)
            raise
        return wire

    def send(self, line: bytes) -> "asyncio.Future[Any]":
        """Send a command; the future is its reply: text, bytes, or None. It raises WireError, ConnectionError."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.is_lost or self.transport is None:
            future.set_exception(ConnectionResetError("the connection is gone"))
            return future
        self.waiting.append(future)
        self.transport.write(line + b"\r\n")
        return future

    async def ask(self, line: bytes) -> Any:
        """Send a command and wait for its reply. Raises WireError, ConnectionError."""
        return await self.send(line)

    async def ask_json(self, line: bytes) -> Any:
        """The same for a reply that is JSON; None for a null."""
        reply = await self.send(line)
        return None if reply is None else json.loads(reply)

    def close(self, *, abort: bool = False) -> None:
        """Close, or break off as a process that dies does."""
        if self.transport is not None:
            self.transport.abort() if abort else self.transport.close()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody will be answered any more."""
        self.is_lost = True
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_exception(exc or ConnectionResetError("the server closed the connection"))
                future.exception()  # whoever does not wait for it any more is not to be told

    def data_received(self, data: bytes) -> None:
        """Replies, or parts of them."""
        data, start = self.buffer + data if self.buffer else data, 0
        while (end := data.find(b"\r\n", start)) >= 0:
            kind, rest, after = data[start : start + 1], data[start + 1 : end], end + 2
            value: Any = rest.decode()
            if kind == b"$":
                size = int(rest)
                after += 0 if size < 0 else size + 2
                if len(data) < after:
                    break
                value = None if size < 0 else data[end + 2 : after - 2]
            elif kind == b":":
                value = int(rest)
            start = after
            self._answer(kind, value)
        self.buffer = data[start:]

    def _answer(self, kind: bytes, value: Any) -> None:
        future = self.waiting.popleft()
        if future.done():
            return
        if kind == b"-":
            future.set_exception(WireError(value))
        else:
            future.set_result(value)


def instant(seconds: float) -> str:
    """So many seconds from now, as the protocol writes it."""
    at = time.time() + seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"
