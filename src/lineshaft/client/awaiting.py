"""The talker of asyncio. It belongs to one loop at a time, and begins anew when it is used in another."""

import asyncio
import select
import ssl
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar, cast

from lineshaft.client.talk import Carry, Enter, Link, Open, Pool, Sleep, Step, Stream, Talk, open_link, replies_in
from lineshaft.client.url import Address
from lineshaft.protocol.resp import Reply

__all__ = ["AwaitingStream", "AwaitingTalker", "HeldLink", "LoopStream"]

T = TypeVar("T")

#: So soon after a reply a connection is taken to be open: to ask the system costs as much as all the rest.
TRUSTED_SECONDS: Final = 0.01


class AwaitingStream(Stream, Protocol):
    """What this talker can carry bytes over."""

    async def carry(self, data: bytes, seconds: float) -> bytes:
        """Send, and return what comes back first. Raises TimeoutError and other OSErrors."""
        ...


class AwaitingTalker:
    """Runs talks on the loop; at most `connections` at a time have a connection."""

    def __init__(self, pool: Pool, connections: int, ssl_context: ssl.SSLContext | None) -> None:
        self.pool = pool
        self._connections = connections
        self._given_ssl_context = ssl_context
        # Those of the loop that it is used in.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(connections)

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        """Made once: to read the system's certificates takes longer than a handshake."""
        return self._given_ssl_context or ssl.create_default_context()

    async def run(self, talk: Talk[T]) -> T:
        """Carry out a talk and return its result, or raise what it raises; may be cancelled at any time."""
        try:
            step = next(talk)
            while True:
                try:
                    outcome = await self._perform(step)
                except BaseException as failure:
                    step = talk.throw(failure)
                else:
                    step = talk.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _perform(self, step: Step) -> Any:
        match step:
            case Carry(stream, data, seconds):
                return await cast("AwaitingStream", stream).carry(data, seconds)
            case Enter(seconds):
                return await self._enter(seconds)
            case Open(address, seconds):
                return await self.open(address, seconds)
            case Sleep(seconds):
                return await self.sleep(seconds)
        raise AssertionError(f"no step of ours: {step}")

    async def _enter(self, seconds: float) -> Callable[[], None]:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # The connections of a loop that is gone went with it.
            self._loop, self.pool.idle = loop, []
            self._places = asyncio.Semaphore(self._connections)
        places = self._places
        if places.locked():
            try:
                async with asyncio.timeout(seconds):
                    await places.acquire()
            except TimeoutError:
                raise TimeoutError("all connections of this client are in use") from None
        else:
            await places.acquire()
        return places.release

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def open(self, address: Address, seconds: float) -> "AwaitingStream":
        """Open a connection. Raises OSError."""
        context = self._ssl_context if address.is_tls else None
        async with asyncio.timeout(seconds):
            loop = asyncio.get_running_loop()
            _, stream = await loop.create_connection(LoopStream, address.host, address.port, ssl=context)
        return stream


class HeldLink:
    """A connection that is held by one who asks, for talks that are short and many.

    It asks once and waits: no pool, no second try. A failure closes it, and the next question opens it anew.
    """

    def __init__(self, talker: AwaitingTalker) -> None:
        self._talker = talker
        self._link: Link | None = None

    async def ask(self, commands: Sequence[bytes], take: Callable[[list[Reply]], None]) -> None:
        """Send commands, and hand on replies when they come, in order."""
        seconds = self._talker.pool.timeout_seconds
        link = self._link
        try:
            if link is None:
                link = self._link = await self._talker.run(open_link(self._talker.pool, time.monotonic() + seconds))
            connection, stream = link.connection, cast(AwaitingStream, link.stream)
            connection.send(*commands)
            while connection.unanswered:
                # The timeout is that of each piece: what is asked is answered in its order, and nothing takes as long.
                take(replies_in(link, await stream.carry(connection.take_outgoing(), seconds)))
        except BaseException:
            self._link = None
            if link is not None:
                link.stream.close()
            raise

    def close(self) -> None:
        """Say good-bye; idempotent."""
        if self._link is not None:
            self._link.close()
            self._link = None


class LoopStream(asyncio.Protocol):
    """A connection of the loop. asyncio's own streams cost a multiple of this."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self._ended = False
        self._answered_at = 0.0
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    # What the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by descent

    def data_received(self, data: bytes) -> None:
        """Bytes from the server."""
        self._received.append(data)
        self._wake()

    def eof_received(self) -> None:
        """The server sends no more."""
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._ended, self._failure = True, exc
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the talker calls

    async def carry(self, data: bytes, seconds: float) -> bytes:
        """Send, and return what comes back first. Raises TimeoutError and other OSErrors."""
        if data:
            self._transport.write(data)
        if not self._received and not self._ended:
            loop = asyncio.get_running_loop()
            waiter = self._waiter = loop.create_future()
            # A timer of our own: asyncio.timeout would cancel and catch around every reply.
            timer = loop.call_later(seconds, _time_out, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        if not self._received and self._failure is not None:
            raise self._failure
        received = b"".join(self._received)
        self._received.clear()
        self._answered_at = time.monotonic()
        return received

    def is_silent(self) -> bool:
        """Whether nothing has come in, an end neither."""
        if self._received or self._ended or self._transport.is_closing():
            return False
        if time.monotonic() - self._answered_at < TRUSTED_SECONDS:
            return True
        # The loop may not have looked since the server closed.
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self, farewell: bytes = b"") -> None:
        """Close; the farewell goes out first, but not over TLS: the loop may end before that has said its own."""
        if farewell and self._transport.get_extra_info("sslcontext") is None:
            self._transport.write(farewell)
            self._transport.close()
        else:
            self._transport.abort()


def _time_out(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError("the server did not answer in time"))
