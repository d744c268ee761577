"""A job as a producer sees it: an immutable value, made in one place and pushed in another.

>>> job = job_of("send_mail", 42).using(queue="mail", in_=60, unique_for=3600)
>>> job.queue, job.custom
('mail', {'unique_for': 3600})

What the server understands of `custom` (docs/protocol.md) has an option of its own; everything else in there is yours.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Literal, TypeAlias, TypedDict, TypeVar, Unpack

from msgspec import Struct
from msgspec import json as msgspec_json
from msgspec.structs import replace

from lineshaft.clock import format_instant
from lineshaft.errors import UsageError

__all__ = ["AnyJob", "Job", "Options", "Seconds", "Treatment", "as_job", "job_of", "new_jid", "to_seconds"]

R_co = TypeVar("R_co", covariant=True)

Seconds: TypeAlias = float | timedelta
"""A time that passes: seconds, or a timedelta."""


class Treatment(TypedDict, total=False):
    """How jobs of a kind are to be treated."""

    queue: str
    priority: int  #: 1 to 9, 9 first
    retry: int  #: how often it is tried again; 0 drops it when it fails, -1 lets it die
    backoff: str  #: how long it waits before it is tried again: "fixed:30", "linear:60", "exponential:2:5:3600"
    reserve_for: Seconds  #: how long a worker may take before the server gives the job to another
    backtrace: int  #: lines of backtrace that are kept when it fails
    unique_for: Seconds  #: no other job of this type, queue and arguments for as long
    unique_until: Literal["success", "start"]
    expires_in: Seconds  #: how long it is worth running
    track: bool  #: whether its state can be asked for
    custom: Mapping[str, Any]  #: more to travel with it; added to what is there


class Options(Treatment, total=False):
    """How one job is to be treated."""

    jid: str  #: its id; made up when it is not given
    at: datetime | str  #: when it is to run: an aware datetime, or RFC 3339
    in_: Seconds  #: how long from the push until it is to run
    expires_at: datetime | str


#: Options that are fields of the job, and those that stand in its `custom`; the rest is treated on its own.
_PLAIN: Final = frozenset({"jid", "queue", "priority", "retry", "backtrace"})
_CUSTOM: Final = frozenset({"unique_for", "unique_until", "expires_in", "backoff"})


class Job(Struct, Generic[R_co], frozen=True):
    """What is to be done, with which arguments, and how to treat it. Make one with a job function, or `job_of`."""

    fields: Mapping[str, Any]  #: as the protocol has them; not to be changed
    delay_ms: int | None = None  #: from the push until it is to run
    result_type: Any = Any  #: what the function is declared to return

    @property
    def jid(self) -> str:
        """Its id. Two pushes of one Job are two jobs of one jid."""
        return str(self.fields["jid"])

    @property
    def jobtype(self) -> str:
        """Its type, by which a worker finds the code."""
        return str(self.fields["jobtype"])

    @property
    def queue(self) -> str:
        """The queue that it is pushed to."""
        return str(self.fields.get("queue") or "default")

    @property
    def custom(self) -> Mapping[str, Any]:
        """What travels with it."""
        custom: Mapping[str, Any] = self.fields.get("custom") or {}
        return custom

    def using(self, **options: Unpack[Options]) -> "Job[R_co]":
        """The same job with other options. Raises UsageError."""
        fields, custom = dict(self.fields), dict(self.custom)
        delay_ms = self.delay_ms
        value: Any
        for name, value in options.items():
            if name in _PLAIN:
                fields[name] = value
            elif name in _CUSTOM:
                custom[name] = to_seconds(value) if isinstance(value, timedelta) else value
            elif name == "in_":
                delay_ms = round(to_seconds(value) * 1000)
                fields.pop("at", None)
            elif name == "at":
                fields["at"], delay_ms = _instant(name, value), None
            elif name == "expires_at":
                custom[name] = _instant(name, value)
            elif name == "reserve_for":
                fields[name] = round(to_seconds(value))
            elif name == "track":
                custom[name] = 1 if value else 0
            elif name == "custom":
                custom.update(value)
            else:
                raise UsageError(f"no such option: {name}")
        if custom:
            fields["custom"] = custom
        return replace(self, fields=fields, delay_ms=delay_ms)

    def encode(self, now: int) -> bytes:
        """The job as it is pushed at this instant. Raises UsageError for what JSON cannot hold."""
        fields = self.fields if isinstance(self.fields, dict) else dict(self.fields)
        if self.delay_ms is not None:
            fields = {**fields, "at": format_instant(now + self.delay_ms)}
        try:
            return msgspec_json.encode(fields)
        except (TypeError, ValueError, RecursionError) as error:
            raise UsageError(f"{self.jobtype} cannot be written as JSON: {error}") from None


AnyJob: TypeAlias = Job[Any] | Mapping[str, Any]
"""A Job, or the object that the protocol has for it, with or without a jid."""


def as_job(job: AnyJob) -> Job[Any]:
    """The same as a Job, with a jid."""
    if isinstance(job, Job):
        return job
    return Job(job if job.get("jid") else {**job, "jid": new_jid()})


def new_jid() -> str:
    """A random id for a job."""
    return secrets.token_hex(12)


def job_of(jobtype: str, *args: Any) -> Job[Any]:
    """A job of a type whose code lies elsewhere, in another program or language."""
    return Job({"jid": new_jid(), "jobtype": jobtype, "args": args})


def to_seconds(time: Seconds) -> float:
    """Raises UsageError for what is no time, or below 0."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise UsageError(f"a time is a number of seconds from 0, or a timedelta, not {time!r}")
    return seconds


def _instant(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, datetime):
        raise UsageError(f"{name} is a datetime, or RFC 3339, not {value!r}")
    if value.tzinfo is None:
        raise UsageError(f"{name} needs a time zone: datetime.now(UTC) has one, datetime.now() has none")
    return value.isoformat()
