"""A job while it runs, as its function, the middleware and the logs see it: `this_job()`."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

from msgspec import Raw, Struct

from lineshaft.client.job import Seconds, to_seconds
from lineshaft.clock import Clock, format_instant, system_clock
from lineshaft.errors import UsageError
from lineshaft.worker.outcome import Interrupted

__all__ = ["Fetched", "RunningJob", "current_job", "this_job"]

#: As the protocol has it (docs/protocol.md, "The job").
_DEFAULT_RETRY: Final = 25

Tell = Callable[[dict[str, Any]], None]
"""Takes what a job says about itself: the members of a TRACK SET. Does not wait."""


class Failure(Struct, frozen=True):
    """What earlier tries have left."""

    retry_count: int = 0
    message: str = ""
    errtype: str = ""


class Fetched(Struct, frozen=True):
    """A job as a server hands it out; what is not in here, no worker needs."""

    jid: str
    jobtype: str
    args: Raw
    queue: str = "default"
    retry: int | None = None
    reserve_for: int | None = None
    created_at: str = ""
    enqueued_at: str = ""
    failure: Failure | None = None
    custom: dict[str, Any] | None = None


class RunningJob:
    """One run of a job."""

    __slots__ = ("__weakref__", "_clock", "_interrupt", "fetched", "interrupted", "tell")

    def __init__(self, fetched: Fetched, tell: Tell, clock: Clock = system_clock) -> None:
        self.fetched = fetched
        self.tell = tell
        self._clock = clock
        #: Why it is to stop, once it is.
        self.interrupted: str | None = None
        self._interrupt: Callable[[str], None] | None = None

    @property
    def jid(self) -> str:
        """Its id."""
        return self.fetched.jid

    @property
    def jobtype(self) -> str:
        """Its type."""
        return self.fetched.jobtype

    @property
    def queue(self) -> str:
        """The queue that it came from."""
        return self.fetched.queue

    @property
    def custom(self) -> dict[str, Any]:
        """What travels with it."""
        return self.fetched.custom or {}

    @property
    def bid(self) -> str | None:
        """The batch that it belongs to: `client.open_batch(bid)` adds jobs to it."""
        bid = self.custom.get("bid")
        return bid if isinstance(bid, str) else None

    @property
    def attempt(self) -> int:
        """1 the first time, 2 the second ..."""
        failure = self.fetched.failure
        return 1 if failure is None else failure.retry_count + 2

    @property
    def is_last_attempt(self) -> bool:
        """Whether it is not tried again when it fails now."""
        retry = _DEFAULT_RETRY if self.fetched.retry is None else self.fetched.retry
        return self.attempt > retry

    def progress(self, percent: int | None = None, desc: str | None = None) -> None:
        """Say how far it is, in numbers and in words, to those who ask (`track`). Does not wait."""
        self._track(percent=percent, desc=desc)

    def extend(self, time: Seconds) -> None:
        """Ask for more time: the job stays reserved for as long from now, a day at most. Does not wait."""
        self._track(reserve_until=format_instant(self._clock() + round(to_seconds(time) * 1000)))

    def _track(self, **told: Any) -> None:
        self.tell({"jid": self.jid, **{key: value for key, value in told.items() if value is not None}})

    def check(self) -> None:
        """Raise Interrupted when the job is to stop: for long loops that nothing else can interrupt."""
        if self.interrupted is not None:
            raise Interrupted(self.interrupted)

    def interrupt(self, reason: str) -> None:
        """Have it stop, once: its time is up, it was cancelled, or its worker stops."""
        if self.interrupted is None:
            self.interrupted = reason
            if self._interrupt is not None:
                self._interrupt(reason)

    def on_interrupt(self, stop: Callable[[str], None] | None) -> None:
        """How it is stopped from now on, which depends on where it runs."""
        self._interrupt = stop
        if stop is not None and self.interrupted is not None:
            stop(self.interrupted)


current_job: Final[ContextVar[RunningJob | None]] = ContextVar("current_job", default=None)


def this_job() -> RunningJob:
    """The job that runs here. Raises UsageError outside of any."""
    job = current_job.get()
    if job is None:
        raise UsageError("no job runs here")
    return job
