"""Where a job can be, and what may move it: one table, from which docs/lifecycle.md is drawn.

A job is in exactly one place; every move is one atomic commit. The engine has a transition for each row and no other.
"""

from enum import IntEnum, StrEnum
from typing import Final

__all__ = ["MOVES", "Event", "Place", "WorkerState", "draw"]


class Place(StrEnum):
    """Where a job is."""

    NOWHERE = "nowhere"  #: not pushed yet
    READY = "ready"
    LEASED = "leased"
    SCHEDULED = "scheduled"
    RETRIES = "retries"
    DEAD = "dead"
    GONE = "gone"


class Event(StrEnum):
    """What moves a job."""

    PUSH = "PUSH"
    PUSH_AT = "PUSH with at"
    ADOPT = "ADOPT"
    FETCH = "FETCH"
    ACK = "ACK"
    LATE_ACK = "late ACK"
    FAIL = "FAIL"
    FAIL_LAST = "FAIL, out of retries"
    FAIL_DISCARD = "FAIL, retry 0"
    EXPIRE = "reservation expired"
    DUE = "due"
    HAND_BACK = "REQUEUE"
    SNOOZE = "REQUEUE with in"
    RECOVER = "worker vanished"
    GIVE_BACK = "reply undelivered"
    EXPIRED = "expired"
    CANCEL = "CANCEL"
    RESCHEDULE = "rescheduled by an operator"
    PRUNE = "kept long enough"
    KILL = "MUTATE kill"
    DISCARD = "MUTATE discard or clear"
    REQUEUE = "MUTATE requeue"
    REMOVE = "QUEUE REMOVE"
    FLUSH = "FLUSH"


_TIMED: Final = (Place.SCHEDULED, Place.RETRIES, Place.DEAD)

MOVES: Final[dict[tuple[Place, Event], frozenset[Place]]] = {
    (Place.NOWHERE, Event.PUSH): frozenset({Place.READY}),
    (Place.NOWHERE, Event.PUSH_AT): frozenset({Place.SCHEDULED}),
    (Place.NOWHERE, Event.ADOPT): frozenset({Place.READY, Place.SCHEDULED, Place.RETRIES, Place.DEAD}),
    (Place.READY, Event.FETCH): frozenset({Place.LEASED}),
    (Place.READY, Event.LATE_ACK): frozenset({Place.GONE}),
    (Place.READY, Event.REMOVE): frozenset({Place.GONE}),
    (Place.READY, Event.KILL): frozenset({Place.DEAD}),
    (Place.READY, Event.DISCARD): frozenset({Place.GONE}),
    (Place.LEASED, Event.ACK): frozenset({Place.GONE}),
    (Place.LEASED, Event.FAIL): frozenset({Place.RETRIES, Place.GONE}),
    (Place.LEASED, Event.FAIL_LAST): frozenset({Place.DEAD}),
    (Place.LEASED, Event.FAIL_DISCARD): frozenset({Place.GONE}),
    (Place.LEASED, Event.EXPIRE): frozenset({Place.RETRIES, Place.DEAD, Place.GONE}),
    (Place.LEASED, Event.GIVE_BACK): frozenset({Place.READY, Place.GONE}),
    (Place.LEASED, Event.HAND_BACK): frozenset({Place.READY, Place.GONE}),
    (Place.LEASED, Event.SNOOZE): frozenset({Place.SCHEDULED, Place.GONE}),
    (Place.LEASED, Event.RECOVER): frozenset({Place.READY, Place.RETRIES, Place.DEAD, Place.GONE}),
    (Place.SCHEDULED, Event.DUE): frozenset({Place.READY}),
    (Place.RETRIES, Event.DUE): frozenset({Place.READY}),
    **{(place, Event.EXPIRED): frozenset({Place.GONE}) for place in (Place.READY, Place.SCHEDULED, Place.RETRIES)},
    **{(place, Event.CANCEL): frozenset({Place.GONE}) for place in (Place.READY, Place.SCHEDULED, Place.RETRIES)},
    (Place.SCHEDULED, Event.RESCHEDULE): frozenset({Place.SCHEDULED}),
    (Place.RETRIES, Event.RESCHEDULE): frozenset({Place.RETRIES}),
    (Place.DEAD, Event.PRUNE): frozenset({Place.GONE}),
    **{(place, Event.KILL): frozenset({Place.DEAD}) for place in _TIMED},
    **{(place, Event.DISCARD): frozenset({Place.GONE}) for place in _TIMED},
    **{(place, Event.REQUEUE): frozenset({Place.READY}) for place in _TIMED},
    **{(place, Event.FLUSH): frozenset({Place.GONE}) for place in (*_TIMED, Place.READY, Place.LEASED)},
}
"""From a place, by an event, to one of these places."""


class WorkerState(IntEnum):
    """What a worker process does; it only moves forward."""

    RUNNING = 0
    QUIET = 1  #: fetches no more
    TERMINATE = 2  #: ends, and fails what it could not finish

    @property
    def word(self) -> str:
        """The state as BEAT spells it."""
        return self.name.lower()


def draw() -> str:
    """The table as a Mermaid diagram for the documentation."""
    lines = ["stateDiagram-v2"]
    for (place, event), targets in MOVES.items():
        start = "[*]" if place is Place.NOWHERE else place
        lines += [f"    {start} --> {'[*]' if target is Place.GONE else target}: {event}" for target in sorted(targets)]
    return "\n".join(lines) + "\n"
