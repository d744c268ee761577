"""Forget: what is done when the time of something has come; a slice at a time, as all that comes due.

Each kind of entry among the expiries has its function here. A function is given an entry that is due and removes what
it stands for; the entry itself goes in the same change.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.expiries import Expiry
from lineshaft.engine.features.batches import BATCH, forget_batch
from lineshaft.engine.features.expiring import END
from lineshaft.engine.features.tracks import FORGET
from lineshaft.engine.features.unique import LOCK
from lineshaft.engine.lanes.lanes import WAIT
from lineshaft.engine.moves import leave, take_out
from lineshaft.engine.records import LockRecord, TrackRecord, decode_lock, decode_track
from lineshaft.engine.state import State
from lineshaft.engine.stats.outcomes import MOST_LETTERS, Outcome
from lineshaft.engine.turn import Change
from lineshaft.engine.value import split_value
from lineshaft.job import DEFAULT_QUEUE, UNREADABLE, decode_stored

__all__ = ["KINDS", "forget"]

#: Entries per slice: about a millisecond of work.
SLICE: Final = 100


def forget(state: State) -> None:
    """One slice of what is due. Raises StoreError."""
    if state.expiries.next_at > state.now:
        return
    for expiry in state.expiries.due(state.now, SLICE):
        with state.change() as change:
            change.delete(expiry.key)
            KINDS[expiry.kind](state, change, expiry)
            change.then(state.expiries.pass_by, expiry.key)


def _forget_lock(state: State, change: Change, expiry: Expiry) -> None:
    """The lock of a unique job has ended: the next one may come."""
    _forget_row(state, change, keys.lock_key(expiry.id), expiry.at, decode_lock)


def _drop_expired(state: State, change: Change, expiry: Expiry) -> None:
    """A job has expired: it goes, unless a worker has it."""
    key, seq = expiry.value, int.from_bytes(expiry.id)
    value = state.turn.get(key)
    if value is None or state.leases.holds(seq):
        return
    try:
        extras, payload = split_value(value)
        job = decode_stored(payload)
    except UNREADABLE:
        state.turn.damaged[key] = value
        return
    if take_out(state, change, key, extras, payload):
        leave(state, change, job.jid, seq, extras, Ending.EXPIRED)
        if queue := state.queues.by_name.get(job.queue or DEFAULT_QUEUE):
            change.then(queue.outcomes.count, Outcome.EXPIRED, job.jobtype[:MOST_LETTERS])


def _forget_track(state: State, change: Change, expiry: Expiry) -> None:
    """Nobody asked for long enough how that job ended."""
    _forget_row(state, change, keys.track_key(expiry.id.decode()), expiry.at, decode_track)


def _forget_row(
    state: State, change: Change, key: bytes, at: int, decode: Callable[[bytes], LockRecord | TrackRecord]
) -> None:
    """A row that ends now goes. One that took the place of an unreadable one has an entry of its own, later."""
    value = state.turn.get(key)
    with suppress(*UNREADABLE):
        if value is not None and decode(value).until != at:
            return
    change.delete(key)


def _wake_lane(state: State, change: Change, expiry: Expiry) -> None:
    """A lane has waited for its token, or its bucket is full again."""
    name, generation, _ = keys.lanes_parts(expiry.id)
    queue = state.queues.by_name.get(name)
    if queue is not None and queue.generation == generation and queue.lanes is not None:
        change.then(queue.lanes.wake, queue.lanes.get(keys.lane_name(expiry.id)), expiry.at)


def _look_at_batch(state: State, change: Change, expiry: Expiry) -> None:
    """A batch is finished for long enough, or was not committed for too long."""
    forget_batch(state, change, expiry.id.decode())


KINDS: Final[dict[bytes, Callable[[State, Change, Expiry], None]]] = {
    LOCK: _forget_lock,
    END: _drop_expired,
    FORGET: _forget_track,
    WAIT: _wake_lane,
    BATCH: _look_at_batch,
}
"""Every kind of expiry entry, and what is done at its time."""
