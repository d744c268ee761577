"""What the API takes and gives: the records from which its documentation is generated, too.

Instants are RFC 3339 in UTC; what is absent is null. `args`, `custom` and results are the JSON that was sent.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from lineshaft.engine.search.filter import MOST_TEXT, Filter
from lineshaft.web.lists.rows import filter_of

__all__ = [
    "BatchOut",
    "BatchesOut",
    "BulkIn",
    "BulkOut",
    "FailureOut",
    "FilterIn",
    "HeldOut",
    "Jid",
    "JobOut",
    "JobsOut",
    "LaneOut",
    "LanesOut",
    "LeaseOut",
    "Made",
    "OverviewOut",
    "PeriodicOut",
    "PushIn",
    "PushedOut",
    "QueueOut",
    "QueuesOut",
    "RescheduleIn",
    "Stamp",
    "WorkerOut",
    "WorkersOut",
]

Jid = Annotated[str, Meta(min_length=8, max_length=512)]

Stamp = Annotated[str, Meta(description="RFC 3339, UTC")]

_MS = Meta(ge=0, le=2**53, description="milliseconds since 1970")
Bound = Annotated[int, _MS] | Annotated[str, Meta(min_length=1, max_length=40, description="RFC 3339")]


class OverviewOut(Struct):
    """The figures of the whole server."""

    now: Stamp
    processed: int
    failed: int
    expired: int
    queues: int
    enqueued: int
    busy: int
    workers: int
    scheduled: int
    retries: int
    dead: int
    finished: int
    next_retry: Stamp | None
    push_refusal: str | None


class QueueOut(Struct):
    """A queue."""

    name: str
    size: int
    paused: bool
    latency_seconds: float
    pushed: int
    processed: int
    failed: int
    max_jobs: int | None
    created_at: Stamp


class QueuesOut(Struct):
    """Some queues, in the order of their names."""

    queues: list[QueueOut]
    next: Annotated[str, Meta(description="pass it as `after`; empty at the end")]


class LaneOut(Struct):
    """A lane of a queue."""

    name: str
    waiting: int
    running: int
    state: Literal["ready", "held", "full", "rate", "empty"]
    wakes_at: Annotated[Stamp | None, Meta(description="when a lane in the state `rate` is looked at again")]


class LanesOut(Struct):
    """Some lanes of a queue, shorter names first; a name is the JSON of the value."""

    by: Annotated[str, Meta(description="the key of `custom` by which lanes are told apart")]
    count: int
    running: Annotated[int, Meta(description="lanes of which a job runs")]
    lanes: list[LaneOut]
    next: Annotated[str, Meta(description="pass it as `after`; empty at the end")]


class FailureOut(Struct):
    """What the last failure left on a job."""

    errtype: str
    message: str
    retry_count: int
    remaining: int
    failed_at: Annotated[Stamp, Meta(description="when it failed first")]
    next_at: Stamp | None
    backtrace: list[str] | None
    worker: Annotated[str, Meta(description="the wid of who had it; empty where that is not known")]


class LeaseOut(Struct):
    """Who has a job in hand."""

    worker: Annotated[str, Meta(description="the wid; empty for a connection without one")]
    since: Stamp
    until: Stamp
    cancelled: bool


class JobOut(Struct):
    """A live job, and where it is."""

    jid: str
    jobtype: str
    queue: str
    place: Literal["ready", "leased", "scheduled", "retries", "dead"]
    due: Annotated[Stamp | None, Meta(description="of a timed set; of a dead job, when it died")]
    priority: int
    retry: int | None
    created_at: Stamp | None
    enqueued_at: Stamp | None
    args: Any
    custom: Any
    failure: FailureOut | None
    lease: LeaseOut | None


class JobsOut(Struct):
    """Some jobs of a place."""

    jobs: list[JobOut]
    next: Annotated[str, Meta(description="pass it as `cursor`; empty at the end")]
    looked_at: Annotated[int, Meta(description="how many were looked at to find these")]
    total: Annotated[int, Meta(description="how many jobs there are in that place, whether they match or not")]
    unreadable: Annotated[int, Meta(description="how many of those that were looked at cannot be read")] = 0


class Made(Struct):
    """It is on disk."""

    jid: str


class PushIn(Struct):
    """A job; a jid is made up where there is none. The other fields are those of the protocol."""

    jobtype: Annotated[str, Meta(min_length=1)]
    args: list[Any]
    jid: Annotated[str, Meta(max_length=512)] = ""
    queue: Annotated[str, Meta(pattern="^[a-zA-Z0-9._-]*$", max_length=255)] = "default"
    at: Stamp = ""
    retry: Annotated[int, Meta(ge=-1, le=2**31 - 1)] = 25
    reserve_for: Annotated[int, Meta(ge=0, le=86400)] = 0
    priority: Annotated[int, Meta(ge=1, le=9)] = 5
    custom: dict[str, Any] = {}


class PushedOut(Struct):
    """Many jobs were pushed in one commit; those that were refused stand in `errors`, by jid."""

    jids: list[str]
    errors: dict[str, str]


class FilterIn(Struct, forbid_unknown_fields=True):
    """Which jobs are meant; what is left out asks for nothing."""

    jobtype: Annotated[str, Meta(min_length=1, max_length=MOST_TEXT)] = ""
    queue: Annotated[str, Meta(min_length=1, max_length=255)] = ""
    errtype: Annotated[str, Meta(min_length=1, max_length=MOST_TEXT)] = ""
    text: Annotated[str, Meta(min_length=1, max_length=MOST_TEXT)] = ""
    group: Annotated[str, Meta(min_length=1, max_length=16)] = ""
    since: Bound = ""  # due, or died, at or after it
    until: Bound = ""  # due, or died, before it

    def filter(self) -> Filter:
        """The same, as the engine takes it. Raises Refusal."""
        return filter_of((name, str(getattr(self, name))) for name in self.__struct_fields__)


class BulkIn(Struct, forbid_unknown_fields=True):
    """What to do with jobs of a set: those with these jids, or all that a filter means ({} is everything)."""

    action: Literal["requeue", "kill", "discard"]
    jids: Annotated[list[str], Meta(max_length=10_000)] | None = None
    filter: FilterIn | None = None


class BulkOut(Struct):
    """What was done at once; the rest goes on in the background."""

    moved: int
    goes_on: bool


class RescheduleIn(Struct, forbid_unknown_fields=True):
    """When a job is to run instead."""

    at: Stamp


class HeldOut(Struct):
    """A job in a worker's hands."""

    jid: str
    jobtype: str | None
    queue: str
    worker: str
    since: Stamp
    until: Stamp
    cancelled: bool
    percent: int | None
    desc: str | None


class WorkerOut(Struct):
    """A worker process."""

    wid: str
    hostname: str
    pid: int
    labels: list[str]
    state: Literal["running", "quiet", "terminate"]
    started_at: Stamp
    heard_at: Stamp
    connections: int
    rss_kb: int
    holds: int


class WorkersOut(Struct):
    """Worker processes, the longest silent first, and some jobs in their hands, the longest held first."""

    workers: list[WorkerOut]
    held: list[HeldOut]
    next: Annotated[int, Meta(description="pass it as `after` for more held jobs; 0 at the end")]


class BatchOut(Struct):
    """A batch."""

    bid: str
    parent_bid: str
    description: str
    created_at: Stamp
    total: int
    pending: int
    failed: int
    complete_st: str
    success_st: str
    death_st: str


class BatchesOut(Struct):
    """Some batches, the newest first."""

    batches: list[BatchOut]
    next: Annotated[str, Meta(description="pass it as `cursor`; empty at the end")]


class PeriodicOut(Struct):
    """A periodic job."""

    name: str
    schedule: str
    tz: str
    jobtype: str
    queue: str
    paused: bool
    last_run: Stamp | None
    last_jid: str | None
    next_run: Stamp | None
    runs: int
    skipped: int
