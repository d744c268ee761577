"""Sweep: the chore that clears away the jobs of a removed queue.

Leased jobs are left where they lie: they end with their lease, or move to the queue's new generation when they
return. Each slice deletes some jobs and their index entries and notes how far it came, in one commit.
"""

from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.moves import leave
from lineshaft.engine.records import ChoreRecord
from lineshaft.engine.state import State
from lineshaft.engine.value import decode_head, split_value
from lineshaft.job import UNREADABLE

__all__ = ["SWEEP", "sweep"]

SWEEP: Final = "sweep"

#: Jobs per slice: about two milliseconds of work.
SLICE: Final = 200
SLICE_BYTES: Final = 4 << 20


def sweep(state: State, number: int, record: ChoreRecord) -> None:
    """One slice; the range goes from the record's cursor to its arguments. Raises StoreError."""
    # What lies elsewhere is nobody's to sweep, whatever a damaged record says.
    is_sound = keys.is_within_queue(record.cursor, record.arguments)
    rows = state.turn.scan(record.cursor, record.arguments, limit=SLICE, limit_bytes=SLICE_BYTES) if is_sound else []
    with state.change() as change:
        for key, value in rows:
            try:
                extras, payload = split_value(value)
                jid = decode_head(payload).jid
            except UNREADABLE:
                state.turn.damaged[key] = value
                continue
            seq = extras.seq or keys.ready_order(key)
            if not state.leases.holds(seq):
                change.delete(key)
                leave(state, change, jid, seq, extras, Ending.REMOVED)
        if rows:
            state.chores.advance(change, number, keys.after(rows[-1][0]), len(rows))
        else:
            state.chores.end(change, number)
