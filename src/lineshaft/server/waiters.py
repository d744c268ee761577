"""Waiters: sessions whose FETCH found nothing and waits for up to two seconds.

A waiter stands in the line of every queue that it named, and in one line by time; since all wait equally long, that
one is in order of its own accord. The first in a queue's line gets the next job of that queue.

What is true after every call: a session is in the lines of all its `parked` names, or in none; `by_queue` holds no
empty line; `by_time` holds every waiter once, and perhaps others that have left, which are passed over.
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


class Waiters:
    """The parked FETCHes."""

    def __init__(self) -> None:
        self.by_queue: dict[str, OrderedDict[Parker, None]] = {}
        self.by_time: deque[tuple[int, Parker]] = deque()

    def park(self, session: Parker, names: list[str], now: int) -> None:
        """Let a session wait for a job of these queues, or just wait when there are none."""
        session.parked, session.parked_until = names, now + PARK_MS
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
        for name in names or ():
            line = self.by_queue.get(name)
            if line is not None:
                line.pop(session, None)
                if not line:
                    del self.by_queue[name]

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
