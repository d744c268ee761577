"""CANCEL, the verb: every live job with a jid is removed, or flagged when a worker holds it; see `cancel`."""

from typing import Final

from lineshaft.engine.cancel import flag
from lineshaft.engine.ending import Ending
from lineshaft.engine.features.tracks import note_cancel
from lineshaft.engine.moves import leave, take_out
from lineshaft.engine.records import Lease
from lineshaft.engine.state import State
from lineshaft.engine.turn import Change
from lineshaft.engine.value import split_value
from lineshaft.errors import Refusal
from lineshaft.job import UNREADABLE, decode_stored

__all__ = ["cancel"]

#: More jobs than this with one jid are not cancelled in one step: only a client that reuses one jid makes them.
MOST_TWINS: Final = 100


def cancel(state: State, jid: str) -> None:
    """Remove the waiting jobs with this jid, and flag those that workers hold. Durable with the commit.

    Raises Refusal when there is none, or when it cannot be found without the jid index; StoreError.
    """
    held = state.leases.all_of(jid)
    waiting = [(seq, key) for seq, key in state.index.find(jid) if not state.leases.holds(seq)]
    if len(held) + len(waiting) > MOST_TWINS:
        raise Refusal(f"more than {MOST_TWINS} jobs have the jid {jid[:200]}: MUTATE discards them")
    with state.change() as change:
        for lease in held:
            _flag(state, change, lease)
        removed = [seq for seq, key in waiting if _remove(state, change, jid, seq, key)]
        if not held and not removed:
            raise Refusal(f"Job not found {jid[:200]}{_why(state, waiting)}", reveals=True)


def _why(state: State, waiting: list[tuple[int, bytes]]) -> str:
    """What else there is to say when nothing was found to cancel."""
    if not state.index.enabled:
        return ": only running jobs can be found with jid_index = false"
    if any(_is_dead(state, key) and state.turn.get(key) is not None for _, key in waiting):
        return ": it is dead and runs no more; MUTATE discards it"
    return ""


def _is_dead(state: State, key: bytes) -> bool:
    return key.startswith(state.dead.prefix)


def _flag(state: State, change: Change, lease: Lease) -> None:
    flag(state, change, lease)
    note_cancel(state, change, lease.jid, lease.seq)


def _remove(state: State, change: Change, jid: str, seq: int, key: bytes) -> bool:
    """Take a waiting job out; False when it is not there, dead, damaged, or left behind by a removed queue."""
    value = None if _is_dead(state, key) else change.get(key)
    if value is None:
        return False
    try:
        extras, payload = split_value(value)
        # Which lane it holds stands in it.
        decode_stored(payload)
    except UNREADABLE:
        state.turn.damaged[key] = value
        return False
    if not take_out(state, change, key, extras, payload):
        return False
    leave(state, change, jid, seq, extras, Ending.CANCELLED)
    return True
