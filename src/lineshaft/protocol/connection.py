"""The client's side of a conversation, without I/O: bytes in, events out, and never a question of what is legal.

    WAITING ──greeted──> INTRODUCED ──accepted──> READY ──end──> ENDING
       └──────────────refused, lost────┴─────────────┴──────────────┴──> CLOSED

Blocking, asyncio and pooled clients are written on top of it: they carry bytes, and hold no rules of the protocol.

What is true after every call: each command that was sent has had its `Answered`, or is counted in `unanswered`, or
the connection is closed, and then `Closed` has said why. Whether a command without its answer took effect is unknown.
"""

from collections import deque
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from lineshaft.errors import LineshaftError, PeerError, UsageError
from lineshaft.protocol.handshake import VERSION, Hello, hello_line, parse_greeting, password_hash
from lineshaft.protocol.resp import ErrorReply, Reply, ReplyParser

__all__ = [
    "MOVES",
    "Answered",
    "ClientConnection",
    "Closed",
    "ConnectionState",
    "Event",
    "Happening",
    "Ready",
    "check_command",
]


class ConnectionState(StrEnum):
    """Where a conversation stands."""

    WAITING = "waiting"  #: for the server's greeting
    INTRODUCED = "introduced"  #: HELLO is sent
    READY = "ready"
    ENDING = "ending"  #: END is sent; answers to what came before may still arrive
    CLOSED = "closed"


class Happening(StrEnum):
    """What moves a conversation."""

    GREETED = "greeted"
    ACCEPTED = "accepted"
    COMMAND = "command"
    REPLY = "reply"
    END = "end"
    LOST = "lost"  #: refused, broken, or at its end


MOVES: Final[dict[tuple[ConnectionState, Happening], ConnectionState]] = {
    (ConnectionState.WAITING, Happening.GREETED): ConnectionState.INTRODUCED,
    (ConnectionState.WAITING, Happening.LOST): ConnectionState.CLOSED,
    (ConnectionState.INTRODUCED, Happening.ACCEPTED): ConnectionState.READY,
    (ConnectionState.INTRODUCED, Happening.LOST): ConnectionState.CLOSED,
    (ConnectionState.READY, Happening.COMMAND): ConnectionState.READY,
    (ConnectionState.READY, Happening.REPLY): ConnectionState.READY,
    (ConnectionState.READY, Happening.END): ConnectionState.ENDING,
    (ConnectionState.READY, Happening.LOST): ConnectionState.CLOSED,
    (ConnectionState.ENDING, Happening.REPLY): ConnectionState.ENDING,
    (ConnectionState.ENDING, Happening.LOST): ConnectionState.CLOSED,
}
"""From a state, by what happens, to the next state; what is not in here is not legal."""


class Ready(Struct, frozen=True):
    """The server has accepted us: commands may be sent."""


class Answered(Struct, frozen=True):
    """A command has its answer; commands are answered in the order in which they were sent."""

    command: bytes
    reply: Reply


class Closed(Struct, frozen=True):
    """The conversation is over: None if that was asked for, else why. It is the last event of all."""

    error: LineshaftError | None


Event: TypeAlias = Ready | Answered | Closed


def check_command(command: bytes) -> None:
    """Raises UsageError for what is more than one line: the rest of it would be taken for another command."""
    if b"\n" in command or b"\r" in command:
        raise UsageError("a command is one line: it cannot hold a line break")


class ClientConnection:
    """One conversation with a server, from its greeting to the end.

    `hello` says who we are; its version and password hash are filled in here.
    """

    def __init__(self, *, password: str | None = None, hello: Hello | None = None) -> None:
        # Who we are.
        self._password = password
        self._hello = hello or Hello()
        # Where the conversation stands.
        self.state = ConnectionState.WAITING
        self._sent: deque[bytes] = deque()
        # What comes in and goes out.
        self._replies = ReplyParser()
        self._outgoing: list[bytes] = []

    @property
    def unanswered(self) -> int:
        """How many commands wait for their answer."""
        return len(self._sent)

    def send(self, *commands: bytes) -> None:
        """Put commands, without their lines' ends, among what goes out next.

        Raises UsageError, and sends none, before `Ready`, after `end` or `Closed`, or when one is more than a line.
        """
        for command in commands:
            check_command(command)
        self._move(Happening.COMMAND)
        self._sent += commands
        self._outgoing += [command + b"\r\n" for command in commands]

    def end(self) -> None:
        """Say good-bye; the server closes when all is answered. Raises UsageError unless the connection is ready."""
        self._move(Happening.END)
        self._outgoing.append(b"END\r\n")

    def take_outgoing(self) -> bytes:
        """The bytes that must be sent now; they are forgotten here. Ask after every other call."""
        outgoing = b"".join(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the server and return what they mean; nothing after `Closed`."""
        events: list[Event] = []
        if self.state is ConnectionState.CLOSED:
            return events
        try:
            for reply in self._replies.feed(data):
                if self.state is ConnectionState.READY and self._sent:
                    # As `_take` does it, for nearly all that ever comes.
                    events.append(Answered(self._sent.popleft(), reply))
                else:
                    self._take(reply, events)
            if self._replies.failure is not None:
                raise self._replies.failure
        except LineshaftError as error:
            events.append(self._lose(error))
        return events

    def receive_eof(self) -> list[Event]:
        """The server sends no more: as it should after `end`, otherwise the conversation is lost."""
        if self.state is ConnectionState.CLOSED:
            return []
        if self.state is ConnectionState.ENDING and not self._sent:
            return [self._lose(None)]
        return [self._lose(PeerError(f"the server closed the connection: {self.unanswered} commands unanswered"))]

    def _take(self, reply: Reply, events: list[Event]) -> None:
        """One reply, in the light of where the conversation stands. Raises what ends it."""
        if self.state is ConnectionState.WAITING:
            self._greet(reply)
        elif self.state is ConnectionState.INTRODUCED:
            self._accept(reply)
            events.append(Ready())
        elif self._sent:
            self._move(Happening.REPLY)
            events.append(Answered(self._sent.popleft(), reply))
        else:
            raise PeerError(f"the server spoke without being asked: {str(reply)[:100]}")

    def _greet(self, reply: Reply) -> None:
        if isinstance(reply, ErrorReply):
            raise reply.refusal()
        greeting = parse_greeting(reply if isinstance(reply, str) else "")
        pwdhash = None
        if greeting.s is not None:
            if self._password is None:
                raise UsageError("the server asks for a password, and none was given")
            pwdhash = password_hash(self._password, greeting.s, greeting.i)
        self._move(Happening.GREETED)
        self._outgoing.append(hello_line(replace(self._hello, v=VERSION, pwdhash=pwdhash)))

    def _accept(self, reply: Reply) -> None:
        if isinstance(reply, ErrorReply):
            raise reply.refusal()
        if reply != "OK":
            raise PeerError(f"the server answers HELLO with {str(reply)[:50]!r}")
        self._move(Happening.ACCEPTED)

    def _lose(self, error: LineshaftError | None) -> Closed:
        self._move(Happening.LOST)
        self._outgoing.clear()
        return Closed(error)

    def _move(self, happening: Happening) -> None:
        state = MOVES.get((self.state, happening))
        if state is None:
            raise UsageError(f"the connection is {self.state}: no {happening} now")
        self.state = state
