"""Audit: every action that somebody took in the pages or by the API: who, what, on what, how many.

Each is a line in the log (logger `lineshaft.audit`), which is the record that lasts; the last ones are in memory too,
for the server's page. No password, token or argument of a job is ever part of it.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from msgspec import Struct

__all__ = ["Audit", "Deed"]

log = logging.getLogger("lineshaft.audit")

MOST_REMEMBERED: Final = 200
#: What clients control is cut to this.
MOST_LETTERS: Final = 200


class Deed(Struct, frozen=True):
    """Something that somebody did."""

    at: int
    who: str
    what: str  #: such as `pause`, `delete`
    target: str  #: such as `queue mail`, `dead`
    count: int | None  #: how many jobs or workers, where that is known
    outcome: str  #: empty when it was done, else why not


class Audit:
    """The last deeds, and the log of all."""

    def __init__(self) -> None:
        self.deeds: deque[Deed] = deque(maxlen=MOST_REMEMBERED)
        #: What goes on in the background, by its number.
        self.going_on: dict[int, Deed] = {}

    def note(self, at: int, who: str, what: str, target: str, count: int | None = None, outcome: str = "") -> None:
        """Write down that something was done, or refused."""
        deed = Deed(at, who[:MOST_LETTERS], what, target[:MOST_LETTERS], count, outcome[:MOST_LETTERS])
        self.deeds.appendleft(deed)
        # What comes from outside is quoted: a line break in a name must not begin a line of the log.
        log.info(
            "%s by %r: %r%s%s", what, deed.who, deed.target, _many(count), f": {deed.outcome!r}" if outcome else ""
        )

    def await_end(self, numbers: list[int]) -> None:
        """What was noted last goes on in the background."""
        for number in numbers[: MOST_REMEMBERED - len(self.going_on)]:
            self.going_on[number] = self.deeds[0]

    def note_ends(self, at: int, ended: Callable[[int], tuple[bool, int | None]]) -> None:
        """Write down what has ended, and how many jobs it concerned in all; `ended` knows."""
        for number, deed in list(self.going_on.items()):
            is_over, count = ended(number)
            if is_over:
                del self.going_on[number]
                self.note(at, deed.who, deed.what, f"{deed.target}: through", count)

    def last(self, what: str, target: str) -> Deed | None:
        """The last time that this was done, as far as is remembered."""
        return next((deed for deed in self.deeds if (deed.what, deed.target, deed.outcome) == (what, target, "")), None)


def _many(count: int | None) -> str:
    return "" if count is None else f", {count}"
