"""QUEUE and FLUSH: pause, resume, remove, latency; and everything gone.

REMOVE takes effect at once: the queue's record goes, and a queue of that name that comes later has another
generation, so what lies under the old one is out of reach; a chore sweeps it. Jobs that workers hold go on.
"""

from contextlib import suppress
from itertools import islice
from typing import Final

from lineshaft.clock import parse_instant
from lineshaft.engine import keys
from lineshaft.engine.admin.sweep import SWEEP
from lineshaft.engine.entry import Entry
from lineshaft.engine.naming import check_queue_name, open_queue
from lineshaft.engine.ready import Queue
from lineshaft.engine.records import ChoreRecord
from lineshaft.engine.state import State
from lineshaft.errors import Refusal
from lineshaft.job import UNREADABLE, decode_stored

__all__ = ["flush", "latency", "pause", "remove", "resume"]

#: Jobs that are read to tell the latency of a queue none of whose jobs is in memory.
LOOKED_AT: Final = 16


def pause(state: State, names: list[str]) -> None:
    """Hand out no job of these queues until they are resumed; `*` means all. Raises Refusal."""
    _check(names)
    for queue in [open_queue(state, name, most=state.settings.most.queues) for name in _named(state, names)]:
        queue.paused = True
        state.queues.touch(queue)


def resume(state: State, names: list[str]) -> None:
    """Hand out jobs of these queues again; `*` means all. A queue that is not known is nothing to resume."""
    _check(names)
    for name in _named(state, names):
        queue = state.queues.by_name.get(name)
        if queue is not None and queue.paused:
            queue.paused = False
            state.queues.touch(queue)
            state.arrivals.append(name)


def remove(state: State, names: list[str]) -> None:
    """Remove these queues and the jobs that wait in them; `*` means all. Durable with the commit."""
    _check(names)
    for name in _named(state, names):
        queue = state.queues.by_name.get(name)
        if queue is not None:
            _remove(state, queue)


def _remove(state: State, queue: Queue) -> None:
    with state.change() as change:
        start, end = keys.ready_range(queue.name, queue.generation)
        record = ChoreRecord(SWEEP, end, start, bound=state.order)
        state.chores.begin(change, state.take_order(), record)
        if queue.lanes is not None:
            start, end = keys.laned_range(queue.name, queue.generation)
            state.chores.begin(change, state.take_order(), ChoreRecord(SWEEP, end, start, bound=state.order))
            change.then(state.turn.clear, *keys.lanes_range(queue.name, queue.generation))
        change.then(state.add_totals, queue.processed, queue.failed)
        change.then(state.queues.forget, queue.name)


def latency(state: State, names: list[str]) -> dict[str, float]:
    """Seconds that the oldest job of each queue has waited, 0 when it is empty. Raises Refusal, StoreError."""
    if "*" in names:
        raise Refusal("QUEUE LATENCY does not support wildcards")
    _check(names)
    return {name: queue_latency(state, name) for name in dict.fromkeys(names)}


def queue_latency(state: State, name: str) -> float:
    """Seconds that the oldest job of one queue has waited, in a lane that may start one where there are lanes.

    Raises StoreError.
    """
    queue = state.queues.by_name.get(name)
    if queue is None or not queue.size:
        return 0.0
    entries: list[Entry] = []
    for window in queue.windows:
        if window.more and not window.entries:
            # No more than has to be looked at: a page asks for fifty queues at once.
            state.queues.refill(window, LOOKED_AT)
        entries += islice(window.entries, 1)
    if queue.lanes is not None and (first := queue.lanes.first()) is not None:
        entries.append(first)
    oldest = state.now
    for entry in entries:
        # One that cannot be read says nothing; whoever works with it next sets it aside.
        with suppress(*UNREADABLE):
            enqueued_at = decode_stored(state.queues.read_payload(entry)).enqueued_at
            oldest = min(oldest, parse_instant(enqueued_at) if enqueued_at else state.now)
    return max(state.now - oldest, 0) / 1000


def flush(state: State) -> None:
    """Remove all job data at once, whatever its size: jobs, queues, pauses, counters."""
    for start, end in keys.JOB_RANGES:
        state.turn.clear(start, end)
    state.leases.clear()
    state.index.clear()
    state.queues.clear()
    for timed in state.sets.values():
        timed.clear()
    state.groups.clear()
    state.notes.clear()
    state.chores.clear()
    state.expiries.clear()
    state.cancels.clear()
    state.throttles.clear()
    state.history.clear()
    state.lost.clear()
    state.unheld.clear()
    state.forget_figures()


def _named(state: State, names: list[str]) -> list[str]:
    return list(state.queues.by_name) if "*" in names else names


def _check(names: list[str]) -> None:
    if not names:
        raise Refusal("QUEUE needs the name of at least one queue")
    for name in names:
        if name != "*":
            check_queue_name(name)
