"""Forwarding: a standby carries its clients' bytes to the leader and back, and closes them when leadership moves.

```
client ── Inlet ═══ bytes ═══ Outlet ── the leader's port
```

It understands nothing of what it carries, TLS included: the certificate that clients see is the leader's. Each side is
read only as fast as the other takes it. A client that comes while nobody leads is kept waiting for a moment, since
most often a leader is just being found; then it is told, and closed, and will try again as after any network error.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final, cast

from lineshaft.errors import Refusal
from lineshaft.protocol.resp import error

__all__ = ["Forwarder", "Where"]

log = logging.getLogger(__name__)

#: How long a client waits for a leader.
PATIENCE_SECONDS: Final = 5.0
#: The leader is a machine in the same network.
CONNECT_SECONDS: Final = 2.0
#: What may wait on one side before the other is read no more.
HIGH_WATER_BYTES: Final = 256 << 10

NOBODY: Final = error(Refusal("nobody leads the cluster at the moment: try again"))

Where = tuple[str, int]
"""Host and port."""


class Forwarder:
    """All connections that this node forwards."""

    def __init__(self) -> None:
        self.leader: Where | None = None
        self._changed = asyncio.Event()
        self._inlets: set[Inlet] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._inlets)

    def point_to(self, leader: Where | None) -> None:
        """The leader is another one, or nobody: close what goes to the one before."""
        self.leader = leader
        for inlet in list(self._inlets):
            if inlet.is_through:
                inlet.close()
        if leader is not None:
            self._changed.set()
        else:
            self._changed.clear()

    def close_all(self) -> None:
        """This node serves clients by itself now, or stops."""
        for inlet in list(self._inlets):
            inlet.close()

    def link(self) -> "Inlet":
        """What asyncio makes for a connection that comes in."""
        return Inlet(self)

    def opened(self, inlet: "Inlet") -> None:
        """A client has come: reach the leader."""
        self._inlets.add(inlet)
        task = asyncio.create_task(self._reach(inlet))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, inlet: "Inlet") -> None:
        """A client has gone."""
        self._inlets.discard(inlet)

    async def _reach(self, inlet: "Inlet") -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_SECONDS
        while not inlet.is_closed and loop.time() < until:
            try:
                await asyncio.wait_for(self._changed.wait(), until - loop.time())
                where = self.leader
                if where is None:
                    continue
                outlet = Outlet(inlet)
                await asyncio.wait_for(loop.create_connection(lambda: outlet, *where), CONNECT_SECONDS)  # noqa: B023
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)
                continue
            if where != self.leader:
                outlet.close()
                continue
            inlet.connected(outlet)
            return
        inlet.refuse()


class Side(asyncio.Protocol):
    """One of the two connections; `other` is where its bytes go."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Side | None = None
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open, and read once the other is, too."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        """Bytes for the other side."""
        self._let_other(lambda transport: transport.write(data))

    def eof_received(self) -> bool:
        """No more comes from here; what comes back may still matter."""
        if not self.is_other_there():
            return False
        self._let_other(lambda transport: transport.write_eof())
        return True

    def pause_writing(self) -> None:
        """This side does not take what it is sent."""
        self._let_other(lambda transport: transport.pause_reading())

    def resume_writing(self) -> None:
        """It takes it again."""
        self._let_other(lambda transport: transport.resume_reading())

    def _let_other(self, do: Callable[[asyncio.Transport], None]) -> None:
        if self.is_other_there():
            assert self.other is not None
            assert self.other.transport is not None
            do(self.other.transport)

    def is_other_there(self) -> bool:
        """Whether the other side is open, and not about to close."""
        other = self.other
        return other is not None and other.transport is not None and not other.transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """It is over, for both."""
        self.is_closed = True
        if self.other is not None:
            self.other.close()

    def close(self) -> None:
        """Close this side when all is sent."""
        if self.transport is not None and not self.is_closed:
            self.transport.close()


class Outlet(Side):
    """The way on to the leader."""

    def __init__(self, inlet: "Inlet") -> None:
        super().__init__()
        self.other = inlet


class Inlet(Side):
    """A client's connection."""

    def __init__(self, forwarder: Forwarder) -> None:
        super().__init__()
        self._forwarder = forwarder
        #: What came before the leader was reached; uvloop reads on over a pause that is asked for while it opens.
        self._early = b""

    @property
    def is_through(self) -> bool:
        """Whether it has reached a leader."""
        return self.other is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come. The leader speaks first, so nothing is read until it is reached."""
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._forwarder.opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes for the leader, kept until it is reached."""
        if self.other is None:
            self._early += data
            assert self.transport is not None
            self.transport.pause_reading()
        else:
            super().data_received(data)

    def connected(self, outlet: Outlet) -> None:
        """The leader is reached."""
        if self.is_closed:
            outlet.close()
            return
        self.other = outlet
        assert self.transport is not None
        if self._early:
            super().data_received(self._early)
            self._early = b""
        self.transport.resume_reading()

    def refuse(self) -> None:
        """Nobody leads: say so."""
        if self.transport is not None and not self.is_closed:
            self.transport.write(NOBODY)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        super().connection_lost(exc)
        self._forwarder.closed(self)
