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

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, Struct

from lineshaft.engine import keys
from lineshaft.engine.records import (
    Extras,
    QueueRecord,
    decode_head,
    decode_queue,
    encode_record,
    split_value,
)
from lineshaft.engine.turn import Turn
from lineshaft.errors import StoreCorrupt

if TYPE_CHECKING:
    from lineshaft.engine.throttles import Gate

__all__ = ["MAX_QUEUES", "Entry", "Queue", "Queues", "Window", "window_bound"]

#: Beyond this a client is making up queue names, and each costs memory for ever.
MAX_QUEUES: Final = 100_000

#: Payloads above this stay on disk until their FETCH: a window of them would not fit in memory.
LARGE_PAYLOAD_BYTES: Final = 4096

#: One refill reads no more than this, however few jobs that is.
REFILL_BYTES: Final = 4 << 20

#: Entries in memory over all queues, roughly; and the least and most that one window holds.
WINDOW_BUDGET: Final = 50_000
WINDOW_LEAST: Final = 8
WINDOW_MOST: Final = 1000


def window_bound(queues: int) -> int:
    """How many entries a window may hold when there are so many queues."""
    return max(WINDOW_LEAST, min(WINDOW_MOST, WINDOW_BUDGET // max(queues, 1)))


class Entry(Struct, gc=False):
    """An unleased job in a window: all that a FETCH needs."""

    order: int
    key: bytes
    seq: int
    jid: str
    payload: bytes | None  #: None for a large one, which is read when it is fetched
    reserve_for: int | None
    special: Extras | None  #: its Extras, of a job that uses a feature


class Window:
    """The head of one priority of a queue, in memory."""

    __slots__ = ("entries", "more", "prefix", "priority", "tail")

    def __init__(self, priority: int, prefix: bytes, *, tail: int, more: bool) -> None:
        self.priority = priority
        self.prefix = prefix
        self.entries: deque[Entry] = deque()
        self.tail = tail
        self.more = more

    def cursor(self, next_order: int) -> int:
        """No unleased job of this priority stands before this order."""
        if self.entries:
            return self.entries[0].order
        return self.tail if self.more else next_order

    def append(self, entry: Entry, bound: int) -> None:
        """A job joins the tail: it enters the window if nothing on disk stands before it and there is room."""
        if self.more:
            return
        if len(self.entries) < bound:
            self.entries.append(entry)
        else:
            self.more, self.tail = True, entry.order

    def put_back(self, entry: Entry, bound: int) -> None:
        """Let a returning job re-enter at its place, if that lies in the window."""
        if self.more and entry.order >= self.tail:
            return
        entries = self.entries
        if not entries or entry.order < entries[0].order:
            entries.appendleft(entry)
        else:
            behind = len(entries)
            while entries[behind - 1].order > entry.order:
                behind -= 1
            entries.insert(behind, entry)
        if len(entries) > 2 * bound:
            self._cut(bound)

    def _cut(self, bound: int) -> None:
        """Leave what does not fit to the disk again: thousands may return at once from a worker that died."""
        while len(self.entries) > bound:
            self.tail = self.entries.pop().order
        self.more = True

    def drop(self, orders: set[int]) -> None:
        """Forget the entries with these orders, as far as they are here."""
        if len(orders) == 1 and self.entries and self.entries[0].order in orders:
            self.entries.popleft()
        elif any(entry.order in orders for entry in self.entries):
            self.entries = deque(entry for entry in self.entries if entry.order not in orders)


class Queue:
    """One named queue: its windows, its figures, its switches."""

    __slots__ = (
        "created_at",
        "dirty",
        "failed",
        "gate",
        "generation",
        "key",
        "max_jobs",
        "name",
        "paused",
        "processed",
        "pushed",
        "reserve_seconds",
        "size",
        "wanted",
        "windows",
    )

    def __init__(self, name: str, generation: int, created_at: int) -> None:
        self.name = name
        self.key = keys.queue_key(name)
        #: A REMOVE raises it: what lies under an older generation is only waiting to be swept.
        self.generation = generation
        self.created_at = created_at
        self.paused = False
        self.size = 0
        self.pushed = 0
        self.processed = 0
        self.failed = 0
        #: The highest priority first; nearly always there is one.
        self.windows: list[Window] = []
        # From the configuration, again at every reload.
        self.max_jobs: int | None = None
        self.reserve_seconds: int | None = None
        #: Who may have a job at this moment, where the queue is throttled.
        self.gate: Gate | None = None
        # Bookkeeping of the turn.
        self.dirty = False
        #: Somebody waits for a job here: a push must say so.
        self.wanted = False

    def window(self, priority: int) -> Window:
        """The window of a priority; a new one is empty and has no tail."""
        for window in self.windows:
            if window.priority == priority:
                return window
        prefix = keys.ready_prefix(self.name, self.generation, priority)
        window = Window(priority, prefix, tail=0, more=False)
        self.windows.append(window)
        self.windows.sort(key=lambda window: -window.priority)
        return window

    def record(self, next_order: int) -> bytes:
        """What is written of the queue in every commit that moved one of its jobs: a QueueRecord."""
        return encode_record(
            (
                self.generation,
                self.created_at,
                self.paused,
                self.size,
                self.pushed,
                self.processed,
                self.failed,
                [(window.priority, window.cursor(next_order)) for window in self.windows],
            )
        )


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

    def load(self) -> None:
        """Read every queue's record; no job is read. Raises StoreError."""
        self.by_name.clear()
        self.dirty.clear()
        start, end = keys.prefix_range(b"Q")
        while rows := self.turn.scan(start, end, limit=1000):
            for key, value in rows:
                self._restore(key[1:].decode(), decode_queue(value))
            start = keys.after(rows[-1][0])
        self.bound = window_bound(len(self.by_name))

    def _restore(self, name: str, record: QueueRecord) -> None:
        queue = Queue(name, record.generation, record.created_at)
        queue.paused, queue.size = record.paused, record.size
        queue.pushed, queue.processed, queue.failed = record.pushed, record.processed, record.failed
        for priority, cursor in record.cursors:
            window = queue.window(priority)
            window.tail, window.more = cursor, record.size > 0
        self.by_name[name] = queue

    def add(self, name: str, generation: int, now: int) -> Queue:
        """A new queue, with its record in this turn."""
        queue = self.by_name[name] = Queue(name, generation, now)
        self.bound = window_bound(len(self.by_name))
        self.touch(queue)
        return queue

    def forget(self, name: str) -> None:
        """Remove a queue and its record; its jobs are the caller's business."""
        queue = self.by_name.pop(name)
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
            changes[queue.key] = queue.record(next_order)
        self.dirty.clear()

    def lose(self, queue: Queue, priority: int, order: int) -> None:
        """An unleased job left its queue by another way than a FETCH; an effect."""
        queue.window(priority).drop({order})
        queue.size -= 1
        self.touch(queue)

    def clear(self) -> None:
        """Forget all queues in memory; the keys are the caller's business."""
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

    def refill(self, window: Window) -> None:
        """Read the next jobs behind the tail until some are found or there are none. Raises StoreError."""
        _, end = keys.prefix_range(window.prefix)
        while window.more and not window.entries:
            start = window.prefix + window.tail.to_bytes(8)
            rows = self.turn.scan(start, end, limit=self.bound, limit_bytes=REFILL_BYTES)
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
        except DecodeError:
            self.turn.damaged[key] = value
            return None


def make_entry(key: bytes, seq: int, extras: Extras, payload: bytes) -> Entry:
    """An entry for a job that lies under `key`."""
    head = decode_head(payload)
    kept = payload if len(payload) <= LARGE_PAYLOAD_BYTES else None
    special = extras if extras.uses else None
    return Entry(keys.ready_order(key), key, seq, head.jid, kept, head.reserve_for, special)
