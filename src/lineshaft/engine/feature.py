"""What a feature of jobs is: hooks on the moves of the jobs that use it, and of no others.

A feature is asked for by a key of `custom`, which is read once, at the push (`custom`). What later moves must know is
kept in the job's Extras; `uses` there holds one letter for each feature, and each letter leads to a Feature
(`State.features`, from the table in `features`). A job without letters costs one test of an attribute per move, and a
hook that no feature of a job listens to costs a look-up. `push` calls `pushed` and `placed`, `moves` calls `moved` and
`ended` for every job that moves or leaves, `fetch` calls `fetched`: nobody else needs to know that there are features.

The hooks work on the Change of the move that they belong to, so that a job and what a feature keeps about it are never
apart. An exception in one drops the whole move.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from lineshaft.engine.ending import Ending
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras
from lineshaft.lifecycle import Place

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = [
    "BATCHED",
    "CALLBACK",
    "EXPIRING",
    "TRACKED",
    "UNIQUE",
    "UNIQUE_UNTIL_START",
    "Feature",
    "Features",
    "Subject",
    "ended",
    "fetched",
    "moved",
    "placed",
    "pushed",
]

# The letters in `uses`; `cancel` has one more, which only a lease has.
BATCHED: Final = "b"  #: belongs to a batch
CALLBACK: Final = "k"  #: is a batch's callback; no client can ask for it
EXPIRING: Final = "e"
TRACKED: Final = "t"
UNIQUE: Final = "u"
UNIQUE_UNTIL_START: Final = "s"


class Subject(Struct, frozen=True, gc=False):
    """The job that a hook is about."""

    jid: str
    seq: int
    extras: Extras


class Feature:
    """The hooks; each does nothing unless a feature says otherwise."""

    def pushed(self, state: "State", change: Change, subject: Subject, lock_until: int) -> None:
        """A job comes in. Raises Refusal, and then it does not. Raises StoreError, as all of them may."""

    def placed(self, state: "State", change: Change, subject: Subject, key: bytes) -> None:
        """A pushed job lies under this key, enqueued or scheduled; comes after `pushed`, in place of a `moved`."""

    def moved(self, state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:
        """A job has come to a place (failed: to the retries, died: to the dead) and lies under this key now."""

    def fetched(self, state: "State", change: Change, subject: Subject) -> bool:
        """A job is about to be leased; True drops it instead: it then ends as `EXPIRED`."""
        return False

    def ended(self, state: "State", change: Change, subject: Subject, ending: Ending) -> None:
        """A job is no more."""


class _Listeners(dict[str, tuple[Callable[..., Any], ...]]):
    """One hook of those features that do something in it, by the letters in `uses`; found out when they are met."""

    def __init__(self, by_letter: Mapping[str, Feature], hook: str) -> None:
        super().__init__()
        self._by_letter = by_letter
        self._hook = hook

    def __missing__(self, uses: str) -> tuple[Callable[..., Any], ...]:
        nothing = getattr(Feature, self._hook)
        features = [self._by_letter[letter] for letter in uses]
        found = [getattr(one, self._hook) for one in features if getattr(type(one), self._hook) is not nothing]
        self[uses] = tuple(found)
        return self[uses]


class Features:
    """The features by their letter, and which of them listen to what."""

    def __init__(self, by_letter: Mapping[str, Feature]) -> None:
        self.pushed = _Listeners(by_letter, "pushed")
        self.placed = _Listeners(by_letter, "placed")
        self.moved = _Listeners(by_letter, "moved")
        self.fetched = _Listeners(by_letter, "fetched")
        self.ended = _Listeners(by_letter, "ended")


def pushed(state: "State", change: Change, subject: Subject, lock_until: int) -> None:
    """A job comes in. Raises Refusal, StoreError."""
    for hook in state.features.pushed[subject.extras.uses]:
        hook(state, change, subject, lock_until)


def placed(state: "State", change: Change, subject: Subject, key: bytes) -> None:
    """A pushed job has its first place. Raises StoreError."""
    for hook in state.features.placed[subject.extras.uses]:
        hook(state, change, subject, key)


def moved(state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:
    """A job has come to a place. Raises StoreError."""
    for hook in state.features.moved[subject.extras.uses]:
        hook(state, change, subject, place, key)


def fetched(state: "State", change: Change, subject: Subject) -> bool:
    """A job is about to be leased; True drops it instead. Raises StoreError."""
    dropped = False
    for hook in state.features.fetched[subject.extras.uses]:
        dropped |= hook(state, change, subject)
    return dropped


def ended(state: "State", change: Change, subject: Subject, ending: Ending) -> None:
    """A job is no more. Raises StoreError."""
    for hook in state.features.ended[subject.extras.uses]:
        hook(state, change, subject, ending)
