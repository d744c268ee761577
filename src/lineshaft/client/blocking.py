"""The talker of threads: sockets that block. Any number of threads may share one; after a fork it begins anew."""

import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar, cast

from lineshaft.client.talk import Carry, Enter, Open, Pool, Sleep, Step, Stream, Talk
from lineshaft.client.url import Address

__all__ = ["BlockingStream", "BlockingTalker", "SocketStream"]

T = TypeVar("T")

RECEIVE_BYTES: Final = 256 << 10


class BlockingStream(Stream, Protocol):
    """What this talker can carry bytes over."""

    def carry(self, data: bytes, seconds: float) -> bytes:
        """Send, and return what comes back first. Raises TimeoutError and other OSErrors."""
        ...


class BlockingTalker:
    """Runs talks in the thread that asks for it; at most `connections` at a time have a connection."""

    def __init__(self, pool: Pool, connections: int, ssl_context: ssl.SSLContext | None) -> None:
        self.pool = pool
        self._connections = connections
        self._given_ssl_context = ssl_context
        self._renew()

    def _renew(self) -> None:
        """Begin without connections. Those that a fork left belong to the parent, and are closed without a word."""
        self._process = os.getpid()
        self._places = threading.BoundedSemaphore(self._connections)
        idle, self.pool.idle = self.pool.idle, []
        for link in idle:
            link.stream.close()

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        """Made once: to read the system's certificates takes longer than a handshake."""
        return self._given_ssl_context or ssl.create_default_context()

    def run(self, talk: Talk[T]) -> T:
        """Carry out a talk and return its result, or raise what it raises."""
        try:
            step = next(talk)
            while True:
                try:
                    outcome = self._perform(step)
                except BaseException as failure:
                    step = talk.throw(failure)
                else:
                    step = talk.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def _perform(self, step: Step) -> Any:
        match step:
            case Carry(stream, data, seconds):
                return cast("BlockingStream", stream).carry(data, seconds)
            case Enter(seconds):
                return self._enter(seconds)
            case Open(address, seconds):
                return self.open(address, seconds)
            case Sleep(seconds):
                return self.sleep(seconds)
        raise AssertionError(f"no step of ours: {step}")

    def _enter(self, seconds: float) -> Callable[[], None]:
        if self._process != os.getpid():
            self._renew()
        if not self._places.acquire(timeout=seconds):
            raise TimeoutError("all connections of this client are in use")
        return self._places.release

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def open(self, address: Address, seconds: float) -> "BlockingStream":
        """Open a connection. Raises OSError."""
        plain = socket.create_connection((address.host, address.port), seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not address.is_tls:
            return SocketStream(plain)
        try:
            return SocketStream(self._ssl_context.wrap_socket(plain, server_hostname=address.host))
        except BaseException:
            plain.close()
            raise


class SocketStream:
    """A socket. It reads while it writes, so neither side ever waits for the other to read first."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._unsent = b""
        connected.setblocking(False)

    def carry(self, data: bytes, seconds: float) -> bytes:
        """Send, and return what comes back first. Raises TimeoutError and other OSErrors."""
        self._unsent += data
        until = time.monotonic() + seconds
        while True:
            # What TLS wants to wait for need not be what we want to do.
            reads = self._send()
            received, writes = self._receive()
            if received is not None:
                return received
            self._wait(writes or (bool(self._unsent) and not reads), until - time.monotonic())

    def _send(self) -> bool:
        """Send what goes without waiting; True when TLS must read before it can."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except ssl.SSLWantReadError:
            return True
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        return False

    def _receive(self) -> tuple[bytes | None, bool]:
        """What is there (None: nothing yet), and whether TLS must write before it can tell."""
        try:
            return self._socket.recv(RECEIVE_BYTES), False
        except ssl.SSLWantWriteError:
            return None, True
        except (BlockingIOError, ssl.SSLWantReadError):
            return None, False

    def _wait(self, writes: bool, seconds: float) -> None:
        # Not select(): it cannot look at a descriptor above 1,023.
        poll = select.poll()
        poll.register(self._socket, select.POLLIN | (select.POLLOUT if writes else 0))
        if seconds <= 0 or not poll.poll(seconds * 1000):
            raise TimeoutError("the server did not answer in time")

    def is_silent(self) -> bool:
        """Whether nothing has come in, an end neither."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def __del__(self) -> None:
        # A client that nobody closed is no leak: its connections go with it.
        self._socket.close()

    def close(self, farewell: bytes = b"") -> None:
        """Close; the farewell goes out if the socket takes it at once."""
        if self._socket.fileno() >= 0:
            with suppress(OSError):
                if farewell:
                    self._socket.send(farewell)
        self._socket.close()
