"""Waiters: sessions whose FETCH found nothing and waits for up to two seconds.

A waiter stands in the line of every queue that it named, and in one line by time; since all wait equally long, that
one is in order of its own accord. The first in a queue's line gets the next job of that queue.

Where a throttle limits what one worker may have of a queue, the connections of a worker that is at its limit *step
aside*: they stand in a line of their own, by queue and worker, so that nobody looks at them whenever a job comes. When
the limit eases, the first of them steps forward into the queue's line, and so does the next whenever one of that worker
leaves that line. So as long as one stands aside, its worker is at its limit, or has another one in the line already.
Whoever has waited longer than the first of a line joins it at its head, everyone else at its tail.

What is true after every call: a session is in the lines of all its `parked` names, or aside of them, or in none;
`by_queue` and `aside` hold no empty line; `by_time` holds every waiter once, and perhaps others that have left, which
are passed over.
"""

from collections import OrderedDict, deque
from typing import Final, Protocol

__all__ = ["PARK_MS", "Parker", "Waiters"]

#: How long a FETCH waits: at 3 s one client gives up, and others spin when the answer comes at once.
PARK_MS: Final = 2000


class Parker(Protocol):
    """What can wait here: a session."""

    #: The queues that it waits for, or None while it does not wait.
    parked: list[str] | None
    #: When it has waited long enough.
    parked_until: int
    #: Rises with each that is parked.
    place: int
    #: Its worker, or itself.
    holder: str


class Waiters:
    """The parked FETCHes."""

    def __init__(self) -> None:
        self.by_queue: dict[str, OrderedDict[Parker, None]] = {}
        #: Those who stepped aside, by queue and by holder.
        self.aside: dict[str, dict[str, OrderedDict[Parker, None]]] = {}
        #: How many were parked so far.
        self.places = 0
        #: For how many queues they wait in all.
        self.taken = 0
        self.by_time: deque[tuple[int, Parker]] = deque()

    def park(self, session: Parker, names: list[str], now: int) -> None:
        """Let a session wait for a job of these queues, or just wait when there are none."""
        self.places += 1
        self.taken += len(names)
        session.parked, session.parked_until, session.place = names, now + PARK_MS, self.places
        self.by_time.append((session.parked_until, session))
        for name in names:
            self.by_queue.setdefault(name, OrderedDict())[session] = None

    def remove(self, session: Parker) -> None:
        """A session waits no more; nothing happens when it did not."""
        self.withdraw(session)
        session.parked = None

    def withdraw(self, session: Parker) -> None:
        """A session leaves the lines of its queues, and waits for nothing but the end of its time."""
        names, session.parked = session.parked, []
        self.taken -= len(names or ())
        for name in names or ():
            line = self.by_queue.get(name)
            if line is not None:
                line.pop(session, None)
                if not line:
                    del self.by_queue[name]
            if name in self.aside:
                self._leave_aside(name, session)

    def _leave_aside(self, name: str, session: Parker) -> None:
        """A session has left a queue: it stands aside no more, and one of its worker may take its place in line."""
        lines = self.aside[name]
        line = lines.get(session.holder)
        if line is None:
            return
        line.pop(session, None)
        if line:
            self.step_forward(name, session.holder)
        else:
            self._forget_aside(name, session.holder)

    def _forget_aside(self, name: str, holder: str) -> None:
        lines = self.aside[name]
        del lines[holder]
        if not lines:
            del self.aside[name]

    def step_aside(self, name: str, session: Parker) -> None:
        """A session leaves the line of a queue until its worker may have more of it."""
        line = self.by_queue[name]
        del line[session]
        if not line:
            del self.by_queue[name]
        _join(self.aside.setdefault(name, {}).setdefault(session.holder, OrderedDict()), session)

    def step_forward(self, name: str, holder: str | None) -> None:
        """This worker may have more of a queue: the first of it that stands aside is in line; None is everyone."""
        lines = self.aside.get(name, {})
        for one in list(lines) if holder is None else [holder]:
            line = lines.get(one)
            while line:
                session, _ = line.popitem(last=False)
                _join(self.by_queue.setdefault(name, OrderedDict()), session)
                if holder is not None:
                    break
            if line is not None and not line:
                self._forget_aside(name, one)

    def names(self) -> set[str]:
        """The queues that somebody waits for."""
        return {*self.by_queue, *self.aside}

    def first(self, name: str) -> Parker | None:
        """Who is first in the line of a queue."""
        line = self.by_queue.get(name)
        return next(iter(line)) if line else None

    def take_expired(self, now: int) -> list[Parker]:
        """The sessions that have waited long enough; they wait no more."""
        expired = []
        while self.by_time and self.deadline() <= now:
            _, session = self.by_time.popleft()
            self.remove(session)
            expired.append(session)
        return expired

    def deadline(self) -> int:
        """When the next waiter has waited long enough; far away when there is none."""
        while self.by_time:
            until, session = self.by_time[0]
            if session.parked is not None and session.parked_until == until:
                return until
            self.by_time.popleft()
        return 1 << 62

    def shift(self, milliseconds: int) -> None:
        """The clock was set by this much: everyone's time with it."""
        waiting = self.all()
        self.by_time.clear()
        for session in waiting:
            session.parked_until += milliseconds
            self.by_time.append((session.parked_until, session))

    def all(self) -> list[Parker]:
        """Everyone who waits, once."""
        return list(dict.fromkeys(session for _, session in self.by_time if session.parked is not None))


def _join(line: OrderedDict[Parker, None], session: Parker) -> None:
    """Enter a line from another one."""
    is_first = bool(line) and session.place < next(iter(line)).place
    line[session] = None
    if is_first:
        line.move_to_end(session, last=False)
