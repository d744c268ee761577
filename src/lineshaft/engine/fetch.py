"""FETCH: a worker takes the next job of the first named queue that has one.

The job stays where it lies; only a small lease is written, in one record with all others of the turn. Written flat,
as PUSH is: everything that can raise stands before the first change.
"""

from collections.abc import Iterable
from typing import Final

from lineshaft.engine import feature
from lineshaft.engine.ending import Ending
from lineshaft.engine.entry import Entry
from lineshaft.engine.feature import Subject
from lineshaft.engine.moves import leave
from lineshaft.engine.ready import Queue
from lineshaft.engine.records import Lease
from lineshaft.engine.state import State
from lineshaft.engine.stats.outcomes import Outcome
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras
from lineshaft.job import DEFAULT_RESERVE_SECONDS, reserve_seconds

__all__ = ["fetch"]

#: How many jobs one FETCH drops on its way; then others have their turn first.
MOST_DROPPED: Final = 20


def fetch(state: State, names: Iterable[str], holder: str, most_dropped: int = MOST_DROPPED) -> bytes | None:
    """The payload of the job that `holder` has now leased; None when no named queue has one.

    A queue whose throttle lets this holder have no more looks empty. Not synced: a power cut may take the lease back,
    and the job runs again. A job that is not to run any more is dropped on the way; after `most_dropped` of them the
    queue is an arrival, and may be asked again. Raises StoreError.
    """
    by_name = state.queues.by_name
    for name in names:
        queue = by_name.get(name)
        if queue is None or not queue.size or queue.paused:
            continue
        if queue.gate is not None and not queue.gate.admits(holder, state.now):
            continue
        for window in queue.windows if queue.lanes is None else queue.lanes.next_windows():
            entries = window.entries
            if not entries:
                if not window.more:
                    continue
                state.queues.refill(window)
                if not entries:
                    continue
            entry = entries[0]
            payload = entry.payload
            if payload is None:
                payload = state.queues.read_payload(entry)
            reserve_for = entry.reserve_for
            if reserve_for is None:
                seconds = queue.reserve_seconds or DEFAULT_RESERVE_SECONDS
            else:
                seconds = reserve_seconds(reserve_for)
            now, leases = state.now, state.leases
            special, uses = entry.special, ""
            if special is not None:
                uses = special.uses
                if state.features.fetched[uses] and _is_dropped(state, queue, entry, special):
                    if most_dropped > 1:
                        return fetch(state, names, holder, most_dropped - 1)
                    state.arrivals.append(name)
                    return None
                leases.extras[entry.seq] = special
            # From here on nothing can fail.
            entries.popleft()
            until, group = now + seconds * 1000, leases.group
            leases.grant(Lease(entry.seq, entry.key, entry.jid, holder, now, until, name, group, uses, entry.jobtype))
            queue.size -= 1
            if not queue.dirty:
                queue.dirty = True
                state.queues.dirty.append(queue)
            return payload
    return None


def _is_dropped(state: State, queue: Queue, entry: Entry, extras: Extras) -> bool:
    """Tell the features that a job, the first of its window, is about to be leased; True when it was dropped instead.

    Raises StoreError, before anything moved.
    """
    change = Change(state.turn)
    if not feature.fetched(state, change, Subject(entry.jid, entry.seq, extras)):
        change.merge()
        return False
    change.delete(entry.key)
    leave(state, change, entry.jid, entry.seq, extras, Ending.EXPIRED)
    state.queues.lose(change, queue, entry.key)
    change.then(queue.outcomes.count, Outcome.EXPIRED, entry.jobtype)
    change.merge()
    return True
