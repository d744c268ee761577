"""What an operator names, as many as there are: users, tokens, queues, throttles, periodic jobs.

Each is a table of its own under its name, or one of an array of tables, and its keys are written as in `model`. The
table around it has a field that is no key, where `tables` collects them by name:

    [auth.users.NAME]  [web.users.NAME]    AuthUser, WebUser    users
    [api.tokens.NAME]                      ApiToken             tokens
    [queues.NAME]  [throttles] NAME        Queue, Throttle      named
    [[cron]]  [cron.job]                   Cron, CronJob        `Config.cron`, in the order of the files
"""

import hashlib
from typing import Annotated, Any, Literal

from msgspec import Struct, field, json, structs

from lineshaft.config.amounts import Rate, duration, rate
from lineshaft.config.kinds import (
    Secret,
    backoff_rule,
    choice,
    count,
    entry_name,
    json_array,
    json_object,
    patterns,
    queue_name,
    schedule,
    secret,
    text,
    time_zone,
    whole,
    words,
)

__all__ = [
    "ApiToken",
    "AuthUser",
    "CatchUp",
    "Cron",
    "CronJob",
    "LaneOrder",
    "Queue",
    "Throttle",
    "WebRole",
    "WebUser",
]

WebRole = Literal["admin", "operator", "reader"]
LaneOrder = Literal["priority", "strict"]
CatchUp = Literal["skip", "once"]


class AuthUser(Struct, frozen=True):
    """`[auth.users.NAME]`: a program that may come to the port of producers and workers."""

    password: Annotated[Secret, secret()]  #: itself, not a hash: the handshake needs it
    may: Annotated[tuple[str, ...], words("push", "work", "admin")]
    queues: Annotated[tuple[str, ...], patterns()] = ("*",)


class WebUser(Struct, frozen=True):
    """`[web.users.NAME]`: somebody who may use the pages."""

    password: Annotated[Secret, secret()]  #: an argon2 hash, or the password itself
    role: Annotated[WebRole, choice("admin", "operator", "reader")] = "reader"


class ApiToken(Struct, frozen=True):
    """`[api.tokens.NAME]`: a program that may use the HTTP API."""

    token: Annotated[Secret, secret()]  #: the token itself, or `sha256:` and its digest
    scopes: Annotated[tuple[str, ...], words("push", "read", "admin")] = ("read",)


class Queue(Struct, frozen=True):
    """`[queues.NAME]`: the limits of one queue; None is none of its own."""

    max_jobs: Annotated[int | None, count()] = None
    backpressure: Annotated[int | None, count()] = None  #: the older name of max_jobs; never both
    reserve_for_seconds: Annotated[int | None, duration("60s", "86400s", unit_ms=1000)] = field(
        default=None, name="reserve_for"
    )
    backoff: Annotated[str | None, backoff_rule()] = None  #: for jobs that do not say themselves
    lane_by: Annotated[str | None, text()] = None  #: the key of `custom` that tells its lanes apart
    lane_concurrency: Annotated[int | None, count()] = None
    lane_order: Annotated[LaneOrder, choice("priority", "strict")] = "priority"
    lane_rate: Annotated[Rate | None, rate("1s", "30d")] = None

    @property
    def limit(self) -> int | None:
        """How many jobs the queue may hold, by whichever name it was given."""
        return self.max_jobs if self.max_jobs is not None else self.backpressure


class Throttle(Struct, frozen=True):
    """`[throttles] NAME = { ... }`: how many jobs of a queue may run, or begin; None is no limit of that kind."""

    concurrency: Annotated[int | None, count()] = None
    worker: Annotated[int | None, count()] = None
    timeout_ms: Annotated[int | None, duration("1s", "1d")] = field(default=None, name="timeout")
    #: A burst is as many, and a bucket counts in parts of a millisecond: this keeps it well inside 64 bits.
    rate: Annotated[int | None, whole(1, 1_000_000)] = None
    per_ms: Annotated[int | None, duration("100ms", "30d")] = field(default=None, name="per")


class CronJob(Struct, frozen=True):
    """`[cron.job]`: the job that a periodic job pushes."""

    jobtype: Annotated[str, text()] = field(name="type")
    queue: Annotated[str, queue_name()] = "default"
    args: Annotated[list[Any], json_array()] = []
    retry: Annotated[int, whole(-1, 2**31 - 1)] = 25
    priority: Annotated[int, whole(1, 9)] = 5
    reserve_for_seconds: Annotated[int | None, duration("60s", "86400s", unit_ms=1000)] = field(
        default=None, name="reserve_for"
    )
    backtrace: Annotated[int | None, whole(0, 2**31 - 1)] = None
    custom: Annotated[dict[str, Any] | None, json_object()] = None


class Cron(Struct, frozen=True):
    """`[[cron]]`: a job that the server pushes by itself, again and again."""

    job: CronJob  #: no key of a kind: `cron` reads the `[cron.job]` here
    schedule: Annotated[str, schedule()]
    tz: Annotated[str, time_zone()] = "UTC"
    #: What becomes of runs that were missed while the server was down.
    catch_up: Annotated[CatchUp, choice("skip", "once")] = "skip"
    name: Annotated[str | None, entry_name()] = None
    where: str = ""  #: no key: the file, and its place there, as messages begin

    @property
    def identity(self) -> str:
        """What tells it from the others, over reloads and restarts: its name, else a digest of when and what."""
        if self.name is not None:
            return self.name
        # What is as by default is left out, so that a key that is added to CronJob changes no digest.
        plain = structs.asdict(CronJob(self.job.jobtype))
        own = {key: value for key, value in structs.asdict(self.job).items() if value != plain[key]}
        content = json.encode([self.schedule, self.tz, self.job.jobtype, own], order="sorted")
        return hashlib.sha256(content).hexdigest()[:16]
