"""What is written under the keys: one small record per kind; the jobs themselves are in `value`.

Records are MessagePack arrays: a field is added at the end, with a default, and old records still read.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct, msgpack

__all__ = [
    "LARGEST_FIGURE",
    "BucketRecord",
    "ChoreRecord",
    "DayRecord",
    "GroupRecord",
    "HistoryRecord",
    "HistorySizeRecord",
    "LaneRecord",
    "LaneRules",
    "LanesRecord",
    "Lease",
    "LockRecord",
    "NoteRecord",
    "PeriodicRecord",
    "PositionRecord",
    "QueueRecord",
    "Rate",
    "SetRecord",
    "TotalsRecord",
    "TrackRecord",
    "WorkerRecord",
    "decode_bucket",
    "decode_chore",
    "decode_day",
    "decode_group",
    "decode_history",
    "decode_history_size",
    "decode_lane",
    "decode_leases",
    "decode_lock",
    "decode_note",
    "decode_periodic",
    "decode_position",
    "decode_queue",
    "decode_set",
    "decode_totals",
    "decode_track",
    "decode_worker",
    "encode_record",
]


#: Nobody counts that far: a larger figure is damaged, and one more would be none that can be written.
LARGEST_FIGURE: Final = 1 << 62
Figure = Annotated[int, Meta(le=LARGEST_FIGURE)]


class Lease(Struct, array_like=True, gc=False):
    """Who holds a job; in memory and on disk the same. All that one turn granted are one record."""

    seq: int
    key: bytes  #: where the job lies
    jid: str
    holder: str  #: the wid, or a name for the connection where there is none
    since: int
    until: int
    queue: str
    group: int  #: the record that it stands in
    uses: str = ""  #: the features that the job uses, and a letter when it was cancelled (see `cancel`)
    jobtype: str = ""  #: its beginning, to count by when the lease ends


class Rate(Struct, frozen=True, array_like=True):
    """So many in so many milliseconds."""

    tokens: int
    per_ms: int


class BucketRecord(Struct, array_like=True, gc=False):
    """What is missing from a token bucket: parts of tokens, how many parts a token has, as of when (see `bucket`)."""

    debt: int
    per: int
    at: int


class LaneRules(Struct, frozen=True, array_like=True):
    """How the lanes of a queue are told apart, and what each may do."""

    by: str = ""  #: the key of `custom`; empty: no job joins a lane any more, and there are no limits
    concurrency: int | None = None  #: so many jobs of a lane may run at once
    strict: bool = False  #: a lane's jobs run one after the other, in the order of their pushes
    rate: Rate | None = None  #: so many jobs of a lane may start in so many milliseconds


class LaneRecord(Struct, array_like=True, gc=False):
    """A lane of a queue. Rewritten once in every commit that moved one of its jobs."""

    size: int  #: ready and not leased
    turn: int  #: which turn the lane has; 0 for none
    oldest: int  #: while it has a turn: no job of the lane is older than this order; else 0
    held: bytes  #: the key of the job that holds the lane while it waits in a set; empty for none
    wakes: int  #: an instant: when the lane is looked at again; 0 for not by itself
    cursors: list[tuple[int, int]]  #: as in a QueueRecord
    bucket: BucketRecord | None = None


class LanesRecord(Struct, array_like=True, gc=False):
    """All lanes of a queue together."""

    first: int  #: no lane has a turn before this
    next: int  #: the turn that is given next
    size: int  #: jobs in lanes that are not leased
    count: int  #: LaneRecords
    rules: LaneRules


class QueueRecord(Struct, array_like=True, gc=False):
    """A queue's figures and switches. Rewritten once in every commit that moved one of its jobs."""

    generation: int
    created_at: int
    paused: bool
    size: Figure  #: ready and not leased
    pushed: Figure
    processed: Figure
    failed: Figure
    cursors: list[tuple[int, int]]  #: (priority, no unleased job stands before this order)
    lanes: LanesRecord | None = None  #: left out where there are none


class SetRecord(Struct, array_like=True, gc=False):
    """How many jobs a timed set holds, and the instant before which there is none."""

    size: Figure
    cursor: int


class TotalsRecord(Struct, array_like=True, gc=False):
    """What queues had counted that exist no more; with the queues' own counts it makes the totals."""

    processed: int = 0
    failed: int = 0
    expired: int = 0  #: in all queues


class PositionRecord(Struct, frozen=True, array_like=True):
    """Up to where a store has applied the log of its cluster."""

    log_id: str
    sequence: int
    epoch: int
    number: int


class DayRecord(Struct, array_like=True, gc=False):
    """The totals as they stood when a day began, UTC."""

    processed: int
    failed: int


class WorkerRecord(Struct, array_like=True, gc=False):
    """That a worker process has sent a BEAT, and when first: its jobs may be taken back from it."""

    first_beat_at: int


class ChoreRecord(Struct, array_like=True):
    """Long work in progress: what it is, and how far it came."""

    kind: str
    arguments: bytes  #: JSON, read by the chore's own kind
    cursor: bytes  #: the next slice starts here
    bound: int  #: touches nothing with an order above this
    done: int = 0


class LockRecord(Struct, array_like=True, gc=False):
    """Who holds the lock of a unique job, and until when at most."""

    seq: int
    until: int


class TrackRecord(Struct, array_like=True, gc=False):
    """What can be asked about a job, and when that is forgotten."""

    seq: int
    state: str
    updated_at: int
    percent: int | None = None
    desc: str | None = None
    until: int = 0  #: an instant; 0 while the job lives
    result: bytes | None = None  #: JSON
    result_until: int = 0
    cancelled: bool = False  #: somebody said that it is not to run any more


class HistoryRecord(Struct, array_like=True, gc=False):
    """A job that is over, as it was."""

    jid: str
    payload: bytes
    worker: str  #: the wid; empty for a connection without one
    started_at: int  #: an instant; 0 when it is not known
    attempts: int
    outcome: str
    result: bytes | None = None  #: JSON


class HistorySizeRecord(Struct, array_like=True, gc=False):
    """How much history there is."""

    count: int
    bytes: int  #: of the HistoryRecords
    oldest: int  #: an instant: no job finished before it


class PeriodicRecord(Struct, array_like=True):
    """How far a periodic job has come. Written in the commit that pushes a run, so that none is pushed twice."""

    schedule: str  #: expression and zone for which the rest holds; empty when it was removed, at `since`
    since: int  #: when the server first had this schedule, or a pause ended: what was due before is no concern of it
    last: int = 0  #: the latest due time that was dealt with; neither it nor one before it is ever run again
    ran_at: int = 0  #: when a run was last pushed
    runs: int = 0  #: runs that were pushed
    skipped: int = 0  #: runs whose push was refused
    last_jid: str = ""  #: of the job that was last pushed
    outcome: str = ""  #: of the last run: `pushed`, or why it was skipped
    paused: bool = False


class GroupRecord(Struct, array_like=True, gc=False):
    """The jobs of a set that failed in the same way; all are empty for what is in no group of its own."""

    errtype: str
    jobtype: str
    shape: str  #: the message without what differs from job to job
    count: int
    first_at: int  #: an instant: when a job first came into the group; 0 when that is not known
    last_at: int
    hour: int = 0  #: the last of `hours`, counted since 1970
    hours: list[int] = []  #: how many came in each hour, a day of them at most


class NoteRecord(Struct, array_like=True, gc=False):
    """The figures of the whole server at an instant."""

    processed: int
    failed: int
    enqueued: int
    busy: int
    retries: int
    scheduled: int
    dead: int


encode_record: Final = msgpack.Encoder().encode
"""Any record of this module to bytes."""

decode_bucket: Final = msgpack.Decoder(BucketRecord).decode
decode_group: Final = msgpack.Decoder(GroupRecord).decode
decode_leases: Final = msgpack.Decoder(list[Lease]).decode
decode_history: Final = msgpack.Decoder(HistoryRecord).decode
decode_history_size: Final = msgpack.Decoder(HistorySizeRecord).decode
decode_lane: Final = msgpack.Decoder(LaneRecord).decode
decode_lock: Final = msgpack.Decoder(LockRecord).decode
decode_note: Final = msgpack.Decoder(NoteRecord).decode
decode_queue: Final = msgpack.Decoder(QueueRecord).decode
decode_set: Final = msgpack.Decoder(SetRecord).decode
decode_totals: Final = msgpack.Decoder(TotalsRecord).decode
decode_day: Final = msgpack.Decoder(DayRecord).decode
decode_track: Final = msgpack.Decoder(TrackRecord).decode
decode_worker: Final = msgpack.Decoder(WorkerRecord).decode
decode_chore: Final = msgpack.Decoder(ChoreRecord).decode
decode_position: Final = msgpack.Decoder(PositionRecord).decode
decode_periodic: Final = msgpack.Decoder(PeriodicRecord).decode
