"""Views of jobs: a slice of a queue or a timed set, and one job by its jid, wherever it is.

A cursor is the key of the last row that was looked at, in hexadecimal; the next slice begins behind it. So a page costs
the same at the beginning and behind ten million jobs, and rows that come or go meanwhile move nothing.

A long search is left to a process apart (`scan`): `sought_in_queue` and `sought_in_set` say where it is to look, from
the same cursors, and `confirm` shows what it has found, as far as it is still there.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.ready import Queue
from lineshaft.engine.records import Lease
from lineshaft.engine.search.filter import Filter, contains
from lineshaft.engine.search.scan import Sought, narrowed
from lineshaft.engine.state import State
from lineshaft.engine.timed import SetName
from lineshaft.engine.value import Extras, split_value
from lineshaft.errors import Refusal
from lineshaft.job import UNREADABLE, Job, decode_stored
from lineshaft.lifecycle import Place
from lineshaft.store.port import KeyRange

__all__ = [
    "JobView",
    "Slice",
    "confirm",
    "enqueued",
    "find",
    "find_at",
    "sought_in_queue",
    "sought_in_set",
    "timed",
]

#: What one slice reads at most, however few jobs that is.
SLICE_BYTES: Final = 1 << 20
MOST_ROWS: Final = 500

#: The lanes of one slice, as good as empty perhaps.
MOST_SPANS: Final = 1000

#: More jobs than this with one jid are not shown: only a client that reuses one jid makes them.
MOST_TWINS: Final = 20

_CODES: Final = {b"s": Place.SCHEDULED, b"r": Place.RETRIES, b"d": Place.DEAD}


class JobView(Struct, frozen=True):
    """A live job, and where it is."""

    place: Place
    key: bytes
    seq: int
    due: int  #: the instant of a job in a timed set; of a dead one, that of its death; 0 for others
    queue: str
    priority: int
    extras: Extras
    job: Job
    payload: bytes
    lease: Lease | None = None

    @property
    def jid(self) -> str:
        """The job's jid."""
        return self.job.jid


class Slice(Struct, frozen=True):
    """Some jobs of a place, in its order."""

    jobs: list[JobView]
    cursor: str  #: the next slice begins here; empty at the end
    looked_at: int  #: rows, whether they matched or not
    unreadable: int = 0  #: rows among them that cannot be read; whoever works with one sets it aside


def enqueued(state: State, name: str, cursor: str, limit: int, filter: Filter) -> Slice:
    """Jobs that wait in a queue and nobody holds, the next to run first. Raises Refusal, StoreError."""
    queue = state.queues.by_name.get(name)
    if queue is None:
        return Slice([], "", 0)
    limit = max(1, min(limit, MOST_ROWS))
    bounds = [keys.ready_range(name, queue.generation), keys.laned_range(name, queue.generation)]
    begin = _decode_cursor(cursor, *bounds) if cursor else b""
    jobs: list[JobView] = []
    looked_at = unreadable = 0
    last = begin
    for spans, (start, end) in enumerate(_spans(state, queue, begin)):
        if spans > MOST_SPANS:
            return Slice(jobs, start.hex(), looked_at, unreadable)
        if begin >= end:
            continue
        rows = state.turn.scan(max(begin, start), end, limit=limit - looked_at, limit_bytes=SLICE_BYTES)
        looked_at += len(rows)
        some, damaged = _matching(state, rows, filter)
        jobs, unreadable, last = jobs + some, unreadable + damaged, keys.after(rows[-1][0]) if rows else last
        if looked_at >= limit or (rows and sum(len(value) for _, value in rows) >= SLICE_BYTES):
            return Slice(jobs, last.hex(), looked_at, unreadable)
    return Slice(jobs, "", looked_at, unreadable)


def _spans(state: State, queue: Queue, begin: bytes) -> Iterator[KeyRange]:
    """Where the jobs of a queue lie, in key order: those in no lane, then lane by lane. Raises StoreError.

    Never from the queue's beginning: the deleted keys of what has left cost time to skip.
    """
    lanes = [] if queue.lanes is None else queue.lanes.lines(begin)
    for line in chain([queue], lanes):
        for window in line.windows:
            _, end = keys.prefix_range(window.prefix)
            yield window.prefix + window.cursor(state.order + 1).to_bytes(8), end


def timed(state: State, name: SetName, cursor: str, limit: int, filter: Filter, *, newest: bool) -> Slice:
    """Jobs of a timed set, by their instant. Raises Refusal, StoreError."""
    limit = max(1, min(limit, MOST_ROWS))
    left = _span(state, name, cursor, filter, newest=newest)
    if not left:
        return Slice([], "", 0)
    start, end = left[0]
    rows = state.turn.scan(start, end, limit=limit, limit_bytes=SLICE_BYTES, reverse=newest)
    jobs, unreadable = _matching(state, rows, filter)
    full = len(rows) >= limit or sum(len(value) for _, value in rows) >= SLICE_BYTES
    last = rows[-1][0] if full else b""
    cursor = (last if newest else keys.after(last)).hex() if full else ""
    return Slice(jobs, cursor, len(rows), unreadable)


def _matching(state: State, rows: list[tuple[bytes, bytes]], filter: Filter) -> tuple[list[JobView], int]:
    """The jobs that nobody holds and that match, and how many rows cannot be read.

    The text first: nearly all rows are out by it, and then need not be read.
    """
    jobs, unreadable = [], 0
    for key, value in rows:
        if filter.text and not contains(value, filter.text):
            continue
        view = _view(state, key, value)
        if view is None:
            unreadable += 1
        elif view.lease is None and filter.matches(view.job, view.payload, view.due):
            jobs.append(view)
    return jobs, unreadable


def _span(state: State, name: SetName, cursor: str, filter: Filter, *, newest: bool) -> list[KeyRange]:
    """Where the jobs of a set lie that may match, from a cursor on; none when there is nothing left. Raises Refusal."""
    jobs_set = state.sets[name]
    start, end = jobs_set.first_key, keys.prefix_range(jobs_set.prefix)[1]
    if filter.since:
        start = max(start, keys.timed_key(jobs_set.code, filter.since, 0))
    if filter.until:
        end = min(end, keys.timed_key(jobs_set.code, filter.until, 0))
    at = _decode_cursor(cursor, keys.prefix_range(jobs_set.prefix)) if cursor else b""
    # What has left may have left a million deleted keys behind, which going backwards no cursor spares.
    return narrowed([(start, end)], at, newest=newest) if jobs_set.size else []


def sought_in_set(state: State, name: SetName, cursor: str, limit: int, filter: Filter, *, newest: bool) -> Sought:
    """What to look for outside of the loop, as `timed` would. Raises Refusal."""
    return Sought(_span(state, name, cursor, filter, newest=newest), filter, limit, newest)


def sought_in_queue(state: State, name: str, cursor: str, limit: int, filter: Filter) -> Sought:
    """What to look for outside of the loop, as `enqueued` would. Raises Refusal."""
    queue = state.queues.by_name.get(name)
    if queue is None:
        return Sought([], filter, limit)
    laned = keys.laned_range(name, queue.generation)
    # What has left has left many deleted keys behind: the process apart has the time to skip those of lanes.
    spans = [*islice(_spans(state, queue, b""), len(queue.windows)), laned]
    at = _decode_cursor(cursor, keys.ready_range(name, queue.generation), laned) if cursor else b""
    return Sought(narrowed(spans, at, newest=False), filter, limit)


def confirm(state: State, found: list[bytes], filter: Filter) -> list[JobView]:
    """Those of the jobs that were found that are still there, waiting and matching. Raises StoreError."""
    values = ((key, state.turn.get(key)) for key in found)
    views = [view for key, value in values if value is not None and (view := _view(state, key, value)) is not None]
    return [
        view
        for view in views
        if view.lease is None and _is_in_reach(state, view) and filter.matches(view.job, view.payload, view.due)
    ]


def find(state: State, jid: str) -> list[JobView]:
    """The live jobs with a jid, the oldest first; without the jid index, those that workers hold."""
    places = {lease.key for lease in state.leases.all_of(jid)[:MOST_TWINS]}
    places.update(key for _, key in state.index.find(jid)[:MOST_TWINS])
    views = []
    for key in places:
        value = state.turn.get(key)
        view = None if value is None else _view(state, key, value)
        # An entry may outlive its job where the index was switched off in between.
        if view is not None and view.jid == jid and _is_in_reach(state, view):
            views.append(view)
    return sorted(views, key=lambda view: view.seq)


def find_at(state: State, name: SetName, due: int, jid: str) -> JobView | None:
    """The job of a timed set with this jid, that of this instant if there are several."""
    here = [view for view in find(state, jid) if view.place == Place(name)]
    exact = [view for view in here if view.due == due]
    if here or state.index.enabled:
        return next(iter(exact or here), None)
    code = state.sets[name].code
    start, end = keys.timed_key(code, due, 0), keys.timed_key(code, due + 1, 0)
    rows = state.turn.scan(start, end, limit=MOST_ROWS, limit_bytes=SLICE_BYTES)
    views = (_view(state, key, value) for key, value in rows)
    return next((view for view in views if view is not None and view.jid == jid), None)


def _decode_cursor(cursor: str, *bounds: KeyRange) -> bytes:
    try:
        key = bytes.fromhex(cursor)
    except ValueError:
        key = b""
    if not any(start <= key <= end for start, end in bounds):
        raise Refusal("invalid cursor")
    return key


def _is_in_reach(state: State, view: JobView) -> bool:
    """Whether a job is not one of those that a removed queue left behind, and nobody holds."""
    if view.lease is not None or not keys.is_ready(view.key):
        return True
    name, generation, _ = keys.ready_parts(view.key)
    queue = state.queues.by_name.get(name)
    return queue is not None and queue.generation == generation


def _view(state: State, key: bytes, value: bytes) -> JobView | None:
    """A row as it is shown; None when it cannot be read."""
    try:
        extras, payload = split_value(value)
        job = decode_stored(payload)
    except UNREADABLE:
        return None
    if keys.is_ready(key):
        name, _, priority = keys.ready_parts(key)
        priority = extras.own_priority(priority)
        seq = extras.seq or keys.ready_order(key)
        lease = state.leases.by_seq.get(seq)
        place = Place.READY if lease is None else Place.LEASED
        return JobView(place, key, seq, 0, name, priority, extras, job, payload, lease)
    seq = extras.seq or keys.timed_order(key)
    place = _CODES[key[1:2]]
    return JobView(place, key, seq, keys.timed_due(key), job.queue or "", extras.priority, extras, job, payload)
