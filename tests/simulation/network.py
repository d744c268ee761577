"""The simulated network: connections whose bytes come late, in pieces, slowly, or not at all.

```
client ──send──> on their way ──> incoming (while the server does not read) ──> Session.receive
client <──────── on their way <── kernel (bounded) <── buffer (counted by flow control) <── write
```

A connection ends in one of these ways: the server closes it when all is sent; either side resets it, and what is on its
way is lost in whole or in part; the client closes its half; or the client is gone and the server is not told, for long
or for ever.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from lineshaft.server.session import Session
from simulation.world import SECOND, World

__all__ = ["Host", "Link", "Piece", "User"]

#: What the kernel takes of replies that the client has not read.
KERNEL_BYTES = 4096
#: Beyond this in the buffer the session is told to stop; asyncio's limit is higher, and only slower to reach.
HIGH_WATER = 2048


class Piece(NamedTuple):
    """Bytes to a client: what they are, how many commits there were when they were written, and their number."""

    data: bytes
    position: int
    number: int


class Host(Protocol):
    """The process at the server's end."""

    @property
    def links(self) -> "list[Link]":
        """The connections that it has."""

    @property
    def is_awake(self) -> bool:
        """Whether it runs; a process that is stopped reads nothing."""

    def accept(self, link: "Link") -> Session | None:
        """A connection opened."""

    def soon(self, callback: Callable[[], None]) -> None:
        """As its loop's call_soon."""


class User(Protocol):
    """The client at the end of a link."""

    def hear(self, piece: Piece) -> None:
        """Bytes have come."""

    def disconnected(self) -> None:
        """The connection is gone."""


class Link:
    """One connection: towards the server a transport, towards the client a socket."""

    def __init__(self, world: World, user: User, *, latency: int, slowness: int = 0) -> None:
        self.world = world
        self.user = user
        #: Microseconds for a piece at most; each piece takes its own time, and none overtakes another.
        self.latency = latency
        #: Microseconds that the client takes to read a piece.
        self.slowness = slowness
        # Towards the server.
        self.host: Host
        self.session: Session | None = None
        self.incoming: deque[bytes] = deque()
        self.reading = True
        self.half_closed = False
        self._arrives_at = 0
        # Towards the client.
        self.buffer: deque[Piece] = deque()
        self.kernel: deque[Piece] = deque()
        self.paused = False
        self._reading_piece = False
        # Its end.
        #: The server has closed it, or lost it.
        self.closing = False
        #: The network has given it up, and the server hears of it in a moment; what it writes meanwhile is lost.
        self.broken = False
        #: The server can do nothing more with what came over it.
        self.finished = False
        #: The client has given it up, or knows that it is gone.
        self.left = False

    def open(self) -> bool:
        """Connect; False when nobody listens."""
        host = self.world.reach(self)
        if host is None:
            return False
        self.host = host
        self.session = host.accept(self)
        host.links.append(self)
        return True

    # The transport

    def write(self, data: bytes) -> None:
        """Send, as far as the kernel takes it."""
        assert not self.finished, "written to after it was lost"
        if self.broken:
            return
        assert not self.closing, "written to after it was closed"
        self.world.writes += 1
        piece = Piece(data, self.world.position, self.world.writes)
        self.buffer.append(piece)
        self._fill_kernel()
        if not self.paused and self.get_write_buffer_size() > HIGH_WATER and self.session is not None:
            self.paused = True
            self.session.pause_writing()
        self._let_client_read()

    def _fill_kernel(self) -> None:
        """Let the kernel have what it takes: what fits, and at least one piece."""
        held = sum(len(one.data) for one in self.kernel)
        while self.buffer and (not held or held + len(self.buffer[0].data) <= KERNEL_BYTES):
            piece = self.buffer.popleft()
            held += len(piece.data)
            self.kernel.append(piece)

    def get_write_buffer_size(self) -> int:
        """What the kernel has not taken."""
        return sum(len(piece.data) for piece in self.buffer)

    def close(self) -> None:
        """The server closes; what is in the buffer goes out first."""
        if not self.closing:
            self.closing = True
            if not self.buffer:
                self.host.soon(self._lose)

    def abort(self) -> None:
        """The server resets it."""
        self.closing = True
        self.buffer.clear()
        self.host.soon(self._lose)

    def pause_reading(self) -> None:
        """The client's bytes wait."""
        self.reading = False

    def resume_reading(self) -> None:
        """The client's bytes are read again."""
        self.reading = True
        self.host.soon(self._receive)

    def _lose(self) -> None:
        """The server hears that it is over."""
        if self.finished:
            return
        self.closing = self.finished = True
        self.buffer.clear()
        self.incoming.clear()
        if self in self.host.links:
            self.host.links.remove(self)
        if self.session is not None:
            self.session.lost()
        self.world.later(self.world.chance.randint(0, self.latency), self._tell_client)

    # Towards the server

    def send(self, data: bytes) -> None:
        """The client sends; what it sends may arrive in pieces."""
        chance = self.world.chance
        while data:
            cut = len(data) if chance.random() < 0.8 else chance.randint(1, len(data))
            piece, data = data[:cut], data[cut:]
            self._carry(lambda piece=piece: self._arrive(piece))  # type: ignore[misc]

    def _carry(self, arrive: Callable[[], None]) -> None:
        self._arrives_at = max(self._arrives_at, self.world.time + self.world.chance.randint(0, self.latency))
        at = self._arrives_at
        # A moment later each, so that none overtakes another.
        self._arrives_at += 1
        self.world.later(at - self.world.time, arrive)

    def _arrive(self, piece: bytes) -> None:
        if not self.finished:
            self.incoming.append(piece)
            self._receive()

    def _receive(self) -> None:
        if not self.host.is_awake:
            self.host.soon(self._receive)
            return
        while self.incoming and self.reading and not self.closing:
            piece = self.incoming.popleft()
            if self.session is not None:
                self.session.receive(piece)
        if self.half_closed and not self.incoming and not self.closing:
            self.half_closed = False
            if self.session is not None:
                self.session.receive_eof()

    # Towards the client

    def _let_client_read(self) -> None:
        if not self._reading_piece and self.kernel and not self.left:
            self._reading_piece = True
            delay = self.world.chance.randint(0, self.latency) + self.slowness
            self.world.later(delay, self._client_reads)

    def _client_reads(self) -> None:
        self._reading_piece = False
        if self.left or not self.kernel:
            return
        piece = self.kernel.popleft()
        self._fill_kernel()
        if self.paused and not self.buffer and not self.finished and self.session is not None:
            self.paused = False
            if self.host.is_awake:
                self.session.resume_writing()
            else:
                self.host.soon(self.session.resume_writing)
        if self.closing and not self.buffer and not self.finished:
            self.host.soon(self._lose)
        self._let_client_read()
        self.user.hear(piece)

    def _tell_client(self) -> None:
        if self.left:
            return
        if self.kernel:
            self.world.later(self.latency + self.slowness + 1, self._tell_client)
            return
        self.left = True
        self.user.disconnected()

    # Ends

    def reset(self) -> None:
        """It breaks: both sides hear of it, the server perhaps later; pieces on their way arrive or do not."""
        if self.left:
            return
        chance = self.world.chance
        self.kernel.clear()
        self.left = True
        if chance.random() < 0.3:
            self.half_open()
        else:
            self._carry(self._break)
        self.user.disconnected()

    def half_open(self) -> None:
        """The client is gone without a word; the server hears of it when the network gives up, minutes later."""
        self.left = True
        self.world.later(self.world.chance.choice([SECOND, 60 * SECOND, 900 * SECOND]), self._break)

    def half_close(self) -> None:
        """The client sends no more, but reads on."""
        self._carry(self._close_half)

    def _close_half(self) -> None:
        self.half_closed = True
        self._receive()

    def _break(self) -> None:
        if not self.finished:
            self.buffer.clear()
            self.closing = self.broken = True
            self.host.soon(self._lose)

    def server_died(self) -> None:
        """The process at the other end is no more."""
        self.closing = self.finished = True
        self.buffer.clear()
        self.incoming.clear()
        self.world.later(self.world.chance.randint(0, self.latency), self._tell_client)
