"""A conversation with a server as a generator: what is said, when it is said again, and no way to say it.

```
Commands ──> Talk ──steps──> a Talker: threads and sockets, or asyncio, or a test's server in memory
                  <─outcomes─
```

A `Talk` yields steps and is sent their outcomes; what a step raises is raised where it was yielded. So all rules
(pool, handshake, backoff, what may be sent twice) are written once here, and each kind of client is a loop of a dozen
lines around them. A step is something that waits; what does not wait is a plain call on the pool or the stream.

What is true after every talk, however it ended: its link is back in the pool with all commands answered, or closed.
"""

import random
import time
from collections.abc import Callable, Generator, Sequence
from functools import cached_property
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from lineshaft.client.url import Address
from lineshaft.errors import PeerError, Refusal, UsageError
from lineshaft.protocol.connection import Answered, ClientConnection, Closed, ConnectionState, check_command
from lineshaft.protocol.handshake import Hello
from lineshaft.protocol.resp import ErrorReply, Reply

__all__ = [
    "Carry",
    "Enter",
    "Link",
    "Open",
    "Pool",
    "Sleep",
    "Step",
    "Stream",
    "Talk",
    "ask",
    "open_link",
    "replies_in",
]

T = TypeVar("T")

#: The first wait before a server that does not answer is tried again; doubled each time, up to the last.
FIRST_PAUSE_SECONDS: Final = 0.05
LAST_PAUSE_SECONDS: Final = 5.0

#: What a server says that stops: it has not done what it was asked for.
_STOPPING: Final = "shutdown in progress"


class Stream(Protocol):
    """An open connection, as the talker that opened it carries bytes over it."""

    def close(self, farewell: bytes = b"") -> None:
        """Close now; the farewell is sent if that does not wait. Idempotent."""
        ...

    def is_silent(self) -> bool:
        """Whether the peer has neither closed nor spoken since the last step."""
        ...


class Enter(Struct, frozen=True):
    """Wait for a place among those who may have a connection. Outcome: a function that gives the place back."""

    seconds: float


class Open(Struct, frozen=True):
    """Open a connection. Outcome: a Stream."""

    address: Address
    seconds: float


class Carry(Struct, frozen=True):
    """Send bytes, and wait for some to come back. Outcome: these; none at the end of the stream."""

    stream: Stream
    data: bytes
    seconds: float


class Sleep(Struct, frozen=True):
    """Let time pass. Outcome: None."""

    seconds: float


Step: TypeAlias = Enter | Open | Carry | Sleep

Talk: TypeAlias = Generator[Step, Any, T]
"""Steps out, outcomes in, and a result at the end."""


class Link:
    """A stream, and what has been said on it."""

    __slots__ = ("connection", "stream")

    def __init__(self, stream: Stream, connection: ClientConnection) -> None:
        self.stream = stream
        self.connection = connection

    def close(self) -> None:
        """Say good-bye if that is possible."""
        if self.connection.state is ConnectionState.READY and not self.connection.unanswered:
            self.connection.end()
            self.stream.close(self.connection.take_outgoing())
        else:
            self.stream.close()


class Pool:
    """The links that nobody uses at the moment, and how to make one. How many there are at most, the talker knows."""

    def __init__(
        self, find_address: Callable[[], Address], hello: Hello, *, timeout_seconds: float, reconnect: bool
    ) -> None:
        self._find_address = find_address
        self.hello = hello
        self.timeout_seconds = timeout_seconds
        self.reconnect = reconnect
        # append and pop of a list are atomic: threads need no lock for it.
        self.idle: list[Link] = []
        self.closed = False

    @cached_property
    def address(self) -> Address:
        """Where the server is, looked up when it is first needed. Raises UsageError."""
        return self._find_address()

    def take_idle(self) -> Link | None:
        """The link that was used last, if one is there whose server has not closed it meanwhile."""
        while self.idle:
            try:
                link = self.idle.pop()
            except IndexError:  # another thread was faster
                return None
            if link.stream.is_silent():
                return link
            link.stream.close()
        return None

    def put_back(self, link: Link) -> None:
        """Keep a link on which all is answered for the next who asks."""
        if self.closed:
            link.close()
        else:
            self.idle.append(link)

    def close(self) -> None:
        """Close what is idle now, and what is in use when it comes back; nothing can be asked any more."""
        self.closed = True
        while self.idle:
            self.idle.pop().close()


class _Gone(PeerError):
    """The server has closed the connection, as one does that restarts."""


class _Attempt:
    """How far one try to ask has come."""

    sent = False


def ask(pool: Pool, commands: Sequence[bytes], *, again: bool, seconds: float | None = None) -> Talk[list[Reply]]:
    """Send commands, without their lines' ends, and return their replies in order, errors among them as values.

    While no server is there it is tried again, with backoff, until `seconds` (by default the pool's timeout) have
    passed. When the connection breaks before all replies are there, the commands are sent once more only if that
    does no harm: `again`. Raises UsageError, PeerError, Refusal (from the handshake) and OSError.
    """
    if pool.closed:
        raise UsageError("this client is closed")
    for command in commands:
        check_command(command)
    if not commands:
        return []
    until = time.monotonic() + (pool.timeout_seconds if seconds is None else seconds)
    pause = FIRST_PAUSE_SECONDS
    while True:
        attempt = _Attempt()
        try:
            return (yield from _ask_once(pool, commands, until, attempt))
        except (ConnectionError, PeerError, Refusal) as failure:
            # Spread out, since all clients of a server notice at once that it is gone.
            wait = pause * random.uniform(0.5, 1)
            if not _may_try_again(pool, failure, attempt, again) or time.monotonic() + wait >= until:
                raise
        yield Sleep(wait)
        pause = min(2 * pause, LAST_PAUSE_SECONDS)


def _may_try_again(pool: Pool, failure: Exception, attempt: _Attempt, again: bool) -> bool:
    if not pool.reconnect:
        return False
    if isinstance(failure, Refusal):
        return str(failure) == _STOPPING
    # What speaks nonsense, or wants TLS, will go on doing so.
    return isinstance(failure, ConnectionError | _Gone) and (again or not attempt.sent)


def _ask_once(pool: Pool, commands: Sequence[bytes], until: float, attempt: _Attempt) -> Talk[list[Reply]]:
    leave: Callable[[], None] = yield Enter(_left(until))
    link, whole = None, False
    try:
        link = pool.take_idle() or (yield from open_link(pool, until))
        link.connection.send(*commands)
        attempt.sent = True
        replies = yield from _converse(link, until)
        if all(isinstance(reply, ErrorReply) and reply.message == _STOPPING for reply in replies):
            raise Refusal(_STOPPING)
        whole = True
        return replies
    finally:
        if link is not None and whole:
            pool.put_back(link)
        elif link is not None:
            link.stream.close()
        leave()


def open_link(pool: Pool, until: float) -> Talk[Link]:
    """A new link, past its handshake."""
    address = pool.address
    hello = replace(pool.hello, username=address.username)
    try:
        stream: Stream = yield Open(address, _left(until))
    except OSError as failure:
        # "Connection refused" alone leaves everybody asking: to what?
        if failure.errno is not None and failure.filename is None:
            failure.filename = address.url
        raise
    link = Link(stream, ClientConnection(password=address.password, hello=hello))
    try:
        while link.connection.state is not ConnectionState.READY:
            data: bytes = yield Carry(stream, link.connection.take_outgoing(), _left(until))
            if not data and link.connection.state is ConnectionState.WAITING and not address.is_tls:
                # A TLS port waits for us to begin, while we wait for its greeting, until it has had enough.
                raise PeerError(
                    "the server closed the connection without a greeting: if it speaks TLS, its URL begins with"
                    " tcp+tls://"
                )
            replies_in(link, data)
    except BaseException:
        stream.close()
        raise
    return link


def _converse(link: Link, until: float) -> Talk[list[Reply]]:
    """Send what is to be sent, and take what comes until all is answered."""
    replies: list[Reply] = []
    while link.connection.unanswered:
        data: bytes = yield Carry(link.stream, link.connection.take_outgoing(), _left(until))
        replies += replies_in(link, data)
    return replies


def replies_in(link: Link, data: bytes) -> list[Reply]:
    """What bytes mean. Raises what ended the conversation."""
    events = link.connection.receive(data) if data else link.connection.receive_eof()
    replies = []
    for event in events:
        if isinstance(event, Closed):
            if event.error is None or not data:
                raise _Gone(str(event.error or "the server closed the connection"))
            raise event.error
        if isinstance(event, Answered):
            replies.append(event.reply)
    return replies


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the server did not answer in time")
    return left
