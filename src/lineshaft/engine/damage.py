"""Damage: rows whose value cannot be read. They are set aside, so that nothing fails over them again.

Whoever meets such a row notes it on the turn and goes on without it; before the turn is committed, `set_aside` moves
what was noted: the row to X <its key>, bytes untouched, and every count of it with it, in the same commit. So a row is
met once, and nobody else's work stops. To the features that it used it is as if it had been removed. The record of a
lane is set aside in the same way; what it said is counted anew. So is a callback that cannot be enqueued, by the batch
itself, to which it is lost then (`batches`): whoever reads it under X pushes that job by hand.
"""

import re
from typing import Final

from lineshaft.engine import feature, keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Subject
from lineshaft.engine.features.tracks import is_tracked
from lineshaft.engine.state import State
from lineshaft.engine.value import NO_EXTRAS, split_value
from lineshaft.job import MAX_JID_LENGTH, UNREADABLE

__all__ = ["set_aside"]


#: A jid as it stands in a job's payload, or in something that looks like it.
_JID: Final = re.compile(rb'"jid":"([^"\\]{1,%d})"' % MAX_JID_LENGTH)


def set_aside(state: State) -> None:
    """Move the damaged rows that this turn has met."""
    damaged, state.turn.damaged = state.turn.damaged, {}
    for key, value in damaged.items():
        if state.turn.changes.get(key, b"") is None:
            continue  # it has gone meanwhile
        state.turn.changes[keys.aside_key(key)] = value
        state.set_aside.append(key)
        if key[:1] != b"O":  # the record of a lane is made anew, under the same key (`lanes.rows`)
            state.turn.changes[key] = None
            _lose_job(state, key, value)
    if any(key[:1] == b"T" for key in damaged):
        _judge_lanes(state)


def _lose_job(state: State, key: bytes, value: bytes) -> None:
    """Uncount a job. Whoever waits for it waits no longer, as far as the line with its Extras can be read."""
    try:
        extras, payload = split_value(value)
    except UNREADABLE:
        extras, payload = NO_EXTRAS, value
    seq = extras.seq or int.from_bytes(key[-8:])
    # By the key, since the seq may stand in what cannot be read. Looking through all is well enough for this.
    lease = next((lease for lease in state.leases.by_seq.values() if lease.key == key), None)
    jid = _jid_in(state, key, seq, payload) if lease is None else lease.jid
    if jid:
        state.index.remove(jid, seq if lease is None else lease.seq)
    if key[:1] == b"T":
        _uncount_timed(state, key)
    elif lease is not None:
        state.cancels.forget(lease.seq)
        state.leases.end(lease)
    else:
        _uncount_ready(state, key)
    if extras.uses:
        with state.change() as change:
            feature.ended(state, change, Subject(jid, seq, extras), Ending.REMOVED)


def _jid_in(state: State, key: bytes, seq: int, payload: bytes) -> str:
    """The jid of a job that cannot be read as a whole, if the index or its track says the same; else nothing."""
    for found in _JID.finditer(payload):
        jid = found[1].decode(errors="replace")
        if (seq, key) in state.index.find(jid) or is_tracked(state, jid, seq):
            return jid
    return ""


def _uncount_timed(state: State, key: bytes) -> None:
    timed = next(each for each in state.sets.values() if each.code == key[1:2])
    timed.size, timed.dirty = timed.size - 1, True
    if timed.is_grouped:
        state.groups.leave(timed.code, None)


def _judge_lanes(state: State) -> None:
    """Perhaps a job in a set held its lane; which one stands in what cannot be read."""
    for queue in state.queues:
        if queue.lanes is not None and queue.lanes.rules.strict:
            queue.lanes.judge_all()


def _uncount_ready(state: State, key: bytes) -> None:
    name, generation, _ = keys.ready_parts(key)
    queue = state.queues.by_name.get(name)
    if queue is not None and queue.generation == generation:
        state.index.forget_key(key)
        with state.change() as change:
            state.queues.lose(change, queue, key)
