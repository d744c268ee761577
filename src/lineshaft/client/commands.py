"""What a client can do: each verb written once, for the blocking and for the awaited kind (`client.verb`).

A command whose reply was lost is sent again where that does no harm. A push is not, since that could make two jobs of
one: its caller gets the error, and does not know whether it took effect. To push the same Job once more is then right
for jobs that may run twice, as all should.
"""

import os
import platform
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from lineshaft.client.bulk import push_chunks
from lineshaft.client.job import AnyJob, Job, Seconds, as_job, to_seconds
from lineshaft.client.lines import decoded, line, words
from lineshaft.client.records import JobFailed, Track
from lineshaft.client.talk import Pool, Sleep, Talk, ask
from lineshaft.client.url import Address, find_address, parse_url
from lineshaft.client.verb import Speaker, verb
from lineshaft.clock import Clock, format_instant, system_clock
from lineshaft.errors import Refusal, UsageError
from lineshaft.protocol.handshake import Hello
from lineshaft.protocol.resp import ErrorReply, Reply

__all__ = ["Commands", "Heard", "PushHook", "PushedCommands", "Pusher"]

R = TypeVar("R")

PushHook: TypeAlias = Callable[[Job[Any]], Job[Any]]
"""Sees every job that is about to be pushed, and returns it, changed or not; what it raises, the push raises."""

#: How often a job that somebody waits for is looked at.
_FIRST_LOOK_SECONDS: Final = 0.01
_LAST_LOOK_SECONDS: Final = 0.5


class Heard(msgspec.Struct, frozen=True):
    """What a BEAT was answered."""

    state: str | None = None  #: quiet or terminate: what the worker is to do
    cancelled: list[str] = []  #: jobs that it holds and is to stop


class Asker(Speaker):
    """Whoever sends commands, and asks about jobs."""

    def _command(self, command: bytes, *, again: bool) -> Talk[Reply]:
        (reply,) = yield from ask(self._pool, [command], again=again)
        if isinstance(reply, ErrorReply):
            raise reply.refusal()
        return reply

    def _track(self, jid: str) -> Talk[Track]:
        asked = b"TRACK GET " + words((jid,), "a jid to be tracked")
        track: Track = decoded((yield from self._command(asked, again=True)), Track)
        return track

    def _wait(self, jid: str, timeout: Seconds, result_type: Any) -> Talk[Any]:
        seconds_left, look = to_seconds(timeout), _FIRST_LOOK_SECONDS
        while True:
            track = yield from self._track(jid)
            if track.state == "success":
                return None if track.result is msgspec.UNSET else msgspec.convert(track.result, result_type)
            if track.state == "dead" or (track.cancelled and track.state != "working"):
                raise JobFailed(track)
            if seconds_left <= 0:
                hint = ": only what is pushed with track=True can be waited for" if track.state == "unknown" else ""
                raise TimeoutError(f"job {jid} is {track.state} after {to_seconds(timeout):g} s{hint}")
            look = min(look, seconds_left)
            yield Sleep(look)
            seconds_left -= look
            look = min(look * 1.5, _LAST_LOOK_SECONDS)

    def _cancel(self, jid: str) -> Talk[None]:
        yield from self._command(line(b"CANCEL", jid=jid), again=False)


class PushedCommands(Asker, Generic[R]):
    """A job that was pushed: what its producer can still do about it."""

    def __init__(self, talker: Any, jid: str, result_type: Any) -> None:
        self._talker = talker
        self._result_type = result_type
        self.jid = jid

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.jid}>"

    @verb
    def track_get(self) -> Talk[Track]:
        """Where it is, if it was pushed with `track` or left a result."""
        return (yield from self._track(self.jid))

    @verb
    def wait(self, timeout: Seconds) -> Talk[R]:
        """Wait until it has succeeded and return its result, as what the job function is declared to return.

        The job must have been pushed with `track`, or leave a result. Raises JobFailed when it is dead or cancelled,
        TimeoutError (a job that failed and is still to be retried is waited for), and msgspec.ValidationError for a
        result of another type.
        """
        result: R = yield from self._wait(self.jid, timeout, self._result_type)
        return result

    @verb
    def cancel(self) -> Talk[None]:
        """It is not to run any more: it is removed, or its worker is told. Refusal: there is no such job (any more)."""
        yield from self._cancel(self.jid)


class Pusher(Asker):
    """Whoever pushes jobs: a client, or a batch."""

    _clock: Clock
    _on_push: Sequence[PushHook]

    def _ready(self, job: AnyJob) -> Job[Any]:
        """The job as it is pushed, by way of all hooks."""
        ready = as_job(job)
        for hook in self._on_push:
            ready = hook(ready)
        return ready

    def _push(self, job: AnyJob) -> Talk[Job[Any]]:
        ready = self._ready(job)
        yield from self._command(b"PUSH " + ready.encode(self._clock()), again=False)
        return ready

    @verb
    def push_bulk(self, jobs: Iterable[AnyJob], *, chunk: int = 1000) -> Talk[dict[str, Refusal]]:
        """Push many jobs, `chunk` at a time (each is one commit); returns why each was refused that was, by jid.

        `jobs` may be a generator of any length: what is in memory is a few chunks. When the connection breaks half
        way, the error is raised, and jobs before that place are in.
        """
        now = self._clock()
        encoded = ((job.jid, job.encode(now)) for job in map(self._ready, jobs))
        return (yield from push_chunks(self._pool, encoded, chunk))


class Commands(Pusher):
    """All verbs of a client.

    Nothing is connected before the first call. `url` as in `client.url`; without it `environment` (the process's own
    by default) names the server, also not before the first call. `timeout_seconds` bounds each call (a FETCH may take
    2 s by nature). While no server is there it is tried again within that time, unless `reconnect` is False. At most
    `connections` are open at a time; a call for which none is free waits. With a `wid` the client belongs to that
    worker process, and `features` are the extensions that it understands. `on_push` sees every job before it is
    pushed. `ssl_context` is for servers whose certificate the system does not know.

    Every call may raise Refusal (the server said no; its `code` tells NOTUNIQUE from ERR), UsageError, PeerError (the
    server broke the protocol or closed the connection) or OSError, TimeoutError among them. The client can be used
    again after any of them.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 10,
        reconnect: bool = True,
        connections: int = 10,
        wid: str | None = None,
        labels: Sequence[str] | None = None,
        features: Sequence[str] = (),
        on_push: Sequence[PushHook] = (),
        ssl_context: ssl.SSLContext | None = None,
        clock: Clock = system_clock,
    ) -> None:
        given = None if url is None else parse_url(url)
        pool = Pool(
            lambda: given or find_address(None, os.environ if environment is None else environment),
            Hello(
                hostname=socket.gethostname(),
                wid=wid,
                pid=os.getpid(),
                labels=list(labels) if labels is not None else [f"python-{platform.python_version()}"],
                features=list(features) or None,
            ),
            timeout_seconds=timeout_seconds,
            reconnect=reconnect,
        )
        self._talker = self._new_talker(pool, connections, ssl_context)
        self._clock = clock
        self._on_push = on_push

    _new_talker: Callable[[Pool, int, ssl.SSLContext | None], Any]

    @property
    def address(self) -> Address:
        """The server. Raises UsageError when the environment names none that can be."""
        return self._pool.address

    # Jobs that were pushed

    @verb
    def track_get(self, jid: str) -> Talk[Track]:
        """Where a job is, if it was pushed with `track` or left a result."""
        return (yield from self._track(jid))

    @verb
    def track_set(
        self, jid: str, *, percent: int | None = None, desc: str | None = None, reserve: Seconds | None = None
    ) -> Talk[None]:
        """Say how far a job is, in numbers and in words, and ask for so much more time from now."""
        until = None if reserve is None else format_instant(self._clock() + round(to_seconds(reserve) * 1000))
        told = line(b"TRACK SET", jid=jid, percent=percent, desc=desc, reserve_until=until)
        yield from self._command(told, again=True)

    @verb
    def wait(self, jid: str, timeout: Seconds, result_type: Any = Any) -> Talk[Any]:
        """Wait until a job has succeeded and return its result, as `result_type`; None when it left none.

        The job must have been pushed with `track`, or leave a result. Raises JobFailed when it is dead or cancelled,
        TimeoutError (a job that failed and is still to be retried is waited for), and msgspec.ValidationError for a
        result of another type.
        """
        return (yield from self._wait(jid, timeout, result_type))

    @verb
    def cancel(self, jid: str) -> Talk[None]:
        """A job is not to run any more: it is removed, or its worker is told. Refusal: there is no such job."""
        yield from self._cancel(jid)

    # Workers

    @verb
    def fetch(self, *queues: str) -> Talk[dict[str, Any] | None]:
        """The next job of the first queue that has one; None when there was none for about two seconds.

        What JSON allows and Python cannot hold (1e999, 5,000 digits) is in there as `msgspec.Raw`.
        """
        reply = yield from self._command(b"FETCH " + words(queues) if queues else b"FETCH", again=True)
        job: dict[str, Any] | None = None if reply is None else decoded(reply, lenient=True)
        return job

    @verb
    def ack(self, jid: str, result: Any = None) -> Talk[None]:
        """A job is done; what it returned is kept for a while unless it is None."""
        yield from self._command(line(b"ACK", jid=jid, result=result), again=True)

    @verb
    def fail(
        self,
        jid: str,
        errtype: str,
        message: str,
        backtrace: Sequence[str] | None = None,
        *,
        retry_in: Seconds | None = None,
    ) -> Talk[None]:
        """A job failed; `retry_in` says when it is to be tried again, if it has a try left."""
        wait = None if retry_in is None else to_seconds(retry_in)
        failure = line(b"FAIL", jid=jid, errtype=errtype, message=message, backtrace=backtrace, retry_in=wait)
        yield from self._command(failure, again=False)

    @verb
    def requeue(self, jid: str, in_: Seconds | None = None) -> Talk[None]:
        """Give a job back: to the head of its queue, or to its tail when the time has passed. No retry is burned."""
        given = line(b"REQUEUE", jid=jid, **{"in": None if in_ is None else to_seconds(in_)})
        yield from self._command(given, again=False)

    @verb
    def beat(self, *, rss_kb: int | None = None, current_state: str | None = None) -> Talk[Heard]:
        """This worker process is alive. Raises UsageError when the client has no wid."""
        wid = self._pool.hello.wid
        if wid is None:
            raise UsageError("only a client with a wid has a heartbeat")
        beat = line(b"BEAT", wid=wid, rss_kb=rss_kb, current_state=current_state)
        reply = yield from self._command(beat, again=True)
        return decoded(reply, Heard) if isinstance(reply, bytes) else Heard()

    # Operators

    @verb
    def info(self) -> Talk[dict[str, Any]]:
        """What the server says of itself."""
        info: dict[str, Any] = decoded((yield from self._command(b"INFO", again=True)))
        return info

    @verb
    def flush(self) -> Talk[None]:
        """Remove all jobs, everywhere."""
        yield from self._command(b"FLUSH", again=False)

    @verb
    def queue(self, subcommand: str, *names: str) -> Talk[dict[str, float] | None]:
        """`pause`, `resume` or `remove` queues (`*` is all of them); `latency` returns the seconds by name."""
        again = subcommand.upper() != "REMOVE"
        reply = yield from self._command(b"QUEUE " + words((subcommand, *names)), again=again)
        latencies: dict[str, float] | None = decoded(reply) if isinstance(reply, bytes) else None
        return latencies

    @verb
    def mutate(
        self,
        cmd: str,
        target: str,
        *,
        jids: Sequence[str] | None = None,
        jobtype: str | None = None,
        regexp: str | None = None,
    ) -> Talk[None]:
        """Do `cmd` (clear, kill, discard, requeue) to the jobs of `target` (scheduled, retries, dead) that match.

        Without a filter these are all of them; an empty `jids` is none.
        """
        chosen = {"jids": jids, "jobtype": jobtype, "regexp": regexp}
        given = {key: value for key, value in chosen.items() if value is not None}
        yield from self._command(line(b"MUTATE", cmd=cmd, target=target, filter=given), again=False)

    # Anything

    @verb
    def command(self, command: bytes, *, again: bool = False) -> Talk[Reply]:
        """Send one command, without its line's end, and return the reply. Raises Refusal for an error."""
        return (yield from self._command(command, again=again))

    @verb
    def pipeline(self, lines: Sequence[bytes], *, again: bool = False) -> Talk[list[Reply]]:
        """Send commands without waiting in between; returns their replies in order, errors among them as values."""
        return (yield from ask(self._pool, lines, again=again))
