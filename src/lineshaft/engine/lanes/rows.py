"""How a lane is read: as its record says, or, when that cannot be read, as its jobs say.

A record that was lost to a damaged disk is made anew, since nobody's work must stop over it. What only the record knew
is begun afresh: the bucket is full, and a job that waits in a set for its retry holds its lane no more. Its turn and
its entry by age, which lead to the lane still, are dropped by whoever meets them (`Lanes`).
"""

from typing import TYPE_CHECKING, Final

from lineshaft.engine import keys
from lineshaft.engine.lanes.lane import Lane
from lineshaft.engine.records import LaneRecord, decode_lane
from lineshaft.job import UNREADABLE

if TYPE_CHECKING:
    from lineshaft.engine.lanes.lanes import Lanes

__all__ = ["read_lane"]

SLICE: Final = 1000
SLICE_BYTES: Final = 4 << 20


def read_lane(lanes: "Lanes", name: bytes) -> tuple[Lane, bool]:
    """A lane, a new one where there is none; and whether its record had to be made anew. Raises StoreError."""
    state = lanes.state
    lane = Lane(lanes, name, keys.lane_stem(lanes.queue.name, lanes.queue.generation, name))
    key = keys.lane_key(lanes.lane_prefix, name)
    value = state.turn.get(key)
    if value is None:
        lane.take_rate(None, state.now)
        return lane, False
    try:
        record, is_new = decode_lane(value), False
    except UNREADABLE:
        state.turn.damaged[key] = value
        record, is_new = _counted(lanes, lane), True
    lane.stored, lane.size, lane.turn, lane.oldest = True, record.size, record.turn, record.oldest
    lane.held, lane.wakes = record.held, record.wakes
    lane.take_rate(record.bucket, state.now)
    for priority, cursor in record.cursors:
        window = lane.window(priority)
        window.tail, window.more = cursor, record.size > 0
    return lane, is_new


def _counted(lanes: "Lanes", lane: Lane) -> LaneRecord:
    """What its jobs tell of a lane. All of them are looked at, however many: it happens once."""
    turn = lanes.state.turn
    leased = {lease.key for lease in lanes.state.leases.by_seq.values()}
    size, cursors = 0, dict[int, int]()
    start, end = keys.prefix_range(lane.stem)
    while rows := turn.scan(start, end, limit=SLICE, limit_bytes=SLICE_BYTES):
        for key, _ in rows:
            if key not in leased:
                size += 1
                cursors.setdefault(keys.ready_parts(key)[2], keys.ready_order(key))
        start = keys.after(rows[-1][0])
    return LaneRecord(size, 0, 0, b"", 0, list(cursors.items()))
