"""The blocking client: a socket, and a `ClientConnection` that knows the protocol.

What is true after every call that returned: all commands sent have been answered, so the next reply belongs to the
next command. A call that raised anything but Refusal or UsageError has closed the client, since a late reply would be
taken for the answer to something else; whether its commands took effect is then unknown.
"""

import os
import platform
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

import msgspec

from lineshaft.client.url import Address, find_address
from lineshaft.errors import PeerError, UsageError
from lineshaft.protocol.connection import Answered, ClientConnection, Closed, ConnectionState, Event, check_command
from lineshaft.protocol.handshake import Hello
from lineshaft.protocol.resp import ErrorReply, Reply

__all__ = ["Client"]

#: Pipelined commands go out in portions that the sockets' buffers hold, and each portion is answered before the next
#: is sent. Otherwise both sides could come to wait for the other to read.
PORTION_BYTES: Final = 32 << 10

RECEIVE_BYTES: Final = 256 << 10


class Client:
    """One connection to a server, opened at once. A context manager; not for use by two threads at a time.

    `url` as in `client.url`; without it `environment` (the process's own by default) names the server.
    `timeout_seconds` bounds opening the connection, and then each call (a FETCH may take 2 s by nature); when it has
    passed, TimeoutError is raised. With a `wid` the client belongs to that worker process. `ssl_context` is for
    servers whose certificate the system does not know.

    Every call may raise Refusal (the server said no; its `code` tells NOTUNIQUE from ERR), UsageError, PeerError (the
    server broke the protocol or closed the connection) or OSError.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 10,
        wid: str | None = None,
        labels: Sequence[str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.address = find_address(url, os.environ if environment is None else environment)
        self.wid = wid
        self._timeout_seconds = timeout_seconds
        self._connection = ClientConnection(
            password=self.address.password,
            hello=Hello(
                hostname=socket.gethostname(),
                wid=wid,
                pid=os.getpid(),
                labels=list(labels) if labels is not None else [f"python-{platform.python_version()}"],
                username=self.address.username,
            ),
        )
        deadline = time.monotonic() + timeout_seconds
        self._socket = _open(self.address, timeout_seconds, ssl_context)
        try:
            self._talk(deadline, lambda: self._connection.state is ConnectionState.READY)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say good-bye and close; idempotent."""
        if self._socket.fileno() < 0:
            return
        with suppress(OSError, UsageError):
            self._connection.end()
            self._socket.settimeout(self._timeout_seconds)
            self._socket.sendall(self._connection.take_outgoing())
        self._socket.close()

    # Producers

    def push(self, job: Mapping[str, Any]) -> str:
        """Push a job and return its jid, which is made up when it has none; the job is safe when this returns."""
        job = _with_jid(job)
        self.command(b"PUSH " + msgspec.json.encode(job))
        return str(job["jid"])

    def push_bulk(self, jobs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Push many jobs at once; returns the error of each that was refused, by jid: empty when all went in."""
        refused: dict[str, str] = self._command_json(b"PUSHB " + msgspec.json.encode([_with_jid(job) for job in jobs]))
        return refused

    # Workers

    def fetch(self, *queues: str) -> dict[str, Any] | None:
        """The next job of the first queue that has one; None when there was none for about two seconds."""
        reply = self.command(b"FETCH " + _names(queues) if queues else b"FETCH")
        job: dict[str, Any] | None = None if reply is None else _decoded(reply)
        return job

    def ack(self, jid: str) -> None:
        """A job is done."""
        self.command(b"ACK " + msgspec.json.encode({"jid": jid}))

    def fail(self, jid: str, errtype: str, message: str, backtrace: Sequence[str] | None = None) -> None:
        """A job failed."""
        failure = {"jid": jid, "errtype": errtype, "message": message, "backtrace": backtrace}
        self.command(
            b"FAIL " + msgspec.json.encode({key: value for key, value in failure.items() if value is not None})
        )

    def beat(self, *, rss_kb: int | None = None, current_state: str | None = None) -> str | None:
        """This worker process is alive. Returns `quiet` or `terminate` when it shall do so, else None.

        Raises UsageError when the client has no wid.
        """
        if self.wid is None:
            raise UsageError("only a client with a wid has a heartbeat")
        message = {"wid": self.wid, "rss_kb": rss_kb, "current_state": current_state}
        told = {key: value for key, value in message.items() if value is not None}
        reply = self.command(b"BEAT " + msgspec.json.encode(told))
        if not isinstance(reply, bytes):
            return None
        state = _decoded(reply)
        return str(state["state"]) if isinstance(state, dict) and state.get("state") else None

    # Operators

    def info(self) -> dict[str, Any]:
        """What the server says of itself."""
        info: dict[str, Any] = self._command_json(b"INFO")
        return info

    def flush(self) -> None:
        """Remove all jobs, everywhere."""
        self.command(b"FLUSH")

    def queue(self, subcommand: str, *names: str) -> dict[str, float] | None:
        """`pause`, `resume` or `remove` queues (`*` is all of them); `latency` returns the seconds by name."""
        reply = self.command(b"QUEUE " + _names((subcommand, *names)))
        latencies: dict[str, float] | None = _decoded(reply) if isinstance(reply, bytes) else None
        return latencies

    def mutate(
        self,
        cmd: str,
        target: str,
        *,
        jids: Sequence[str] | None = None,
        jobtype: str | None = None,
        regexp: str | None = None,
    ) -> None:
        """Do `cmd` (clear, kill, discard, requeue) to the jobs of `target` (scheduled, retries, dead) that match.

        Without a filter these are all of them; an empty `jids` is none.
        """
        chosen = {"jids": jids, "jobtype": jobtype, "regexp": regexp}
        given = {key: value for key, value in chosen.items() if value is not None}
        self.command(b"MUTATE " + msgspec.json.encode({"cmd": cmd, "target": target, "filter": given}))

    # Anything

    def command(self, line: bytes) -> Reply:
        """Send one command, without its line's end, and return the reply. Raises Refusal for an error."""
        (reply,) = self.pipeline([line])
        if isinstance(reply, ErrorReply):
            raise reply.refusal()
        return reply

    def pipeline(self, lines: Sequence[bytes]) -> list[Reply]:
        """Send commands without waiting in between; returns their replies in order, errors among them as values."""
        if self._socket.fileno() < 0:
            raise UsageError("this client is closed")
        for line in lines:
            check_command(line)
        deadline = time.monotonic() + self._timeout_seconds
        replies: list[Reply] = []
        try:
            for portion in _portions(lines):
                for line in portion:
                    self._connection.send(line)
                events = self._talk(deadline, lambda: self._connection.unanswered == 0)
                replies += [event.reply for event in events if isinstance(event, Answered)]
        except BaseException:
            if self._connection.unanswered:
                self._socket.close()
            raise
        return replies

    def _command_json(self, line: bytes) -> Any:
        return _decoded(self.command(line))

    def _talk(self, deadline: float, is_done: Callable[[], bool]) -> list[Event]:
        """Send what is to be sent and take what comes, until it is done. Raises what ended the conversation."""
        events: list[Event] = []
        while True:
            self._send(deadline)
            if is_done():
                return events
            self._socket.settimeout(_left(deadline))
            data = self._socket.recv(RECEIVE_BYTES)
            if not data and self._connection.state is ConnectionState.WAITING and not self.address.is_tls:
                # A TLS port waits for us to begin, while we wait for its greeting, until it has had enough.
                raise PeerError(
                    "the server closed the connection without a greeting: if it speaks TLS, its URL begins with"
                    " tcp+tls://"
                )
            news = self._connection.receive(data) if data else self._connection.receive_eof()
            for event in news:
                if isinstance(event, Closed):
                    self._socket.close()
                    raise event.error or PeerError("the server closed the connection")
            events += news

    def _send(self, deadline: float) -> None:
        outgoing = self._connection.take_outgoing()
        if outgoing:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(outgoing)


def _open(address: Address, timeout_seconds: float, ssl_context: ssl.SSLContext | None) -> socket.socket:
    plain = socket.create_connection((address.host, address.port), timeout_seconds)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not address.is_tls:
        return plain
    try:
        context = ssl_context or ssl.create_default_context()
        return context.wrap_socket(plain, server_hostname=address.host)
    except BaseException:
        plain.close()
        raise


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the server did not answer in time")
    return left


def _portions(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    portion: list[bytes] = []
    size = 0
    for line in lines:
        if portion and size + len(line) > PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(line)
        size += len(line)
    if portion:
        yield portion


def _with_jid(job: Mapping[str, Any]) -> Mapping[str, Any]:
    return job if job.get("jid") else {**job, "jid": secrets.token_hex(12)}


def _names(names: Sequence[str]) -> bytes:
    for name in names:
        if not name or name.split() != [name]:
            raise UsageError(f"a queue's name has no spaces in it, and is not empty: {name!r}")
    return " ".join(names).encode()


def _decoded(reply: Reply) -> Any:
    try:
        return msgspec.json.decode(reply if isinstance(reply, bytes) else b"")
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise PeerError(f"the server's reply is not the JSON that it should be: {error}") from None
