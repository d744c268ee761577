"""What an operator can set about the rules; the composition root fills it from the configuration."""

from msgspec import Struct, field

from lineshaft.engine.records import LaneRules
from lineshaft.engine.workers import SILENT_AFTER
from lineshaft.schedule import Schedule

__all__ = ["Limits", "Periodic", "QueueLimits", "Settings", "Throttle"]


class QueueLimits(Struct, frozen=True):
    """The limits of one queue; None means none."""

    max_jobs: int | None = None  #: a push beyond it is refused
    reserve_seconds: int | None = None  #: for jobs that do not say themselves
    backoff: str | None = None  #: for jobs that do not say themselves; see `lineshaft.backoff`
    lanes: LaneRules | None = None  #: only a queue's own


class Throttle(Struct, frozen=True):
    """How many jobs of a queue may run, or begin; None means no limit of that kind."""

    concurrency: int | None = None  #: run at once
    worker: int | None = None  #: run at once for one holder
    timeout: int | None = None  #: milliseconds after which a job that still runs counts no more
    rate: int | None = None  #: begin in `per` milliseconds
    per: int = 1000


class Periodic(Struct, frozen=True):
    """A job that the server pushes by itself, again and again."""

    name: str  #: tells it from the others, and stays when something else about it changes
    schedule: Schedule
    jobtype: str
    queue: str
    job: bytes  #: JSON as in a PUSH, but for the jid
    catch_up: bool = False  #: whether runs that were missed while the server was down are made up for, by one


class Limits(Struct, frozen=True):
    """How far a client can make things grow that nothing else bounds."""

    #: Beyond this a client is making up names, and each queue costs memory for ever.
    queues: int = 100_000
    #: Jobs of one PUSHB: they are one commit, so everybody waits for the last of them; this many take about 0.1 s.
    bulk: int = 10_000
    mutates: int = 1_000  #: MUTATEs under way
    #: Batches inside of batches: a chain of parents is followed in one transition.
    nesting: int = 100
    result_bytes: int = 64 << 10  #: a result above it is dropped; its job is done all the same
    batches: int = 1_000_000  #: that are not finished
    custom_bytes: int = 1 << 20  #: of a job's `custom`: lanes, plugins and pages look into it
    #: Known workers: what is remembered of one outlives its connections.
    workers: int = 100_000


class Settings(Struct, frozen=True):
    """All settings of the engine; a reload hands in another one."""

    #: Keep an index of jobs by jid. Takes effect at the start only.
    jid_index: bool = True
    #: Refuse a push whose jid is that of a live job.
    refuse_duplicate_jids: bool = False
    #: Milliseconds until the jobs of a vanished worker are taken back; 0 leaves them to their reservation.
    recover_after: int = SILENT_AFTER
    #: The how-manieth recovery of one job counts as its failure.
    recover_limit: int = 3
    #: Milliseconds that a dead job is kept, and how many at most.
    dead_keep: int = 180 * 86_400_000
    dead_max: int = 100_000
    #: Milliseconds that the result of a job is kept.
    results_keep: int = 3_600_000
    #: Milliseconds that a finished batch is kept, and one that nobody touches is waited for to be committed.
    batches_keep: int = 30 * 86_400_000
    batches_open: int = 30 * 60_000
    #: Milliseconds that a job that is over is kept, 0 for not at all; how many at most, and how many bytes.
    history_keep: int = 0
    history_max: int = 1_000_000
    history_max_bytes: int = 1 << 30
    most: Limits = Limits()
    #: Limits for every queue, and by name.
    every_queue: QueueLimits = QueueLimits()
    queues: dict[str, QueueLimits] = field(default_factory=dict)
    #: Throttles by the name of their queue.
    throttles: dict[str, Throttle] = field(default_factory=dict)
    #: Each has a name of its own.
    periodic: tuple[Periodic, ...] = ()

    def limits(self, name: str) -> QueueLimits:
        """The limits of a queue: its own, and for what it does not say, those of every queue."""
        own = self.queues.get(name, self.every_queue)
        return QueueLimits(
            own.max_jobs if own.max_jobs is not None else self.every_queue.max_jobs,
            own.reserve_seconds if own.reserve_seconds is not None else self.every_queue.reserve_seconds,
            own.backoff if own.backoff is not None else self.every_queue.backoff,
            own.lanes,
        )
