"""Views of workers: the processes that are connected, and the jobs that they hold.

All of it is in memory but the jobs themselves, of which a page's worth is read.
"""

from collections import Counter
from heapq import nsmallest
from itertools import islice

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.cancel import CANCELLED
from lineshaft.engine.records import Lease, TrackRecord, decode_track
from lineshaft.engine.state import State
from lineshaft.engine.value import split_value
from lineshaft.job import UNREADABLE, Job, decode_stored
from lineshaft.lifecycle import WorkerState

__all__ = ["HeldView", "WorkerView", "held", "workers"]


class WorkerView(Struct, frozen=True):
    """A worker process as it introduced itself, and what it has said since."""

    wid: str
    hostname: str
    pid: int
    labels: tuple[str, ...]
    started_at: int
    heard_at: int
    connections: int
    rss_kb: int
    state: WorkerState
    has_beaten: bool
    holds: int


class HeldView(Struct, frozen=True):
    """A job in a worker's hands."""

    seq: int
    jid: str
    holder: str  #: the wid; empty for a connection without one
    queue: str
    since: int
    until: int
    is_cancelled: bool
    job: Job | None  #: None when its row cannot be read
    percent: int | None  #: how far it says that it is
    desc: str | None


def workers(state: State, limit: int, first: int, wid: str) -> list[WorkerView]:
    """The connected worker processes, the longest silent first, from that place on; with a wid, that one."""
    holds = Counter(lease.holder for lease in state.leases.by_seq.values())
    present = state.workers.present
    known = present.values() if not wid else [present[wid]] if wid in present else []
    chosen = nsmallest(first + limit, known, key=lambda worker: worker.heard_at)[first:]
    return [
        WorkerView(
            worker.wid,
            worker.hostname,
            worker.pid,
            worker.labels,
            worker.started_at,
            worker.heard_at,
            worker.connections,
            worker.rss_kb,
            worker.state,
            worker.has_beaten,
            holds[worker.wid],
        )
        for worker in chosen
    ]


def held(state: State, after: int, limit: int, holder: str) -> tuple[list[HeldView], int]:
    """Held jobs in the order in which they were fetched, and the position of the next page. Raises StoreError."""
    leases = state.leases.by_seq.values()
    wanted = (lease for lease in leases if not holder or lease.holder == holder)
    chosen = list(islice(wanted, after, after + limit + 1))
    return [_held(state, lease) for lease in chosen[:limit]], after + limit if len(chosen) > limit else 0


def _held(state: State, lease: Lease) -> HeldView:
    value = state.turn.get(lease.key)
    try:
        job = None if value is None else decode_stored(split_value(value)[1])
    except UNREADABLE:
        job = None
    track = _track(state, lease)
    own = track is not None and track.seq == lease.seq
    return HeldView(
        lease.seq,
        lease.jid,
        "" if lease.holder.startswith("\0") else lease.holder,
        lease.queue,
        lease.since,
        lease.until,
        CANCELLED in lease.uses,
        job,
        track.percent if track is not None and own else None,
        track.desc if track is not None and own else None,
    )


def _track(state: State, lease: Lease) -> TrackRecord | None:
    """What the job says of itself; None as well when that cannot be read."""
    value = state.turn.get(keys.track_key(lease.jid)) if "t" in lease.uses else None
    try:
        return None if value is None else decode_track(value)
    except UNREADABLE:
        return None
