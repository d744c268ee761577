"""Ready: the jobs that stand in a queue and wait for a worker.

```
on disk     R queue gen 4 | 11 12 13 14 15 16 17 18 19 ...          every ready job, leased ones among them
in memory   Window        |       13    15 16 |                     the unleased ones up to the tail
                           cursor ^            ^ tail               beyond the tail: only on disk
```

A queue has one window for each priority that it has seen. The rules:

* A window's entries are exactly the unleased jobs with an order before its tail, in order. There is no tail
  (`more` is False) when that is all of them.
* A push joins the window when there is no tail and room is left; else it only raises the size: appending it
  would let it overtake what lies on disk.
* A FETCH takes the first entry of the highest priority. An empty window with a tail is refilled by one bounded
  scan from the tail on, never from the queue's beginning: deleted keys cost time to skip.
* A job that returns (its lease ended without an end of the job) re-enters the window at its place when that
  lies before the tail; otherwise the next refill finds it.
* `cursor` is the order before which no unleased job stands. It is written with the queue's record, so that a
  restart scans no deleted keys either.

Memory follows the work in hand: a window is bounded in entries, less of them where there are many queues, and
payloads that are large stay on disk until they are fetched.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from lineshaft.engine import keys
from lineshaft.engine.entry import Entry, make_entry
from lineshaft.engine.line import Line, Window
from lineshaft.engine.records import LanesRecord, QueueRecord, decode_queue, encode_record
from lineshaft.engine.stats.outcomes import Outcomes
from lineshaft.engine.turn import Change, Turn
from lineshaft.engine.value import split_value
from lineshaft.errors import StoreCorrupt
from lineshaft.job import UNREADABLE, Job

if TYPE_CHECKING:
    from lineshaft.engine.lanes.lanes import Lanes
    from lineshaft.engine.throttles import Gate

__all__ = ["Queue", "Queues", "window_bound"]

#: One refill reads no more than this, however few jobs that is.
REFILL_BYTES: Final = 4 << 20

#: Entries in memory over all queues, roughly; and the least and most that one window holds.
WINDOW_BUDGET: Final = 50_000
WINDOW_LEAST: Final = 8
WINDOW_MOST: Final = 1000


def window_bound(queues: int) -> int:
    """How many entries a window may hold when there are so many queues."""
    return max(WINDOW_LEAST, min(WINDOW_MOST, WINDOW_BUDGET // max(queues, 1)))


class Queue(Line):
    """One named queue: its windows, its figures, its switches."""

    __slots__ = (
        "created_at",
        "dirty",
        "failed",
        "gate",
        "generation",
        "key",
        "lanes",
        "max_jobs",
        "name",
        "outcomes",
        "paused",
        "processed",
        "pushed",
        "reserve_seconds",
        "wanted",
    )

    def __init__(self, name: str, generation: int, created_at: int) -> None:
        super().__init__(keys.ready_stem(name, generation))
        self.name = name
        self.key = keys.queue_key(name)
        #: A REMOVE raises it: what lies under an older generation is only waiting to be swept.
        self.generation = generation
        self.created_at = created_at
        self.paused = False
        self.pushed = 0
        self.processed = 0
        self.failed = 0
        #: The same by type, since the start.
        self.outcomes = Outcomes()
        #: Its lanes; None where it has none, as nearly all. Their jobs are counted in its size, too.
        self.lanes: Lanes | None = None
        # From the configuration, again at every reload.
        self.max_jobs: int | None = None
        self.reserve_seconds: int | None = None
        #: Who may have a job at this moment, where the queue is throttled.
        self.gate: Gate | None = None
        # Bookkeeping of the turn.
        self.dirty = False
        #: Somebody waits for a job here: a push must say so.
        self.wanted = False

    def line(self, job: Job) -> Line:
        """Where a job is to stand: in its lane, or in the queue itself. Raises StoreError."""
        return self if self.lanes is None else self.lanes.line(job)

    def line_of(self, key: bytes) -> Line:
        """Where the ready job stands that lies under this key. Raises StoreError."""
        lane = keys.ready_lane(key)
        if lane is None:
            return self
        assert self.lanes is not None, "a queue has lanes while there is a job in one"
        return self.lanes.get(lane)

    def record(self, next_order: int) -> bytes:
        """What is written of the queue in every commit that moved one of its jobs: a QueueRecord."""
        windows = self.windows
        if len(windows) == 1:
            # As nearly always; a comprehension is a call more, and this is written in every turn.
            window = windows[0]
            cursors = [(window.priority, window.cursor(next_order))]
        else:
            cursors = [(window.priority, window.cursor(next_order)) for window in windows]
        figures = (self.size, self.pushed, self.processed, self.failed, cursors)
        if self.lanes is None:
            return encode_record((self.generation, self.created_at, self.paused, *figures))
        return encode_record((self.generation, self.created_at, self.paused, *figures, self.lanes.record()))


class Queues:
    """All queues by name, and the way their jobs come into memory."""

    def __init__(self, turn: Turn, is_leased: Callable[[int], bool]) -> None:
        self.turn = turn
        #: Whether a seq is leased: leased jobs lie among the ready ones on disk and must not come in twice.
        self._is_leased = is_leased
        self.by_name: dict[str, Queue] = {}
        self.bound = WINDOW_MOST
        #: The queues whose record must be written at the end of the turn.
        self.dirty: list[Queue] = []

    def __iter__(self) -> Iterator[Queue]:
        return iter(self.by_name.values())

    def __len__(self) -> int:
        return len(self.by_name)

    def load(self) -> list[tuple[Queue, LanesRecord]]:
        """Read every queue's record; no job is read. Returns those that have lanes. Raises StoreError."""
        self.by_name.clear()
        self.dirty.clear()
        laned = []
        start, end = keys.prefix_range(b"Q")
        while rows := self.turn.scan(start, end, limit=1000):
            for key, value in rows:
                record = decode_queue(value)
                queue = self._restore(key[1:].decode(), record)
                if record.lanes is not None:
                    laned.append((queue, record.lanes))
            start = keys.after(rows[-1][0])
        self.bound = window_bound(len(self.by_name))
        return laned

    def _restore(self, name: str, record: QueueRecord) -> Queue:
        queue = Queue(name, record.generation, record.created_at)
        queue.paused, queue.size = record.paused, record.size
        queue.pushed, queue.processed, queue.failed = record.pushed, record.processed, record.failed
        for priority, cursor in record.cursors:
            window = queue.window(priority)
            window.tail, window.more = cursor, record.size > 0
        self.by_name[name] = queue
        return queue

    def add(self, name: str, generation: int, now: int) -> Queue:
        """A new queue, with its record in this turn."""
        queue = self.by_name[name] = Queue(name, generation, now)
        self.bound = window_bound(len(self.by_name))
        self.touch(queue)
        return queue

    def forget(self, name: str) -> None:
        """Remove a queue and its record; its jobs are the caller's business."""
        queue = self.by_name.pop(name)
        if queue.lanes is not None:
            queue.lanes.close()
        if queue.dirty:
            self.dirty.remove(queue)
        self.turn.changes[keys.queue_key(name)] = None
        self.bound = window_bound(len(self.by_name))

    def touch(self, queue: Queue) -> None:
        """Have the queue's record written at the end of the turn."""
        if not queue.dirty:
            queue.dirty = True
            self.dirty.append(queue)

    def settle(self, next_order: int) -> None:
        """Put the records of the queues that moved into the turn."""
        changes = self.turn.changes
        for queue in self.dirty:
            queue.dirty = False
            if queue.lanes is not None:
                queue.lanes.settle(next_order)
            changes[queue.key] = queue.record(next_order)
        self.dirty.clear()

    def lose(self, change: Change, queue: Queue, key: bytes) -> None:
        """An unleased job leaves its queue by another way than a FETCH. Raises StoreError."""
        _, _, priority = keys.ready_parts(key)
        change.then(self._lost, queue, queue.line_of(key), priority, keys.ready_order(key))

    def _lost(self, queue: Queue, line: Line, priority: int, order: int) -> None:
        line.window(priority).drop({order})
        line.count(-1)
        self.touch(queue)

    def clear(self) -> None:
        """Forget all queues in memory; the keys are the caller's business."""
        for queue in self:
            if queue.lanes is not None:
                queue.lanes.close()
        self.by_name.clear()
        self.dirty.clear()
        self.bound = WINDOW_MOST

    def read_payload(self, entry: Entry) -> bytes:
        """The payload of an entry, from disk when it was too large to keep. Raises StoreError."""
        if entry.payload is not None:
            return entry.payload
        value = self.turn.get(entry.key)
        if value is None:
            raise StoreCorrupt(f"job {entry.jid} is in line and lies nowhere: run `lineshaft check`")
        return split_value(value)[1]

    def refill(self, window: Window, most: int = WINDOW_MOST) -> None:
        """Read the next jobs behind the tail until some are found or there are none. Raises StoreError."""
        _, end = keys.prefix_range(window.prefix)
        while window.more and not window.entries:
            start = window.prefix + window.tail.to_bytes(8)
            rows = self.turn.scan(start, end, limit=min(self.bound, most), limit_bytes=REFILL_BYTES)
            for key, value in rows:
                if (entry := self.read_entry(key, value)) is not None:
                    window.entries.append(entry)
            if rows:
                window.tail = keys.ready_order(rows[-1][0]) + 1
            else:
                window.more = False

    def read_entry(self, key: bytes, value: bytes) -> Entry | None:
        """A stored ready job as an entry; None when it is leased, or cannot be read."""
        try:
            extras, payload = split_value(value)
            seq = extras.seq or keys.ready_order(key)
            return None if self._is_leased(seq) else make_entry(key, seq, extras, payload)
        except UNREADABLE:
            self.turn.damaged[key] = value
            return None
