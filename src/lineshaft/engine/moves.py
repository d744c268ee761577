"""Moves: the steps that more than one transition takes, each on a `Change`.

Every job comes to its queue's tail through `join_queue`, into a timed set through `join_set`, and out of the
server through `leave`. What a feature must do whenever a job moves or ends is called from here, once (`feature`).
"""

from msgspec import DecodeError

from lineshaft.engine import feature, keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Subject
from lineshaft.engine.naming import open_queue
from lineshaft.engine.ready import Queue, make_entry
from lineshaft.engine.records import Extras, Lease, join_value, split_value
from lineshaft.engine.state import State
from lineshaft.engine.timed import TimedSet
from lineshaft.engine.turn import Change
from lineshaft.errors import Refusal, StoreCorrupt
from lineshaft.job import DEFAULT_QUEUE, Job, decode_stored, encode_job
from lineshaft.lifecycle import Place

__all__ = ["Damaged", "count", "join_queue", "join_set", "leave", "leave_set", "put_back", "read_leased", "take_out"]


class Damaged(Refusal):
    """The job's row cannot be read; it is set aside before the turn is committed (`damage`)."""


def join_queue(state: State, change: Change, job: Job, seq: int, extras: Extras) -> Queue:
    """Put a job that was elsewhere at the tail of its queue, enqueued now."""
    queue = open_queue(state, job.queue or DEFAULT_QUEUE)
    order = state.take_order()
    job.enqueued_at = state.stamp
    window = queue.window(extras.priority)
    key = window.prefix + order.to_bytes(8)
    # In a ready job's key stands its priority; in its Extras only what the key does not say.
    kept = extras.at_home(seq=seq)
    payload = encode_job(job)
    change.put(key, join_value(kept, payload))
    if kept.uses:
        feature.moved(state, change, Subject(job.jid, seq, kept), Place.READY, key)
    change.then(state.index.move, job.jid, seq, key)
    change.then(window.append, make_entry(key, seq, kept, payload), state.queues.bound)
    change.then(_one_more, state, queue)
    return queue


def _one_more(state: State, queue: Queue) -> None:
    queue.size += 1
    state.queues.touch(queue)
    if queue.wanted:
        state.arrivals.append(queue.name)


def join_set(state: State, change: Change, timed: TimedSet, due: int, job: Job, seq: int, extras: Extras) -> None:
    """Put a job into a timed set."""
    key = timed.add(change, due, state.take_order(), seq, extras, encode_job(job))
    if timed.is_grouped:
        change.then(state.groups.enter, timed.code, job, state.now)
    change.then(state.index.move, job.jid, seq, key)
    if extras.uses:
        feature.moved(state, change, Subject(job.jid, seq, extras), Place(timed.name), key)


def leave_set(state: State, change: Change, timed: TimedSet, key: bytes, job: Job | None) -> None:
    """Take a job out of a timed set; the job is None when it cannot be read."""
    timed.remove(change, key)
    if timed.is_grouped:
        change.then(state.groups.leave, timed.code, job)


def leave(state: State, change: Change, jid: str, seq: int, extras: Extras, ending: Ending) -> None:
    """The one way out of the server: the job is in no place any more.

    The caller has removed the job's own key. `ending` is what features are told.
    """
    if extras.uses:
        feature.ended(state, change, Subject(jid, seq, extras), ending)
    change.then(state.index.remove, jid, seq)


def take_out(state: State, change: Change, key: bytes) -> bool:
    """Take an unleased job from its place; False when its queue was removed, and the sweep will come to it."""
    if key[:1] == b"R":
        name, generation, priority = keys.ready_parts(key)
        queue = state.queues.by_name.get(name)
        if queue is None or queue.generation != generation:
            return False
        change.delete(key)
        change.then(state.queues.lose, queue, priority, keys.ready_order(key))
    else:
        timed = next(timed for timed in state.sets.values() if timed.code == key[1:2])
        leave_set(state, change, timed, key, _job_under(change, key) if timed.is_grouped else None)
    return True


def _job_under(change: Change, key: bytes) -> Job | None:
    value = change.get(key)
    try:
        return None if value is None else decode_stored(split_value(value)[1])
    except DecodeError:
        return None


def read_leased(change: Change, lease: Lease) -> tuple[Extras, Job, bytes]:
    """Extras (with the priority that its key says), job and payload of a leased job. Raises Damaged, StoreError."""
    value = change.get(lease.key)
    if value is None:
        raise StoreCorrupt(f"job {lease.jid} is leased and lies nowhere: run `lineshaft check`")
    try:
        extras, payload = split_value(value)
        job = decode_stored(payload)
    except DecodeError as error:
        change.turn.damaged[lease.key] = value
        raise Damaged(f"job {lease.jid[:200]} was damaged on disk and is set aside: {error}") from None
    _, _, priority = keys.ready_parts(lease.key)
    return extras.at_home(seq=extras.seq, priority=priority), job, payload


def put_back(state: State, change: Change, lease: Lease, extras: Extras, payload: bytes) -> None:
    """Let a leased job return to the head of its queue; the lease ends."""
    name, generation, priority = keys.ready_parts(lease.key)
    queue = open_queue(state, name)
    window = queue.window(priority)
    # The queue was removed while the job was out: what was left behind is being swept.
    key = lease.key if generation == queue.generation else window.prefix + lease.key[-8:]
    if key != lease.key:
        change.delete(lease.key)
        change.then(state.index.move, lease.jid, lease.seq, key)
    order = keys.ready_order(key)
    seq = lease.seq if lease.seq != order else 0
    kept = extras.at_home(seq=seq)
    change.put(key, join_value(kept, payload))
    if kept.uses:
        feature.moved(state, change, Subject(lease.jid, lease.seq, kept), Place.READY, key)
    change.then(state.leases.take_back, lease)
    change.then(window.put_back, make_entry(key, lease.seq, kept, payload), state.queues.bound)
    change.then(_one_more, state, queue)


def count(state: State, name: str, processed: int, failed: int) -> None:
    """Count what became of a job of a queue; an effect. A queue that is gone counts in the totals."""
    queue = state.queues.by_name.get(name)
    if queue is not None:
        queue.processed += processed
        queue.failed += failed
        state.queues.touch(queue)
    else:
        state.add_totals(processed, failed)
