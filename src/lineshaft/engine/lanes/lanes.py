"""Lanes: the jobs of one queue, told apart by a key of their `custom`, so that none of them stands behind all others.

```
V queue gen acme 4 | 11 14 15 ...        each lane has windows of its own, as a queue without lanes has
V queue gen zeta 4 | 12 13 ...
O queue gen l acme -> LaneRecord         what is known of a lane: its size, its turn, its tokens, who holds it
O queue gen t 31 -> acme                 whose turn it is (`turns`)
O queue gen a 11 acme                    the lanes that have a turn, by the age of their oldest job: for QUEUE LATENCY
```

A lane has a turn exactly while one of its jobs may start, which is when

* a job of it is ready and not leased, and
* fewer of its jobs are leased than may run at once, and
* no job that waits for its retry holds it (a *strict* lane), and
* there is a token in its bucket, where starts are limited.

Whatever changes one of these calls `judge`, in the same change as the move that did: so a lane can be stuck for as
little as a job can be in two places. How many jobs of a lane run is told by the leases, which are all in memory, and
never written with the lane. A lane that waits for a token is woken by an entry among the expiries; that entry also
leads to lanes without a job whose bucket has to be remembered until it is full again.

Memory: a lane of which a job is leased is `running` and stays; others are `idle`, of which the longest unused leave
when there are too many. They are read from disk when their turn comes. What has changed is written in every commit.

With `strict`, jobs run in the order in which they came. The priority is not in their key (all have the default there),
and a job that fails or is put off keeps its order (`Extras.place`) and holds its lane (`hold`) until it is back in it,
or goes another way: whatever takes it out of its set lets the lane go (`moves.take_out`).

Where `lane_by` changes, each job stays where it lies until it is done or moves: a job that was pushed before keeps its
old lane, or none. What lies there from before is served first (`next_windows`), and lanes outlive their `lane_by`
until they are empty. Where a limit changes, a chore judges all lanes anew (`relane`).
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from lineshaft.engine import keys
from lineshaft.engine.entry import Entry
from lineshaft.engine.lanes.ages import Ages
from lineshaft.engine.lanes.lane import WINDOW, Lane
from lineshaft.engine.lanes.names import lane_namer
from lineshaft.engine.lanes.rows import read_lane
from lineshaft.engine.lanes.turns import Turns
from lineshaft.engine.line import Line, Window
from lineshaft.engine.records import (
    ChoreRecord,
    LaneRules,
    LanesRecord,
    Lease,
)
from lineshaft.job import Job

if TYPE_CHECKING:
    from lineshaft.engine.ready import Queue
    from lineshaft.engine.state import State

__all__ = ["RELANE", "WAIT", "Lanes"]

#: The chore that judges all lanes of a queue anew.
RELANE: Final = "lanes"

#: The kind of the expiry entries.
WAIT: Final = b"l"

#: So many idle lanes of a queue stay in memory.
MOST_IDLE: Final = 2000

#: Lanes that one FETCH passes by, since something changed behind their backs; then others have their turn first.
MOST_PASSED: Final = 20

#: Entries that QUEUE LATENCY looks at: the first is right but where a window had to be read.
MOST_LOOKED: Final = 20


class Lanes:
    """All lanes of one queue. It watches the queue's leases, to know how many jobs of each lane run."""

    def __init__(self, state: "State", queue: "Queue", record: LanesRecord) -> None:
        self.state = state
        self.queue = queue
        name, generation = queue.name, queue.generation
        self.prefix, _ = keys.laned_range(name, generation)
        self.lane_prefix = keys.lane_prefix(name, generation, b"l")
        self.ages = Ages(state.turn, keys.lane_prefix(name, generation, b"a"))
        turns = keys.lane_prefix(name, generation, b"t")
        self.turns = Turns(state.turn, turns, first=record.first, next_number=record.next)
        self.size, self.count = record.size, record.count
        self.rules = record.rules
        self.name_of = lane_namer(self.rules.by)
        self.running: dict[bytes, Lane] = {}
        self.idle: OrderedDict[bytes, Lane] = OrderedDict()
        self.dirty: list[Lane] = []
        state.leases.watchers.setdefault(name, []).append(self)

    def load(self, leases: list[Lease]) -> None:
        """Count the leases of this queue's lanes. Raises StoreError."""
        for lease in leases:
            if lease.key.startswith(self.prefix):
                lane = self.get(keys.ready_lane(lease.key) or b"")
                lane.running += 1
                self._pin(lane)
        for lane in self.dirty:
            # Its record was made anew, before it was known that its jobs run.
            self.judge(lane)

    def close(self) -> None:
        """The queue has no lanes any more, or is no more."""
        self.state.leases.unwatch(self.queue.name, self)
        self.queue.lanes = None

    def apply(self, rules: LaneRules) -> None:
        """Take other rules into effect; every lane has to be judged anew then."""
        self.rules = rules
        self.name_of = lane_namer(rules.by)
        for lane in [*self.running.values(), *self.idle.values()]:
            lane.take_rate(lane.bucket_record(), self.state.now)
            self.judge(lane)
        self.judge_all()

    def judge_all(self) -> None:
        """Have a chore judge every lane anew; those in memory have been, or may not be on disk yet."""
        self.state.queues.touch(self.queue)
        start, end = keys.prefix_range(self.lane_prefix)
        with self.state.change() as change:
            number = self.state.take_order()
            self.state.chores.begin(change, number, ChoreRecord(RELANE, end, start, bound=number))

    def record(self) -> LanesRecord:
        """What is written with the queue."""
        return LanesRecord(self.turns.cursor(), self.turns.next, self.size, self.count, self.rules)

    # Finding

    def line(self, job: Job) -> Line:
        """Where a job of this queue is to stand: in its lane, or in none. Raises StoreError."""
        return self.get(self.name_of(job)) if self.rules.by else self.queue

    def get(self, name: bytes) -> Lane:
        """A lane, a new one where there is none; it stays in memory for this turn. Raises StoreError."""
        lane = self.running.get(name)
        if lane is None:
            lane = self.idle.get(name)
            if lane is None:
                lane = self._read(name)
            else:
                self.idle.move_to_end(name)
        return lane

    def lines(self, begin: bytes) -> Iterator[Lane]:
        """The lanes in the order of their jobs' keys, from that of the job key `begin` on. Raises StoreError."""
        start, end = keys.prefix_range(self.lane_prefix)
        if begin.startswith(self.prefix) and len(begin) > len(self.prefix):
            name = begin[len(self.prefix) + 1 :][: begin[len(self.prefix)]]
            start = keys.lane_key(self.lane_prefix, name)
        while rows := self.state.turn.scan(start, end, limit=100):
            yield from (self.get(keys.lane_name(key)) for key, _ in rows)
            start = keys.after(rows[-1][0])

    def _read(self, name: bytes) -> Lane:
        lane, is_new = read_lane(self, name)
        self.idle[name] = lane
        if is_new:
            self.judge(lane)
        return lane

    # Serving

    def next_windows(self) -> Sequence[Window]:
        """The windows that a FETCH is to look into: what lies there from before `lane_by` changed comes first.

        Of a lane, what is in the first that is not empty has been read. Raises StoreError.
        """
        if self.rules.by:
            return self.queue.windows if self.queue.size > self.size else self._next_lane()
        return self._next_lane() or self.queue.windows

    def _next_lane(self) -> Sequence[Window]:
        for _ in range(MOST_PASSED):
            turn = self.turns.first()
            if turn is None:
                return ()
            number, name = turn
            lane = self.get(name)
            if lane.turn == number and lane.may_start(self.state.now) and self._refill(lane):
                return lane.windows
            # Its rules have changed, or its jobs cannot be read, or the record that knew this turn was lost.
            self.turns.remove(number)
            if lane.turn == number:
                lane.turn = 0
                self.judge(lane)
        self.state.arrivals.append(self.queue.name)
        return ()

    def _refill(self, lane: Lane) -> bool:
        for window in lane.windows:
            if not window.entries and window.more:
                self.state.queues.refill(window, WINDOW)
            if window.entries:
                return True
        return False

    def first(self) -> Entry | None:
        """The oldest job of all lanes that have a turn. Raises StoreError."""
        entry = None
        for _ in range(MOST_LOOKED):
            first = self.ages.first()
            if first is None:
                break
            order, lane = first[0], self.get(first[1])
            if lane.oldest != order:
                # The record that knew this entry was lost.
                self.ages.delete(order, lane.name)
                continue
            for window in lane.windows:
                if not window.entries and window.more:
                    self.state.queues.refill(window, WINDOW)
            found = [window.entries[0] for window in lane.windows if window.entries]
            entry = min(found, key=lambda entry: entry.order, default=entry)
            if lane.oldest_order(self.state.order) == order:
                break
            self.judge(lane)
        return entry

    # Judging: effects, all of it

    def judge(self, lane: Lane) -> None:
        """Something about a lane has changed: has it a turn now, and when is it looked at again?"""
        now, wakes, waits = self.state.now, 0, lane.waits()
        if lane.bucket is not None:
            if waits:
                wakes = lane.bucket.next_at(now)
            elif not (lane.size or lane.running or lane.held):
                lane.bucket.refill(now)
                wakes = now - (-lane.bucket.debt // lane.bucket.rate)
            wakes = wakes if wakes > now else 0
        if wakes != lane.wakes:
            self._wake_at(lane, wakes)
        may_start = waits and not wakes
        if may_start != bool(lane.turn):
            self._line_up(lane, may_start=may_start)
        self._note_age(lane)
        if not lane.dirty:
            lane.dirty = True
            self.dirty.append(lane)
            self.state.queues.touch(self.queue)

    def _wake_at(self, lane: Lane, wakes: int) -> None:
        expiries, name = self.state.expiries, keys.lane_key(self.lane_prefix, lane.name)
        if lane.wakes:
            self.state.turn.changes[keys.expiry_key(lane.wakes, WAIT, name)] = None
        if wakes:
            expiries.note(wakes, WAIT, name)
        lane.wakes = wakes

    def _line_up(self, lane: Lane, *, may_start: bool) -> None:
        if may_start:
            lane.turn = self.turns.append(lane.name)
            if self.queue.wanted:
                self.state.arrivals.append(self.queue.name)
        else:
            self.turns.remove(lane.turn)
            lane.turn = 0

    def _note_age(self, lane: Lane) -> None:
        oldest = lane.oldest_order(self.state.order) if lane.turn else 0
        if oldest == lane.oldest:
            return
        if lane.oldest:
            self.ages.delete(lane.oldest, lane.name)
        if oldest:
            self.ages.put(oldest, lane.name)
        lane.oldest = oldest

    def granted(self, lease: Lease) -> None:
        """A FETCH took a job: if it is one of a lane, that goes to the end of the line."""
        if not lease.key.startswith(self.prefix):
            return
        lane = self._present(lease)
        self._pin(lane)
        lane.running += 1
        lane.size -= 1
        self.size -= 1
        if lane.bucket is not None:
            lane.bucket.take(self.state.now)
        if lane.turn:
            self._line_up(lane, may_start=False)
        self.judge(lane)

    def ended(self, lease: Lease) -> None:
        """A job of a lane runs no more."""
        if not lease.key.startswith(self.prefix):
            return
        lane = self._present(lease)
        lane.running -= 1
        if not lane.running:
            del self.running[lane.name]
            self.idle[lane.name] = lane
        self.judge(lane)

    def hold(self, lane: Lane, key: bytes) -> None:
        """A job of the lane waits in a set, under this key."""
        lane.held = key
        self.judge(lane)

    def let_go(self, lane: Lane, key: bytes) -> None:
        """It waits no more."""
        if lane.held == key:
            lane.held = b""
            self.judge(lane)

    def wake(self, lane: Lane, at: int) -> None:
        """The time has come at which the lane is looked at again."""
        if lane.wakes == at:
            lane.wakes = 0
            self.judge(lane)

    def settle(self, next_order: int) -> None:
        """Put the records of the lanes that moved into the turn, and forget what is idle for long."""
        changes = self.state.turn.changes
        for lane in self.dirty:
            lane.dirty = False
            key = keys.lane_key(self.lane_prefix, lane.name)
            is_empty = lane.is_empty()
            if lane.stored or not is_empty:
                changes[key] = None if is_empty else lane.record(next_order)
            self.count += (not is_empty) - lane.stored
            lane.stored = not is_empty
            if is_empty:
                self.idle.pop(lane.name, None)
        self.dirty.clear()
        while len(self.idle) > MOST_IDLE:
            self.idle.popitem(last=False)
        if not self.rules.by and not self.count:
            self.close()

    def _present(self, lease: Lease) -> Lane:
        name = keys.ready_lane(lease.key) or b""
        # In memory since it was found by the FETCH of this turn, or since one of its jobs is leased.
        return self.running.get(name) or self.idle[name]

    def _pin(self, lane: Lane) -> None:
        self.idle.pop(lane.name, None)
        self.running[lane.name] = lane
