"""Questions: what a node asks again and again, and never twice at a time.

What is true after every call: a question is out there at most once, unless its answer is overdue.
"""

from collections.abc import Callable
from typing import Final

__all__ = ["Questions"]

#: How long a question may go unanswered before it is asked again.
PATIENCE_MS: Final = 1500


class Questions:
    """Those that have no answer yet, by name."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._asked_at: dict[str, int] = {}

    def ask(self, what: str, question: Callable[[], None]) -> None:
        """Ask, unless the same question is out there and may yet be answered."""
        now = self._clock()
        if now - self._asked_at.get(what, -PATIENCE_MS) >= PATIENCE_MS:
            self._asked_at[what] = now
            question()

    def answered(self, what: str) -> None:
        """The answer is here, or that there is none."""
        self._asked_at.pop(what, None)
