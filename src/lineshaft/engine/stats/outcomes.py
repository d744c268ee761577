"""Outcomes: what became of a queue's jobs, by their type, since the server started.

They are for whoever draws them over time, who knows what a restart is, so they stand in memory alone. The types are
bounded: a queue tells its first MOST_TYPES from one another, and all that come later are one, OTHER.

On the hot path an ACK of a plain job adds one to `done` itself, and only a type that is not in it calls `count`.
"""

from enum import StrEnum
from typing import Final

__all__ = ["MOST_LETTERS", "MOST_TYPES", "OTHER", "Outcome", "Outcomes"]

MOST_TYPES: Final = 50

#: The type of all that are not told apart. Nothing else is cut, so no longer type can be taken for it.
OTHER: Final = "(other)"

#: So much of a job's type is kept beside it while a worker holds it.
MOST_LETTERS: Final = 100


class Outcome(StrEnum):
    """How a worker's try at a job ended, or that it came to none."""

    SUCCESS = "success"
    RETRY = "retry"
    DEAD = "dead"
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Outcomes:
    """The counts of one queue."""

    __slots__ = ("done", "rest")

    def __init__(self) -> None:
        #: Successes by type; every type that is told apart stands here.
        self.done: dict[str, int] = {}
        self.rest: dict[tuple[Outcome, str], int] = {}

    def count(self, outcome: Outcome, jobtype: str) -> None:
        """A try ended; an effect."""
        if jobtype not in self.done:
            if len(self.done) >= MOST_TYPES:
                jobtype = OTHER
            self.done.setdefault(jobtype, 0)
        if outcome is Outcome.SUCCESS:
            self.done[jobtype] += 1
        else:
            key = outcome, jobtype
            self.rest[key] = self.rest.get(key, 0) + 1

    def all(self) -> list[tuple[str, str, int]]:
        """Type, outcome and count of all that has happened."""
        found = [(jobtype, Outcome.SUCCESS.value, count) for jobtype, count in self.done.items() if count]
        return found + [(jobtype, outcome.value, count) for (outcome, jobtype), count in self.rest.items()]
