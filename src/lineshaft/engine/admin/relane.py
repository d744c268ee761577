"""Relane: the chore that judges all lanes of a queue anew: after a change of limits, or the damage of a waiting job.

It goes through the LaneRecords in slices. A slice that a crash repeats does no harm: to judge a lane again changes
nothing. Lanes that come into being meanwhile are judged by the new rules from the beginning.
"""

from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.records import ChoreRecord
from lineshaft.engine.state import State

__all__ = ["relane"]

#: Lanes in a slice: about two milliseconds of work.
SLICE: Final = 100


def relane(state: State, number: int, record: ChoreRecord) -> None:
    """One slice; the range goes from the record's cursor to its arguments. Raises StoreError."""
    name, generation, _ = keys.lanes_parts(record.cursor)
    queue = state.queues.by_name.get(name)
    lanes = queue.lanes if queue is not None and queue.generation == generation else None
    rows = [] if lanes is None else state.turn.scan(record.cursor, record.arguments, limit=SLICE)
    with state.change() as change:
        for key, _ in rows:
            assert lanes is not None
            lane = lanes.get(keys.lane_name(key))
            if lane.held and change.get(lane.held) is None:
                # The job that held it lay in a row that could not be read, and was set aside.
                change.then(lanes.let_go, lane, lane.held)
            change.then(lanes.judge, lane)
        if rows:
            state.chores.advance(change, number, keys.after(rows[-1][0]), len(rows))
        else:
            state.chores.end(change, number)
