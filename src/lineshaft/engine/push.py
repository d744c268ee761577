"""PUSH: a job comes in, to its queue's tail or into the scheduled set.

The hot path, so `accept` is written flat: every check that can refuse stands before the first change, and between the
first and the last nothing can raise. A PUSHB whose checks need the disk makes them for all its jobs before it accepts
the first, so that whatever happens it is one transition.
"""

from lineshaft.engine import feature
from lineshaft.engine.custom import NO_WISHES, Wishes, read_custom
from lineshaft.engine.entry import LARGE_PAYLOAD_BYTES, Entry
from lineshaft.engine.feature import Subject
from lineshaft.engine.line import Line, Window
from lineshaft.engine.naming import open_queue
from lineshaft.engine.ready import Queue
from lineshaft.engine.state import State
from lineshaft.engine.stats.outcomes import MOST_LETTERS
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras, join_value
from lineshaft.errors import Refusal
from lineshaft.job import (
    ABSENT,
    ARGS_FIRST,
    DEFAULT_PRIORITY,
    Job,
    admit,
    encode_job,
    refuse_args,
    take_instant,
    take_priority,
)

__all__ = ["accept", "enter", "push", "push_bulk"]


def push(state: State, job: Job) -> None:
    """Accept a job. Durable with the turn's commit. Raises Refusal, StoreError."""
    if state.settings.refuse_duplicate_jids and state.index.has(job.jid):
        raise Refusal(f"a job with jid {job.jid} exists already", reveals=True)
    accept(state, job)


def push_bulk(state: State, jobs: list[Job]) -> dict[str, str]:
    """Accept many jobs; returns jid to error text for those that were refused.

    All that were accepted are in one commit. A jid that stands in the list twice is two jobs, unless duplicates are
    refused. Raises Refusal for too many jobs, StoreError.
    """
    most = state.settings.most.bulk
    if len(jobs) > most:
        raise Refusal(f"too many jobs: PUSHB takes at most {most}")
    errors: dict[str, str] = {}
    if state.settings.refuse_duplicate_jids:
        jobs = _without_duplicates(state, jobs, errors)
    for job in jobs:
        try:
            accept(state, job)
        except Refusal as refusal:
            errors[job.jid] = refusal.text
    return errors


def accept(state: State, job: Job) -> None:
    """Check a job, and store it. Raises Refusal, before anything moved."""
    stamp = state.stamp
    name = admit(job, stamp)
    if state.push_refusal is not None:
        raise Refusal(state.push_refusal)
    at = None if job.at is None else take_instant(job, after=state.now)
    job.enqueued_at = stamp if at is None else None
    priority = DEFAULT_PRIORITY if job.priority is ABSENT else take_priority(job)
    payload = encode_job(job)
    if not payload.startswith(ARGS_FIRST):
        raise refuse_args(job)
    # Before the queue is opened: a job that cannot come in brings none into being.
    wishes = None if job.custom is ABSENT else read_custom(job, state.now, at, most=state.settings.most.custom_bytes)
    queues = state.queues
    queue = queues.by_name.get(name) or open_queue(state, name, most=state.settings.most.queues)
    if queue.max_jobs is not None and queue.size >= queue.max_jobs:
        raise Refusal(f"queue {name} is full: it holds {queue.size} jobs, and max_jobs is {queue.max_jobs}")
    if at is not None or queue.lanes is not None:
        _enter(state, job, payload, priority, at, queue, wishes or NO_WISHES)
        return
    order = state.order + 1
    if order > state.orders_reserved:
        order = state.take_order()
    else:
        state.order = order
    windows = queue.windows
    if windows and windows[0].priority == priority:
        window = windows[0]
    else:
        window = queue.window(priority)
    jid, key = job.jid, window.prefix + order.to_bytes(8)
    value, special = payload, None
    if wishes is not None:
        value, special = _ask(state, Subject(jid, order, wishes.extras), wishes, key, payload)
    # From here on nothing can fail.
    state.turn.changes[key] = value
    index = state.index
    if index.enabled and index.young.setdefault(jid, key) is not key:
        index.add_twin(jid, key)
    if not window.more:
        if len(window.entries) < queues.bound:
            kept = payload if len(payload) <= LARGE_PAYLOAD_BYTES else None
            window.entries.append(
                Entry(order, key, order, jid, kept, job.reserve_for, special, job.jobtype[:MOST_LETTERS])
            )
        else:
            window.more, window.tail = True, order
    queue.size += 1
    queue.pushed += 1
    if not queue.dirty:
        queue.dirty = True
        queues.dirty.append(queue)
    if queue.wanted:
        state.arrivals.append(name)


def _enter(state: State, job: Job, payload: bytes, priority: int, at: int | None, queue: Queue, wishes: Wishes) -> None:
    """Put a job where it belongs, which is not the tail of a queue without lanes. Raises Refusal, StoreError.

    One that goes into the scheduled set and uses no feature does so as in `enter`, but flat, since nothing can fail: a
    PUSHB of hundreds of them takes half the time, and that is how long everybody else waits.
    """
    if at is None or wishes.extras.uses:
        with state.change() as change:
            enter(state, change, job, payload, priority, at, queue, wishes)
        return
    order, extras = state.take_order(), wishes.extras.at_home(seq=0, priority=priority)
    state.index.move(job.jid, order, state.scheduled.take_in(at, order, join_value(extras, payload)))


def _ask(state: State, subject: Subject, wishes: Wishes, key: bytes, payload: bytes) -> tuple[bytes, Extras | None]:
    """Bring in the features that a job asks for; returns what is stored of it, and its Extras if it has features.

    Raises Refusal, StoreError, before anything moved.
    """
    extras = wishes.extras
    value = join_value(extras, payload)
    if not extras.uses:
        return value, None
    change = Change(state.turn)
    feature.pushed(state, change, subject, wishes.lock_until)
    feature.placed(state, change, subject, key)
    change.merge()
    return value, extras


def enter(
    state: State, change: Change, job: Job, payload: bytes, priority: int, at: int | None, queue: Queue, wishes: Wishes
) -> None:
    """Put a job into its queue, or its lane, or the scheduled set, with what it uses. Raises Refusal, StoreError."""
    line = queue if at is not None or queue.lanes is None else queue.line(job)
    order = state.take_order()
    extras = wishes.extras
    subject = Subject(job.jid, order, extras)
    feature.pushed(state, change, subject, wishes.lock_until)
    if at is not None:
        key = state.scheduled.add(change, at, order, order, extras.at_home(seq=0, priority=priority), payload)
        change.then(state.index.move, job.jid, order, key)
    else:
        rank = line.rank(priority)
        window = line.window(rank)
        key = window.prefix + order.to_bytes(8)
        # In a ready job's key stands its priority; in its Extras only what the key does not say.
        extras = extras.at_home(seq=0, priority=DEFAULT_PRIORITY if rank == priority else priority)
        change.changes[key] = join_value(extras, payload)
        kept = payload if len(payload) <= LARGE_PAYLOAD_BYTES else None
        special = extras if extras.uses else None
        entry = Entry(order, key, order, job.jid, kept, job.reserve_for, special, job.jobtype[:MOST_LETTERS])
        change.effects.append((_entered, (state, queue, line, window, entry)))
    feature.placed(state, change, subject, key)


def _entered(state: State, queue: Queue, line: Line, window: Window, entry: Entry) -> None:
    window.append(entry, line.room(state.queues.bound))
    line.count(1)
    queue.pushed += 1
    state.queues.touch(queue)
    if queue.wanted:
        state.arrivals.append(queue.name)
    if line is not queue:
        # A start finds the young jobs in the queues themselves, and does not go through their lanes.
        state.index.move(entry.jid, entry.seq, entry.key)
    elif state.index.enabled:
        state.index.add(entry.jid, entry.key)


def _without_duplicates(state: State, jobs: list[Job], errors: dict[str, str]) -> list[Job]:
    """Drop the jobs whose jid is that of a live job, or stands earlier in the same list. Raises StoreError."""
    seen: set[str] = set()
    kept = []
    for job in jobs:
        if job.jid in seen or state.index.has(job.jid):
            errors[job.jid] = f"a job with jid {job.jid} exists already"
        else:
            seen.add(job.jid)
            kept.append(job)
    return kept
