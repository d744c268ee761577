"""Backoff: how long a job waits after a failure, as a client or an operator writes it.

fixed:30                    30 s each time
linear:60                   60 s, 120 s, 180 s ...
exponential:2:5:3600        5 s, 10 s, 20 s ... doubled each time, 3600 s at most
linear:60~10                any of them, and up to 10 per cent more, by chance
"""

import re
from typing import Final

from msgspec import Struct

__all__ = ["ALLOWED", "Backoff", "parse_backoff"]

ALLOWED: Final = '"fixed:SECONDS", "linear:SECONDS" or "exponential:FACTOR:SECONDS:MOST", and "~PERCENT" for jitter'
"""Completes the sentence "a backoff must be ..."."""

#: No wait is longer: ten years.
_MOST_SECONDS: Final = 3650 * 86_400

_NUMBER: Final = r"(\d{1,9}(?:\.\d{1,9})?)"
_SHAPE: Final = re.compile(
    rf"(?:(fixed|linear):{_NUMBER}|exponential:{_NUMBER}:{_NUMBER}:{_NUMBER})(?:~(\d{{1,3}}))?", re.ASCII
)


class Backoff(Struct, frozen=True):
    """Seconds after failure n, from 0: (first + n * step) * factor ** n, at most `most`, and the jitter on top."""

    first: float
    step: float = 0.0
    factor: float = 1.0
    most: float = _MOST_SECONDS
    jitter_percent: int = 0

    def delay_ms(self, retry_count: int, chance: float) -> int:
        """Milliseconds until the next try after failure number `retry_count` (from 0); `chance` is in [0, 1)."""
        try:
            seconds = (self.first + retry_count * self.step) * self.factor**retry_count
        except OverflowError:
            seconds = self.most
        seconds = min(seconds, self.most) * (1 + chance * self.jitter_percent / 100)
        return round(min(seconds, _MOST_SECONDS) * 1000)


def parse_backoff(text: str) -> Backoff:
    """A backoff as it is written. Raises ValueError."""
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise ValueError(f"a backoff must be {ALLOWED}, not {text[:100]!r}")
    kind, seconds, factor, first, most, percent = found.groups()
    jitter = int(percent or 0)
    if kind == "fixed":
        return Backoff(float(seconds), jitter_percent=jitter)
    if kind == "linear":
        return Backoff(float(seconds), step=float(seconds), jitter_percent=jitter)
    return Backoff(float(first), factor=float(factor), most=float(most), jitter_percent=jitter)
