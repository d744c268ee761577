"""FETCH: a worker takes the next job of the first named queue that has one.

The job stays where it lies; only a small lease is written, in one record with all others of the turn. Written flat,
as PUSH is: everything that can raise stands before the first change.
"""

from lineshaft.engine.records import Lease
from lineshaft.engine.state import State
from lineshaft.job import DEFAULT_RESERVE_SECONDS, reserve_seconds

__all__ = ["fetch"]


def fetch(state: State, names: list[str], holder: str) -> bytes | None:
    """The payload of the job that `holder` has now leased; None when no named queue has one.

    Not synced: a power cut may take the lease back, and the job runs again. Raises StoreError.
    """
    by_name = state.queues.by_name
    for name in names:
        queue = by_name.get(name)
        if queue is None or not queue.size or queue.paused:
            continue
        for window in queue.windows:
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
            now = state.now
            # From here on nothing can fail.
            entries.popleft()
            leases = state.leases
            leases.grant(Lease(entry.seq, entry.key, entry.jid, holder, now, now + seconds * 1000, name, leases.group))
            queue.size -= 1
            if not queue.dirty:
                queue.dirty = True
                state.queues.dirty.append(queue)
            return payload
    return None
