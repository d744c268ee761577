"""Damage: rows whose value cannot be read as a job. They are set aside, so that nothing fails over them again.

Whoever meets such a row notes it on the turn and goes on without it; before the turn is committed, `set_aside` moves
what was noted: the row to X <its key>, bytes untouched, and every count of it with it, in the same commit. So a row is
met once, and nobody else's work stops. To the features that it used it is as if it had been removed.
`lineshaft check` can put a repaired row back under its key.
"""

from msgspec import DecodeError

from lineshaft.engine import feature, keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Subject
from lineshaft.engine.records import split_value
from lineshaft.engine.state import State

__all__ = ["set_aside"]


def set_aside(state: State) -> None:
    """Move the damaged rows that this turn has met."""
    damaged, state.turn.damaged = state.turn.damaged, {}
    for key, value in damaged.items():
        if state.turn.changes.get(key, b"") is None:
            continue  # it has gone meanwhile
        state.turn.changes[key] = None
        state.turn.changes[keys.aside_key(key)] = value
        state.set_aside.append(key)
        jid = ""
        if key[:1] == b"T":
            _uncount_timed(state, key)
        else:
            jid = _uncount_ready(state, key)
        _tell_features(state, key, value, jid)
    if any(key[:1] == b"T" for key in damaged):
        _judge_lanes(state)


def _tell_features(state: State, key: bytes, value: bytes, jid: str) -> None:
    """Whoever waits for the job waits no longer, as far as the line with its Extras can be read."""
    try:
        extras, _ = split_value(value)
    except DecodeError:
        return
    if extras.uses:
        with state.change() as change:
            seq = extras.seq or int.from_bytes(key[-8:])
            feature.ended(state, change, Subject(jid, seq, extras), Ending.REMOVED)


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


def _uncount_ready(state: State, key: bytes) -> str:
    """Returns the job's jid, where it is known."""
    # By the key, since the seq may stand in what cannot be read. Looking through all is well enough for this.
    lease = next((lease for lease in state.leases.by_seq.values() if lease.key == key), None)
    name, generation, _ = keys.ready_parts(key)
    queue = state.queues.by_name.get(name)
    if lease is not None:
        state.index.remove(lease.jid, lease.seq)
        state.cancels.forget(lease.seq)
        state.leases.end(lease)
        return lease.jid
    if queue is not None and queue.generation == generation:
        state.index.forget_key(key)
        with state.change() as change:
            state.queues.lose(change, queue, key)
    return ""
