"""Damage: rows whose value cannot be read as a job. They are set aside, so that nothing fails over them again.

Whoever meets such a row notes it on the turn and goes on without it; before the turn is committed, `set_aside` moves
what was noted: the row to X <its key>, bytes untouched, and every count of it with it, in the same commit. So a row is
met once, and nobody else's work stops. `lineshaft check` can put a repaired row back under its key.
"""

from lineshaft.engine import keys
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
        if key[:1] == b"T":
            _uncount_timed(state, key)
        else:
            _uncount_ready(state, key)


def _uncount_timed(state: State, key: bytes) -> None:
    timed = next(each for each in state.sets.values() if each.code == key[1:2])
    timed.size, timed.dirty = timed.size - 1, True
    for queue in state.queues:
        # Perhaps it held a lane; which one stands in what cannot be read.
        if queue.lanes is not None and queue.lanes.rules.strict:
            queue.lanes.judge_all()


def _uncount_ready(state: State, key: bytes) -> None:
    # By the key, since the seq may stand in what cannot be read. Looking through all is well enough for this.
    lease = next((lease for lease in state.leases.by_seq.values() if lease.key == key), None)
    name, generation, _ = keys.ready_parts(key)
    queue = state.queues.by_name.get(name)
    if lease is not None:
        state.index.remove(lease.jid, lease.seq)
        state.cancels.forget(lease.seq)
        state.leases.end(lease)
    elif queue is not None and queue.generation == generation:
        state.index.forget_key(key)
        with state.change() as change:
            state.queues.lose(change, queue, key)
