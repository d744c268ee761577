"""Connection: how many there may be to the pages, and how long one may keep its place without using it.

uvicorn speaks HTTP on it. It has a limit of its own, which counts in the same way, but refuses the requests of those
who were there before as well. Here they go on, and one that is one too many may ask for the server's health, once, so
that whoever restarts what does not answer leaves alone a server that is only much asked.

A place is lost by whoever does not ask (ASK_SECONDS), or does not read what is sent (READ_SECONDS).
"""

import asyncio
from functools import partial
from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lineshaft.web.access.security import OPEN_PATHS

__all__ = ["ASK_SECONDS", "READ_SECONDS", "Connection"]

#: A request is to be here with all its headers so long after the connection began, or after the last answer.
ASK_SECONDS: Final = 10
#: The same for one that is one too many.
EXTRA_SECONDS: Final = 1
#: So long may what was sent wait for its reader, when it is more than the kernel and 64 KiB take.
READ_SECONDS: Final = 60


class Connection(H11Protocol):
    """A connection to the pages."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It is open, or too many are."""
        super().connection_made(transport)
        most, self.limit_concurrency = self.limit_concurrency, None
        self.is_extra = most is not None and len(self.connections) > most
        if self.is_extra:
            self.connections.discard(self)
            self.app = partial(_health_alone, self.app)
        self.unread: asyncio.TimerHandle | None = None
        self.patience = self.loop.call_later(EXTRA_SECONDS if self.is_extra else ASK_SECONDS, self._look)

    def on_response_complete(self) -> None:
        """A request was answered."""
        self.patience.cancel()
        self.patience = self.loop.call_later(ASK_SECONDS, self._look)
        if self.is_extra:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Too much is on its way to the other end."""
        super().pause_writing()
        self.unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads again."""
        if self.unread is not None:
            self.unread.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self.patience.cancel()
        if self.unread is not None:
            self.unread.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """End it, unless a request of it is being answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            return
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            # Closed as it is, it would wait for its reader.
            self.transport.abort()
        else:
            self.transport.close()


async def _health_alone(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """What is said on a connection that is one too many."""
    if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
        headers = {"Retry-After": "5", "Connection": "close"}
        app = PlainTextResponse("too many connections to this server: try again later\n", 503, headers)
    await app(scope, receive, send)
