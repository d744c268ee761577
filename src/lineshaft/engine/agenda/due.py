"""What comes due by itself: promotion of scheduled and retried jobs, expiry, recovery, pruning.

Each function does one bounded slice of what is due now, so that a million jobs due at the same instant never hold
up a client; `agenda.tick` calls them until nothing is due. A slice is one transition per job, since one damaged
job must not stop the others.
"""

from contextlib import suppress
from typing import Final

from lineshaft.engine.ending import Ending
from lineshaft.engine.entry import make_entry
from lineshaft.engine.finish import expire, recover
from lineshaft.engine.moves import Damaged, join_queue, leave, take_out
from lineshaft.engine.state import State
from lineshaft.engine.timed import TimedJob, TimedSet
from lineshaft.engine.value import join_moved
from lineshaft.job import DEFAULT_QUEUE, encode_job

__all__ = ["expire_leases", "promote", "prune_dead", "recover_vanished"]

#: Jobs per slice: about a millisecond and a half of work.
SLICE: Final = 150
#: So many of them may be jobs that use a feature, or have failed: each is as much work as three others.
MOST_RELEASED: Final = 50


def promote(state: State, timed: TimedSet) -> None:
    """Move jobs whose time has come to the tail of their queues. Raises StoreError."""
    released = 0
    for waiting in timed.due(state.now, MOST_RELEASED if timed.is_grouped or timed.is_dear else SLICE):
        if timed.is_grouped or not _join_plainly(state, timed, waiting):
            release(state, waiting)
            released += 1
            if released == MOST_RELEASED:
                break
    timed.is_dear = released == MOST_RELEASED


def _join_plainly(state: State, timed: TimedSet, waiting: TimedJob) -> bool:
    """Do what `release` does, written flat, for a job that uses no feature and whose queue is there and has no lanes.

    Nothing can fail here, so nothing need be collected before: a million such jobs due in the same second take half
    the time. False for any other job, of which nothing is changed.
    """
    job, extras, queues = waiting.job, waiting.extras, state.queues
    queue = queues.by_name.get(job.queue or DEFAULT_QUEUE)
    if queue is None or queue.lanes is not None or extras.uses or extras.place:
        return False
    job.enqueued_at = state.stamp
    payload, order, changes = encode_job(job), state.take_order(), state.turn.changes
    windows = queue.windows
    window = windows[0] if windows and windows[0].priority == extras.priority else queue.window(extras.priority)
    key = window.prefix + order.to_bytes(8)
    changes[waiting.key] = None
    changes[key] = join_moved(extras, waiting.seq, payload)
    timed.left()
    state.index.move(job.jid, waiting.seq, key)
    if not window.more:
        window.append(make_entry(key, waiting.seq, extras, payload), queues.bound)
    queue.size += 1
    if not queue.dirty:
        queues.touch(queue)
    if queue.wanted:
        state.arrivals.append(queue.name)
    return True


def release(state: State, waiting: TimedJob) -> None:
    """Move one job from a timed set to the tail of its queue. Raises StoreError."""
    with state.change() as change:
        take_out(state, change, waiting.key, waiting.extras, waiting.payload)
        join_queue(state, change, waiting.job, waiting.seq, waiting.extras)


def prune_dead(state: State) -> None:
    """Drop the dead jobs that were kept long enough, and the oldest of too many. Raises StoreError."""
    settings, dead = state.settings, state.dead
    pruned = dead.due(state.now - settings.dead_keep, SLICE)
    if not pruned and dead.size > settings.dead_max:
        pruned = dead.oldest(min(SLICE, dead.size - settings.dead_max))
        if not pruned and not state.turn.damaged:
            dead.forget_size()
    for waiting in pruned:
        discard(state, waiting, Ending.PRUNED)


def discard(state: State, waiting: TimedJob, ending: Ending) -> None:
    """Drop one job from a timed set. Raises StoreError."""
    with state.change() as change:
        take_out(state, change, waiting.key, waiting.extras, waiting.payload)
        leave(state, change, waiting.job.jid, waiting.seq, waiting.extras, ending)


def expire_leases(state: State) -> None:
    """Fail the jobs whose reservation ran out. Raises StoreError."""
    leases = state.leases
    found = leases.take_expired(state.now)
    # Until the last of them is through there is one that has run out.
    bound, leases.next_expiry = leases.next_expiry, min(leases.next_expiry, state.now)
    for lease in found:
        with suppress(Damaged):
            expire(state, lease)
    leases.next_expiry = bound


def recover_vanished(state: State) -> None:
    """Take the jobs of vanished workers back. Raises StoreError.

    What is known of such a worker on disk goes with its last job, so that a crash in between starts over.
    """
    vanished = state.workers.take_vanished(state.now)
    if vanished:
        state.lost += reversed(state.leases.of_holders(vanished))
    for _ in range(min(SLICE, len(state.lost))):
        lease = state.lost.pop()
        if state.leases.by_seq.get(lease.seq) is lease:
            with suppress(Damaged):
                recover(state, lease)
    if not state.lost and state.workers.vanished:
        state.workers.forget()
