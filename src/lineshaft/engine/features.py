"""The table of features, and the way to their hooks; `feature` says what one is.

`moves` calls `moved` and `ended` for every job that moves or leaves, `push` calls `pushed`, `fetch` calls `fetched`:
no other place needs to know that there are features.
"""

from typing import TYPE_CHECKING, Final

from lineshaft.engine.cancel import CANCELLED, Cancelled
from lineshaft.engine.ending import Ending
from lineshaft.engine.expiring import EXPIRING, Expiring
from lineshaft.engine.feature import Feature, Subject
from lineshaft.engine.tracks import TRACKED, Tracked
from lineshaft.engine.turn import Change
from lineshaft.engine.unique import UNIQUE, UNIQUE_UNTIL_START, Unique, UniqueUntilStart
from lineshaft.lifecycle import Place

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["FEATURES", "ended", "fetched", "moved", "pushed"]

FEATURES: Final[dict[str, Feature]] = {
    EXPIRING: Expiring(),
    UNIQUE: Unique(),
    UNIQUE_UNTIL_START: UniqueUntilStart(),
    TRACKED: Tracked(),
    CANCELLED: Cancelled(),
}
"""Every feature by its letter in `Extras.uses`."""


def pushed(state: "State", change: Change, subject: Subject, lock_until: int) -> None:
    """A job comes in. Raises Refusal, StoreError."""
    for letter in subject.extras.uses:
        FEATURES[letter].pushed(state, change, subject, lock_until)


def moved(state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:
    """A job has come to a place. Raises StoreError."""
    for letter in subject.extras.uses:
        FEATURES[letter].moved(state, change, subject, place, key)


def fetched(state: "State", change: Change, subject: Subject) -> bool:
    """A job is about to be leased; True drops it instead. Raises StoreError."""
    return any([FEATURES[letter].fetched(state, change, subject) for letter in subject.extras.uses])  # noqa: C419


def ended(state: "State", change: Change, subject: Subject, ending: Ending) -> None:
    """A job is no more. Raises StoreError."""
    for letter in subject.extras.uses:
        FEATURES[letter].ended(state, change, subject, ending)
