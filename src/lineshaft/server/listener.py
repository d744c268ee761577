"""The listener: asyncio carries bytes and sleeps; it decides nothing.

`Link` is the protocol object of one connection: its `data_received` *is* the session's `receive`. `AsyncShell` is
what the server asks of the world: the loop's next turn, a timer, and one thread for syncing.
"""

import asyncio
import logging
import resource
import socket
import ssl
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from lineshaft.errors import StoreError
from lineshaft.server.server import Server
from lineshaft.server.session import Session
from lineshaft.server.sync_thread import SyncThread
from lineshaft.store.port import Store

__all__ = ["AsyncShell", "Link", "listen", "raise_file_limit"]

log = logging.getLogger(__name__)

#: A client that takes longer to agree on TLS is no client; a plain one on a TLS port is told so by this.
TLS_HANDSHAKE_SECONDS = 3.0

#: A machine that loses its power or its network says nothing: an idle connection is asked for a sign of life after this
#: long, and, without one, closed a minute later.
KEEPALIVE_IDLE_SECONDS = 60
KEEPALIVE_EVERY_SECONDS = 15
KEEPALIVE_TRIES = 4

#: Unread replies beyond this stop a session until its peer reads.
WRITE_HIGH_WATER = 256 << 10


class AsyncShell:
    """The world as asyncio gives it. `server` is set once it exists."""

    server: Server

    def __init__(self, loop: asyncio.AbstractEventLoop, open_store: Callable[[], Store]) -> None:
        self.loop = loop
        self.open_store = open_store
        self.started = time.monotonic()
        #: Called after every sync: a good moment to look how full the disk is.
        self.after_sync: Callable[[], None] = lambda: None
        self._timer: asyncio.TimerHandle | None = None
        self._syncs = SyncThread(loop)
        self._apart = ThreadPoolExecutor(1, thread_name_prefix="apart")

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back after the events that are already here."""
        self.loop.call_soon(callback)

    def wake_in(self, milliseconds: int) -> None:
        """Call `Server.wake` in this time instead of when it was asked for before."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(milliseconds / 1000, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self.server.wake()

    def sync(self, store: Store) -> None:
        """Sync in the thread; `Server.synced` hears of it in the loop."""
        self._syncs.sync(store, self._synced)

    def _synced(self, store: Store, failure: Exception | None) -> None:
        if store is not self.server.store:
            # It was closed over another failure while this sync ran; nobody waits for it any more.
            return
        if failure is not None and not isinstance(failure, StoreError):
            failure = StoreError(str(failure))
        self.after_sync()
        self.server.synced(failure)

    def apart(self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]) -> None:
        """Do `work` in a thread of its own, one after the other; `done` hears of it in the loop."""

        def finished(future: "asyncio.Future[Any]") -> None:
            failure = future.exception()
            done(None if failure else future.result(), failure if isinstance(failure, Exception) else None)

        self.loop.run_in_executor(self._apart, work).add_done_callback(finished)

    def reopen(self, store: Store) -> Store:
        """Close a store that failed and open it again. Raises StoreError."""
        store.close()
        return self.open_store()

    def facts(self) -> dict[str, int]:
        """Seconds since the start, and the most memory that the process has had, in MB."""
        usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts it in bytes, Linux in kilobytes.
        usage_mb = usage >> 20 if sys.platform == "darwin" else usage >> 10
        return {"uptime": int(time.monotonic() - self.started), "used_memory_mb": usage_mb}

    def close(self) -> None:
        """Wait for the sync that runs, and stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
        self._syncs.close()

    def wait_apart(self) -> None:
        """Wait for what is done in another thread; a copy of the store ends when that is closed."""
        self._apart.shutdown(wait=True, cancel_futures=True)


class Link(asyncio.Protocol):
    """One connection between asyncio and its session."""

    session: Session | None = None
    encrypted = False

    def __init__(self, server: Server) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet; from here on bytes go straight to the session."""
        transport = cast(asyncio.Transport, transport)  # uvloop's are none by descent
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.encrypted = transport.get_extra_info("sslcontext") is not None
        session = self.session = self.server.accept(transport)
        if session is not None:
            self.data_received = session.receive  # type: ignore[method-assign]
            self.pause_writing = session.pause_writing  # type: ignore[method-assign]
            self.resume_writing = session.resume_writing  # type: ignore[method-assign]
            # A transport keeps the methods that it found on its protocol: let it look again.
            transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of a connection that was turned away."""

    def eof_received(self) -> bool:
        """The peer sends no more; it may still want its replies, which TLS cannot give it."""
        if self.session is not None:
            self.session.receive_eof()
        return self.session is not None and not self.encrypted

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """It is over."""
        session, self.session = self.session, None
        if session is not None:
            # The bound methods lead from the transport to the session and back: cut the circle.
            del self.data_received, self.pause_writing, self.resume_writing
            session.lost()


async def listen(server: Server, listening: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
    """Accept the connections that come to a bound socket."""
    loop = asyncio.get_running_loop()
    _keep_alive(listening)
    return await loop.create_server(
        lambda: Link(server),
        sock=listening,
        ssl=tls,
        ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS if tls else None,
        backlog=4096,
    )


def _keep_alive(listening: socket.socket) -> None:
    """Have the connections that come to a socket looked after by the system; they inherit what is set here."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_EVERY_SECONDS)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_TRIES)


def raise_file_limit(connections: int) -> int:
    """Let the process have enough open files for so many connections; returns how many it may have now."""
    wanted = connections + 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft
