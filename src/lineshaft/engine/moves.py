"""Moves: the steps that more than one transition takes, each on a `Change`.

Every job comes back to its queue's tail through `join_queue`, into a timed set through `join_set`, and out of the
server through `leave`; but for what is written flat: a push (`push`) and an ACK (`finish`). What a feature must do
whenever a job moves or ends is called from here (`feature`).
"""

from collections.abc import Callable

from msgspec import Struct, structs

from lineshaft.engine import feature, keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.entry import Entry, make_entry
from lineshaft.engine.feature import Subject
from lineshaft.engine.lanes.lane import Lane
from lineshaft.engine.line import Line
from lineshaft.engine.naming import open_queue
from lineshaft.engine.ready import Queue
from lineshaft.engine.records import Lease
from lineshaft.engine.state import State
from lineshaft.engine.stats.outcomes import Outcome
from lineshaft.engine.timed import TimedSet
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras, join_value, split_value
from lineshaft.errors import Refusal, StoreCorrupt
from lineshaft.job import DEFAULT_PRIORITY, DEFAULT_QUEUE, UNREADABLE, Job, decode_stored, encode_job
from lineshaft.lifecycle import Place

__all__ = [
    "Damaged",
    "Spot",
    "count",
    "join_queue",
    "join_set",
    "keep_place",
    "leave",
    "put_back",
    "read_leased",
    "stand",
    "take_out",
]


class Damaged(Refusal):
    """The job's row cannot be read; it is set aside before the turn is committed (`damage`)."""


def join_queue(state: State, change: Change, job: Job, seq: int, extras: Extras) -> Queue:
    """Put a job that was elsewhere at the tail of its queue, enqueued now."""
    queue = open_queue(state, job.queue or DEFAULT_QUEUE)
    line = queue.line(job)
    keeps_place = extras.place > 0 and isinstance(line, Lane) and line.keeps(extras)
    if not keeps_place:
        job.enqueued_at = state.stamp
    spot = Spot(queue, line, extras.place if keeps_place else state.take_order())
    payload = encode_job(job)
    key = stand(state, change, spot, seq, extras.afresh() if extras.place else extras, payload, at_tail=not keeps_place)
    change.then(state.index.move, job.jid, seq, key)
    return queue


class Spot(Struct, frozen=True):
    """Where a job is to stand."""

    queue: Queue
    line: Line
    order: int


def stand(
    state: State, change: Change, spot: Spot, seq: int, extras: Extras, payload: bytes, *, at_tail: bool
) -> bytes:
    """Put a job into its line; returns the key under which it lies. What leads to it is the caller's business."""
    line, rank = spot.line, spot.line.rank(extras.priority)
    window = line.window(rank)
    key = window.prefix + spot.order.to_bytes(8)
    # In a ready job's key stands its priority; in its Extras only what the key does not say.
    priority = DEFAULT_PRIORITY if rank == extras.priority else extras.priority
    kept = extras.at_home(seq=seq if seq != spot.order else 0, priority=priority)
    change.put(key, join_value(kept, payload))
    entry = make_entry(key, seq, kept, payload)
    if kept.uses:
        feature.moved(state, change, Subject(entry.jid, seq, kept), Place.READY, key)
    change.then(_stands, state, spot, window.append if at_tail else window.put_back, entry)
    return key


def _stands(state: State, spot: Spot, enter: Callable[[Entry, int], None], entry: Entry) -> None:
    queue, line = spot.queue, spot.line
    enter(entry, line.room(state.queues.bound))
    line.count(1)
    state.queues.touch(queue)
    if queue.wanted:
        state.arrivals.append(queue.name)


def join_set(state: State, change: Change, timed: TimedSet, due: int, job: Job, seq: int, extras: Extras) -> None:
    """Put a job into a timed set."""
    key = timed.add(change, due, state.take_order(), seq, extras, encode_job(job))
    if timed.is_grouped:
        change.then(state.groups.enter, timed.code, job, state.now)
    change.then(state.index.move, job.jid, seq, key)
    if extras.place and (lane := _held_lane(state, job, extras)) is not None:
        change.then(lane.lanes.hold, lane, key)
    if extras.uses:
        feature.moved(state, change, Subject(job.jid, seq, extras), Place(timed.name), key)


def keep_place(state: State, lease: Lease, extras: Extras) -> Extras:
    """The Extras of a held job that is to wait in a set: in a strict lane it keeps its place, and so its lane."""
    queue, lane = state.queues.by_name.get(lease.queue), keys.ready_lane(lease.key)
    if lane is None or queue is None or queue.lanes is None or not queue.lanes.rules.strict:
        return extras
    return structs.replace(extras, place=keys.ready_order(lease.key), lane=lane.decode())


def _held_lane(state: State, job: Job, extras: Extras) -> Lane | None:
    """The lane that a job holds which waits in a set. Raises StoreError."""
    queue = state.queues.by_name.get(job.queue or DEFAULT_QUEUE)
    return None if queue is None or queue.lanes is None else queue.lanes.get(extras.lane.encode())


def leave(state: State, change: Change, jid: str, seq: int, extras: Extras, ending: Ending) -> None:
    """The one way out of the server: the job is in no place any more.

    The caller has removed the job's own key. `ending` is what features are told.
    """
    if extras.uses:
        feature.ended(state, change, Subject(jid, seq, extras), ending)
    change.then(state.index.remove, jid, seq)


def take_out(state: State, change: Change, key: bytes, extras: Extras, payload: bytes) -> bool:
    """Take an unleased job from its place, and from a lane that it holds.

    Its payload has been read, so it can be. False when its queue was removed, and the sweep will come to it.
    Raises StoreError.
    """
    if keys.is_ready(key):
        name, generation, _ = keys.ready_parts(key)
        queue = state.queues.by_name.get(name)
        if queue is None or queue.generation != generation:
            return False
        change.delete(key)
        state.queues.lose(change, queue, key)
    else:
        timed = next(timed for timed in state.sets.values() if timed.code == key[1:2])
        timed.remove(change, key)
        if timed.is_grouped or extras.place:
            job = decode_stored(payload)
            if timed.is_grouped:
                change.then(state.groups.leave, timed.code, job)
            if extras.place and (lane := _held_lane(state, job, extras)) is not None:
                change.then(lane.lanes.let_go, lane, key)
    return True


def read_leased(change: Change, lease: Lease) -> tuple[Extras, Job, bytes]:
    """Extras (with the priority that its key says), job and payload of a leased job. Raises Damaged, StoreError."""
    value = change.get(lease.key)
    if value is None:
        raise StoreCorrupt(f"job {lease.jid} is leased and lies nowhere: run `lineshaft check`")
    try:
        extras, payload = split_value(value)
        job = decode_stored(payload)
    except UNREADABLE as error:
        change.turn.damaged[lease.key] = value
        raise Damaged(f"job {lease.jid[:200]} was damaged on disk and is set aside: {error}") from None
    _, _, priority = keys.ready_parts(lease.key)
    return extras.at_home(seq=extras.seq, priority=extras.own_priority(priority)), job, payload


def put_back(state: State, change: Change, lease: Lease, extras: Extras, payload: bytes) -> None:
    """Let a leased job return to the head of its queue; the lease ends."""
    name, generation, _ = keys.ready_parts(lease.key)
    queue = open_queue(state, name)
    # When the queue was removed while the job was out, what was left behind is being swept.
    is_current = generation == queue.generation
    line = queue.line_of(lease.key) if is_current else queue.line(decode_stored(payload))
    change.then(state.leases.take_back, lease)
    spot = Spot(queue, line, keys.ready_order(lease.key))
    key = stand(state, change, spot, lease.seq, extras, payload, at_tail=False)
    if key != lease.key:
        change.delete(lease.key)
        change.then(state.index.move, lease.jid, lease.seq, key)


def count(state: State, name: str, outcome: Outcome, jobtype: str) -> None:
    """Count what became of a try at a job of a queue; an effect. A queue that is gone counts in the totals."""
    queue, failed = state.queues.by_name.get(name), int(outcome is not Outcome.SUCCESS)
    if queue is not None:
        queue.processed += 1
        queue.failed += failed
        queue.outcomes.count(outcome, jobtype)
        state.queues.touch(queue)
    else:
        state.add_totals(1, failed)
