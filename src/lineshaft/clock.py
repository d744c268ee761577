"""Time as the whole server counts it: whole milliseconds since the Unix epoch, handed in from outside.

Nothing below the shells reads a clock. They take a `Clock`, read it once per turn, and pass the
reading (`now`) downward; tests and the simulation pass a `ManualClock`.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

__all__ = ["FIRST_INSTANT", "LAST_INSTANT", "Clock", "ManualClock", "format_instant", "parse_instant", "system_clock"]

Clock = Callable[[], int]
"""Returns the instant: milliseconds since the Unix epoch, UTC."""


def system_clock() -> int:
    """The machine's wall clock. It may step back; whoever cares guards against that."""
    return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that stands still until it is told to move.

    >>> clock = ManualClock(1_000)
    >>> clock.advance(seconds=1.5)
    >>> clock()
    2500
    """

    def __init__(self, now: int = 1_700_000_000_000) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now

    def advance(self, *, seconds: float) -> None:
        """Move by `seconds`; negative steps it back."""
        self.now += round(seconds * 1000)


#: The years 1 to 9999, which is as far as RFC 3339 goes.
FIRST_INSTANT: Final = -62_135_596_800_000
LAST_INSTANT: Final = 253_402_300_799_999


def format_instant(instant: int) -> str:
    """Milliseconds to RFC 3339 in UTC, `2026-11-23T20:15:00.042Z`; one beyond its years is the last within them."""
    if not FIRST_INSTANT <= instant <= LAST_INSTANT:
        instant = min(max(instant, FIRST_INSTANT), LAST_INSTANT)
    return f"{datetime.fromtimestamp(instant // 1000, UTC).isoformat()[:19]}.{instant % 1000:03d}Z"


# The jobs of one PUSHB often have the same instant.
@lru_cache(maxsize=64)
def parse_instant(text: str) -> int:
    """RFC 3339, any offset, none to nine digits of fraction, to milliseconds, rounded up.

    Rounded up so that a job never starts before its time. One that its offset brings beyond the years of RFC 3339 is
    the last within them, so that it can be written again. Raises ValueError when `text` is no RFC 3339 timestamp (a
    date and a time of day with an offset or `Z`).
    """
    whole, fraction = _split_fraction(text)
    moment = datetime.fromisoformat(whole)
    if moment.tzinfo is None or len(whole) < len("2026-11-23T20:15:00Z") or whole[10] not in "Tt ":
        raise ValueError(f"not an RFC 3339 timestamp with an offset: {text!r}")
    nanoseconds = int(fraction.ljust(9, "0")[:9]) if fraction else 0
    instant = round(moment.timestamp()) * 1000 + -(-nanoseconds // 1_000_000)
    return min(max(instant, FIRST_INSTANT), LAST_INSTANT)


def _split_fraction(text: str) -> tuple[str, str]:
    """Cut `.123456789` out of a timestamp; Python's own parser stops at six digits."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text, ""
    digits = len(tail) - len(tail.lstrip("0123456789"))
    if digits == 0 or digits > 9:
        raise ValueError(f"not an RFC 3339 timestamp: {text!r}")
    return head + tail[digits:], tail[:digits]
