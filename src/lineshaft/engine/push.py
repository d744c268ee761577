"""PUSH: a job comes in, to its queue's tail or into the scheduled set.

The hot path, so it is written flat: `prepare` makes every check that can refuse or raise, `write` only moves.
A PUSHB prepares all its jobs before it writes the first, so that whatever happens it is one transition.
"""

from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.index import is_live
from lineshaft.engine.naming import open_queue
from lineshaft.engine.ready import LARGE_PAYLOAD_BYTES, Entry
from lineshaft.engine.records import Extras
from lineshaft.engine.state import State
from lineshaft.errors import Refusal
from lineshaft.job import (
    Job,
    admit,
    encode_job,
    has_custom,
    refuse_args,
    take_instant,
    take_priority,
)

__all__ = ["push", "push_bulk"]

#: A job that has passed every check: payload, priority, and when it is to run.
Prepared = tuple[Job, bytes, int, int | None]

#: An error map names each job that was refused; a jid in it is cut to this.
MAX_NAMED: Final = 512


def push(state: State, job: Job) -> None:
    """Accept a job. Durable with the turn's commit. Raises Refusal."""
    write(state, job, *prepare(state, job))


def push_bulk(state: State, jobs: list[Job]) -> dict[str, str]:
    """Accept many jobs; returns jid to error text for those that were refused.

    All that were accepted are in one commit. A jid that stands in the list twice is two jobs.
    """
    errors: dict[str, str] = {}
    prepared: list[Prepared] = []
    for job in jobs:
        try:
            prepared.append((job, *prepare(state, job)))
        except Refusal as refusal:
            errors[job.jid[:MAX_NAMED]] = refusal.text
    if state.settings.refuse_duplicate_jids:
        prepared = _without_twins(prepared, errors)
    for job, payload, priority, at in prepared:
        try:
            write(state, job, payload, priority, at)
        except Refusal as refusal:
            errors[job.jid] = refusal.text
    return errors


def prepare(state: State, job: Job) -> tuple[bytes, int, int | None]:
    """Check a job and encode it as it will be stored; changes nothing but the job.

    Returns its payload, its priority, and when it is to run, None for at once. Raises Refusal.
    """
    stamp = state.stamp
    admit(job, stamp)
    if state.push_refusal is not None:
        raise Refusal(state.push_refusal)
    at = None if job.at is None else take_instant(job)
    if at is not None and at <= state.now:
        at = None
    job.enqueued_at = stamp if at is None else None
    priority = take_priority(job)
    payload = encode_job(job)
    if not payload.startswith(b'{"args":['):
        raise refuse_args(job)
    if state.settings.refuse_duplicate_jids and is_live(state, job.jid):
        raise Refusal(f"a job with jid {job.jid} exists already")
    return payload, priority, at


def write(state: State, job: Job, payload: bytes, priority: int, at: int | None) -> None:
    """Store a prepared job. Raises Refusal when its queue is full or cannot be, before anything moved."""
    name = job.queue or ""
    queue = state.queues.by_name.get(name) or open_queue(state, name)
    if queue.max_jobs is not None and queue.size >= queue.max_jobs:
        raise Refusal(f"queue {name} is full: it holds {queue.size} jobs, and max_jobs is {queue.max_jobs}")
    if at is not None:
        _schedule(state, job, payload, priority, at)
        return
    # From here on nothing can fail.
    changes = state.turn.changes
    order = state.order + 1
    if order > state.orders_reserved:
        order = state.take_order()
    else:
        state.order = order
    number = order.to_bytes(8)
    windows = queue.windows
    if len(windows) == 1 and windows[0].priority == priority:
        window = windows[0]
    else:
        window = queue.window(priority)
    key = window.prefix + number
    changes[key] = payload
    if state.has_index:
        encoded = job.jid.encode()
        changes[keys.WHERE[len(encoded)] + encoded + number] = key
    if not window.more:
        if len(window.entries) < state.queues.bound:
            kept = payload if len(payload) <= LARGE_PAYLOAD_BYTES else None
            window.entries.append(
                Entry(order, key, order, job.jid, kept, job.reserve_for, has_custom(job))
            )
        else:
            window.more, window.tail = True, order
    queue.size += 1
    queue.pushed += 1
    if not queue.dirty:
        queue.dirty = True
        state.queues.dirty.append(queue)
    if queue.wanted:
        state.arrivals.append(name)


def _schedule(state: State, job: Job, payload: bytes, priority: int, at: int) -> None:
    with state.change() as change:
        order = state.take_order()
        key = state.scheduled.add(change, at, order, order, Extras(priority=priority), payload)
        if state.has_index:
            change.put(keys.where_key(job.jid, order), key)


def _without_twins(prepared: list[Prepared], errors: dict[str, str]) -> list[Prepared]:
    """Drop the jobs whose jid stands earlier in the same list."""
    seen: set[str] = set()
    kept = []
    for ready in prepared:
        jid = ready[0].jid
        if jid in seen:
            errors[jid] = f"a job with jid {jid} exists already"
        else:
            seen.add(jid)
            kept.append(ready)
    return kept
