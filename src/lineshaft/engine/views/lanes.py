"""Views of the lanes of a queue: what waits in each, and why none of it may start."""

from enum import StrEnum

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.lanes.lane import UNLIMITED
from lineshaft.engine.lanes.lanes import Lanes
from lineshaft.engine.records import LaneRecord, LaneRules, decode_lane
from lineshaft.engine.state import State
from lineshaft.job import UNREADABLE

__all__ = ["LaneState", "LaneView", "LanesView", "lanes"]


class LaneState(StrEnum):
    """Whether a lane may start a job, and if not, why."""

    READY = "ready"  #: the next FETCH may have a job of it
    HELD = "held"  #: the queue is strict, and a job of the lane waits for its retry
    FULL = "full"  #: as many of its jobs run as may at once
    RATE = "rate"  #: as many have started as may in that time
    EMPTY = "empty"  #: nothing waits


class LaneView(Struct, frozen=True):
    """A lane of a queue."""

    name: str
    waiting: int
    running: int
    state: LaneState
    wakes_at: int  #: an instant: when a lane in the state `rate` is looked at again; else 0


class LanesView(Struct, frozen=True):
    """Some lanes of a queue, shorter names first."""

    by: str  #: the key of `custom` by which they are told apart
    count: int  #: of all of them
    running: int  #: those of which a job runs
    waiting: int  #: jobs in all of them
    rules: LaneRules
    lanes: list[LaneView]
    more: bool


def lanes(state: State, name: str, after: str, limit: int) -> LanesView | None:
    """Some lanes of a queue, as their keys are, from behind a name on; None without lanes. Raises StoreError."""
    queue = state.queues.by_name.get(name)
    if queue is None or queue.lanes is None:
        return None
    found = queue.lanes
    start, end = keys.prefix_range(found.lane_prefix)
    if after:
        start = keys.after(keys.lane_key(found.lane_prefix, after.encode()[:255]))
    rows = state.turn.scan(start, end, limit=limit + 1)
    views = [view for key, value in rows[:limit] if (view := _lane(found, key, value)) is not None]
    return LanesView(
        found.rules.by, found.count, len(found.running), found.size, found.rules, views, more=len(rows) > limit
    )


def _lane(found: Lanes, key: bytes, value: bytes) -> LaneView | None:
    name = keys.lane_name(key)
    lane = found.running.get(name) or found.idle.get(name)
    if lane is not None:
        return _view(found, name, lane.size, lane.running, held=bool(lane.held), wakes=lane.wakes)
    try:
        record: LaneRecord = decode_lane(value)
    except UNREADABLE:
        return None
    return _view(found, name, record.size, 0, held=bool(record.held), wakes=record.wakes)


def _view(found: Lanes, name: bytes, waiting: int, running: int, *, held: bool, wakes: int) -> LaneView:
    rules = found.rules
    state = LaneState.READY
    if rules.strict and held:
        state = LaneState.HELD
    elif not waiting:
        state = LaneState.EMPTY
    elif running >= (1 if rules.strict else rules.concurrency or UNLIMITED):
        state = LaneState.FULL
    elif wakes:
        state = LaneState.RATE
    return LaneView(name.decode("utf-8", "replace"), waiting, running, state, wakes if state is LaneState.RATE else 0)
