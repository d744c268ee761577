"""A session: one connection's conversation, as a synchronous object. Bytes in, replies out, no socket in sight.

```
greeted ──HELLO──> ready ──FETCH finds nothing──> blocked ──a job, or 2 s──> ready ──END──> closing
                     └──MUTATE, BACKUP go on─────────┘
```

A blocked session does nothing: the lines that arrive meanwhile wait in its backlog, since replies are owed in
order. It is also blocked while its peer does not read what it was sent, and while the store asks for a pause. When
the backlog has grown past a bound, the transport is asked to stop reading, so a peer can make neither grow.

What is true after every call: each command has one reply in `out`, or in a held chunk, or on the wire, in the
order of the commands; or the session is blocked and the command that blocks it will have its reply.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from lineshaft.engine.workers import Worker
from lineshaft.errors import PeerError, Refusal, StoreError
from lineshaft.protocol.framing import LineBuffer
from lineshaft.protocol.resp import error
from lineshaft.server.meter import MASK
from lineshaft.server.shell import Transport

if TYPE_CHECKING:
    from lineshaft.server.commands import Verb
    from lineshaft.server.rights import Rights
    from lineshaft.server.server import Server

__all__ = ["ALL_TURN_BYTES", "NO_FETCH", "TURN_BYTES", "Session"]

log = logging.getLogger(__name__)

#: A blocked session reads on until it has this much in its backlog, so as to notice that its peer has gone.
BACKLOG_BYTES: Final = 64 << 10

#: What no FETCH has for its argument, since a line ends once; the empty one must be refused.
NO_FETCH: Final = b"\n\n"

#: A HELLO is short, and who sends it is not known yet.
HELLO_BYTES: Final = 64 << 10

#: Within one turn a session is sent no more than this (and one reply): pipelined FETCHes wait for the next turn.
TURN_BYTES: Final = 1 << 20

#: And all sessions together no more than this (and one reply each): others wait for as long as a turn takes.
ALL_TURN_BYTES: Final = 4 << 20


class Session:
    """One connection, from its greeting to its end."""

    __slots__ = (
        "__weakref__",
        "backlog",
        "blocked",
        "choked",
        "chore",
        "closed",
        "closing",
        "copying",
        "durable",
        "ended",
        "fetch_argument",
        "fetch_names",
        "fetch_order",
        "held",
        "holder",
        "learns_cancels",
        "lines",
        "out",
        "parked",
        "parked_until",
        "place",
        "reading",
        "rights",
        "salt",
        "server",
        "transport",
        "unfinished",
        "unflushed",
        "unread",
        "unsent",
        "verbs",
        "waiting_bytes",
        "worker",
        "write",
    )

    def __init__(self, server: "Server", transport: Transport, number: int) -> None:
        self.server = server
        self.transport = transport
        self.write = transport.write
        # Who it is. Without a wid the connection itself is the holder of what it fetches; no wid starts like this.
        self.holder = f"\0{number}"
        self.worker: Worker | None = None
        self.salt: str | None = None
        #: What it may do; None is everything.
        self.rights: Rights | None = None
        #: It said in its HELLO that it understands which jobs it is to stop.
        self.learns_cancels = False
        # What has come in.
        self.lines = LineBuffer(HELLO_BYTES)
        #: How much of an unfinished line is counted in the server's total.
        self.unfinished = 0
        self.verbs = server.handshake_verbs
        self.backlog: list[bytes] = []
        #: How many bytes that is, an unfinished line that followed among them.
        self.waiting_bytes = 0
        self.reading = True
        #: The last FETCH's argument and the names in it: nearly every FETCH of a session is the same.
        self.fetch_argument = NO_FETCH
        self.fetch_names: list[str] = []
        #: The same names as the engine is to try them: that list, or what gives them in a random order.
        self.fetch_order: Iterable[str] = self.fetch_names
        # What goes out.
        self.out: list[bytes] = []
        self.unsent = 0
        #: One of the replies in `out` promises something that must be on disk first.
        self.durable = False
        self.held = 0
        # Why it does nothing at the moment; `blocked` is any of these.
        self.blocked = False
        self.parked: list[str] | None = None
        self.parked_until = self.place = 0
        self.chore: int | None = None
        #: It waits for its BACKUP.
        self.copying = False
        self.choked = self.unread = False
        #: Large replies that were handed to the transport and may not have left it.
        self.unflushed: list[bytes] = []
        # Its end.
        #: The peer sends no more: close when its commands are answered.
        self.ended = False
        self.closing = False
        self.closed = False

    def receive(self, data: bytes) -> None:
        """Bytes from the peer."""
        server = self.server
        if self.blocked or self.backlog or server.stalled:
            self._keep_for_later(data)
            return
        if not server.turn_scheduled:
            server.open_turn()
        lines = self.lines
        if data.find(b"\n") == len(data) - 1 <= lines.limit_bytes and not lines.rest:
            # One complete line and no more: nearly every call. Its end stays on, which costs less than to cut it off.
            self._execute(data)
            return
        complete = lines.feed(data)
        self._run(complete)
        self._look_at_the_rest(complete)

    def _keep_for_later(self, data: bytes) -> None:
        complete = self.lines.feed(data)
        self.backlog += complete
        self.waiting_bytes += len(data)
        if self.waiting_bytes > BACKLOG_BYTES:
            self._read(False)
        self._look_at_the_rest(complete)

    def _look_at_the_rest(self, complete: list[bytes]) -> None:
        if self.unfinished or not complete:
            self._count_unfinished()
        if self.lines.overflowed and not (self.backlog or self.blocked):
            self._overflow()

    def _count_unfinished(self) -> None:
        """Keep the server's count of what it holds in lines that have no end yet."""
        pending = self.lines.pending_bytes
        self.server.unfinished += pending - self.unfinished
        self.unfinished = pending
        is_too_much = self.server.unfinished > self.server.settings.unfinished_bytes
        if is_too_much and self.blocked:
            # An error now would pass for the reply that it waits for.
            self._read(False)
        elif is_too_much:
            self.reply(error(Refusal("the server holds too many unfinished lines: try again later")))
            self.close()

    def receive_eof(self) -> None:
        """The peer sends no more: a last line without its newline still counts, then the session closes."""
        last = self.lines.close()
        if last is not None:
            self.receive(last + b"\n")
        if self.parked is not None:
            # Nobody is there any more to take a job.
            self.server.waiters.remove(self)
            self.close()
        elif self.blocked or self.backlog:
            self.ended = True
        else:
            self.close()

    def _run(self, lines: list[bytes]) -> None:
        ahead = iter(lines)
        for line in ahead:
            self._execute(line)
            if self.blocked:
                self.backlog = [] if self.closing else list(ahead)
                # A line counts for more than its letters: empty ones take room too.
                self.waiting_bytes = sum(map(len, self.backlog)) + len(self.backlog)
                return

    def _execute(self, line: bytes) -> None:
        """Carry out one command. A turn is open, so that its reply goes out when that ends.

        The line may still have its end. To an argument it is white space, and all of them may have that behind them.
        """
        verb, space, argument = line.partition(b" ")
        try:
            # A verb that ends in a space has an empty argument, and one without has none: FETCH cares.
            command = self.verbs.get(verb)
            if command is None:
                verb, command = self._look_up(verb)
            meter = self.server.meter
            meter[verb] = said = meter[verb] + 1
            reply = (command if said & MASK != 1 else meter.timed(verb, command))(self, argument or space)
        except Refusal as refusal:
            self.durable = self.durable or refusal.reveals
            reply = error(refusal)
        except Exception as failure:  # the boundary of a session
            reply = self._failed(failure, verb)
        if reply is not None:
            out = self.out
            if not out:
                self.server.talking.append(self)
            out.append(reply)

    def _look_up(self, said: bytes) -> tuple[bytes, "Verb"]:
        """A verb that is not in the table as it stands on its line, where its end may be on it. Raises what it is."""
        verb = said.removesuffix(b"\n").removesuffix(b"\r")
        command = self.verbs.get(verb)
        if command is None:
            raise self.server.refuse(self, verb)
        return verb, command

    def _failed(self, failure: Exception, verb: bytes) -> bytes | None:
        """A command failed in another way than by a refusal; returns what to answer."""
        if isinstance(failure, PeerError):
            self.close()
            return error(Refusal(str(failure))) if str(failure) else None
        if isinstance(failure, StoreError):
            # This is replaced, with every other reply that the failure concerns.
            self.reply(error(Refusal(f"storage failed: {failure}")))
            self.server.store_failed(failure)
            return None
        log.error("internal error in %s", verb.decode(errors="replace")[:50], exc_info=failure)
        return error(Refusal("internal error: it is in the server's log"))

    def reply(self, data: bytes) -> None:
        """Answer the command at hand; goes out when the turn ends, or, if it is durable, with its sync."""
        if not self.out:
            self.server.talk(self)
        self.out.append(data)

    def hand_over(self, data: bytes) -> None:
        """Answer the command that blocks the session, and go on with what has arrived meanwhile."""
        self.chore = None
        self.reply(data)
        self.server.resume(self)

    def count_unsent(self, size: int) -> None:
        """Count what it is sent in this turn; beyond its share, or that of all, its commands wait for the next."""
        self.unsent += size
        self.server.unsent += size
        if self.unsent > TURN_BYTES or self.server.unsent > ALL_TURN_BYTES:
            self.choked = self.blocked = True

    def sent(self) -> None:
        """The turn's replies are on their way."""
        self.unsent = 0
        if self.choked:
            self.choked = False
            self.server.resume(self)

    def note_unflushed(self, replies: list[bytes]) -> None:
        """Keep what may not have left the transport yet: the last replies, as many bytes as it holds."""
        waiting = self.transport.get_write_buffer_size()
        self.unflushed += replies
        for kept in range(len(self.unflushed), -1, -1):
            if waiting <= 0 or kept == 0:
                del self.unflushed[:kept]
                return
            waiting -= len(self.unflushed[kept - 1])

    def pause_writing(self) -> None:
        """The peer does not read what it was sent: it gets no more until it does."""
        self.unread = self.blocked = True

    def resume_writing(self) -> None:
        """The peer reads again."""
        self.unread = False
        self.unflushed = []
        self.server.resume(self)

    def go_on(self) -> None:
        """Take up the backlog, if nothing blocks any more."""
        waits = self.parked is not None or self.chore is not None or self.copying
        self.blocked = waits or self.choked or self.unread or self.closing or self.closed
        if self.blocked:
            return
        lines, self.backlog, self.waiting_bytes = self.backlog, [], 0
        if lines:
            self._run(lines)
        if self.ended and not self.blocked:
            self.close()
        if self.lines.overflowed and not (self.backlog or self.blocked):
            self._overflow()
        if not self.blocked:
            self._read(True)

    def _read(self, reading: bool) -> None:
        if reading is not self.reading and not self.closed:
            self.reading = reading
            (self.transport.resume_reading if reading else self.transport.pause_reading)()

    def _overflow(self) -> None:
        if not self.closing:
            self.reply(error(Refusal(f"line too long: the limit is {self.lines.limit_bytes} bytes")))
            self.close()

    def close(self) -> None:
        """Close when all replies are out."""
        if not self.closing:
            self.closing = self.blocked = True
            if not self.out:
                self.server.talk(self)

    def abort(self) -> None:
        """Close now: what it is still owed goes nowhere, and a job among that returns to its queue."""
        self.closed = self.blocked = True
        self.transport.abort()

    def lost(self) -> None:
        """The connection has gone."""
        self.closed = self.blocked = True
        self.server.unfinished -= self.unfinished
        self.unfinished = 0
        self.backlog = []
        self.server.lost(self)
