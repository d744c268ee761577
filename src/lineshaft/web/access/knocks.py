"""Knocks: whoever is turned away at the door is written into the log, a bounded number of lines a minute.

Each line (logger `lineshaft.web`) names the address, the name that was given and the path; never what was given as the
password. Beyond the bound the rest of a minute is one line, with how many there were.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["LINES_A_MINUTE", "Knocks"]

log = logging.getLogger("lineshaft.web")

LINES_A_MINUTE: Final = 30
_MINUTE: Final = 60.0
#: What comes from outside is cut to this.
_MOST_LETTERS: Final = 100


class Knocks:
    """The failed logins of this minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._count = 0

    def note(self, address: str, who: str, path: str) -> None:
        """Write down that somebody was turned away."""
        now = self._clock()
        if now - self._since >= _MINUTE:
            if self._count > LINES_A_MINUTE:
                log.warning("login failed %d times more", self._count - LINES_A_MINUTE)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= LINES_A_MINUTE:
            # Quoted: a line break in a name must not begin a line of the log.
            log.warning("login failed from %s: %r, path %r", address, who[:_MOST_LETTERS], path[:_MOST_LETTERS])
        if self._count == LINES_A_MINUTE:
            log.warning("login failed: more are counted only, up to a minute")
