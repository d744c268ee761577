"""Line: jobs that wait one behind the other. A queue is one, and so is each lane of a queue that has lanes.

What is true of the windows in which a line has its first jobs in memory stands in `ready`.
"""

from collections import deque

from lineshaft.engine.entry import Entry

__all__ = ["Line", "Window"]


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


class Line:
    """Jobs that wait one behind the other, by priority and order: a queue, or a lane of one."""

    __slots__ = ("size", "stem", "windows")

    def __init__(self, stem: bytes) -> None:
        #: How the keys of its jobs begin, up to the priority.
        self.stem = stem
        self.size = 0
        #: The highest priority first; nearly always there is one.
        self.windows: list[Window] = []

    def window(self, priority: int) -> Window:
        """The window of a priority; a new one is empty and has no tail."""
        for window in self.windows:
            if window.priority == priority:
                return window
        window = Window(priority, self.stem + bytes([9 - priority]), tail=0, more=False)
        self.windows.append(window)
        self.windows.sort(key=lambda window: -window.priority)
        return window

    def rank(self, priority: int) -> int:
        """The priority under which a job stands in line."""
        return priority

    def room(self, bound: int) -> int:
        """How many jobs a window may hold, where a queue's may hold so many."""
        return bound

    def count(self, by: int) -> None:
        """Jobs came, or went by another way than a FETCH; an effect."""
        self.size += by
