"""Reschedule: a job that waits for an instant waits for another one.

No verb of the protocol: an operator asks for it.
"""

from lineshaft.clock import format_instant
from lineshaft.engine import keys
from lineshaft.engine.moves import join_set, take_out
from lineshaft.engine.state import State
from lineshaft.engine.timed import SetName, read_timed
from lineshaft.engine.value import split_value
from lineshaft.errors import Refusal
from lineshaft.job import UNREADABLE

__all__ = ["reschedule"]

#: Beyond this an instant is no date that a job can name.
LATEST: int = 253_402_300_799_999


def reschedule(state: State, name: SetName, jid: str, at: int) -> None:
    """Let the jobs of a set with this jid run at `at`; what has passed is due at once. Durable with the commit.

    Raises Refusal when there is none, for an instant that is none, and for dead jobs, which wait for nothing;
    StoreError.
    """
    if name is SetName.DEAD:
        raise Refusal("dead jobs wait for no instant")
    if not 0 <= at <= LATEST:
        raise Refusal("the time lies outside of what a job can wait for")
    timed = state.sets[name]
    stamp = format_instant(at)
    moved = 0
    with state.change() as change:
        for _, key in state.index.find(jid):
            value = change.get(key) if key.startswith(keys.timed_prefix(timed.code)) else None
            if value is None:
                continue
            try:
                found = read_timed(key, value)
            except UNREADABLE:
                state.turn.damaged[key] = value
                continue
            extras, _ = split_value(value)
            job = found.job
            if job.failure is not None:
                job.failure.next_at = stamp
            else:
                job.at = stamp
            take_out(state, change, key, extras, found.payload)
            join_set(state, change, timed, at, job, found.seq, extras)
            moved += 1
        if not moved:
            raise Refusal(f"Job not found {jid[:200]}", reveals=True)
