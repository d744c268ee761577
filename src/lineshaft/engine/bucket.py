"""Bucket: a limit of so many per time, as a bucket of tokens that fills by itself.

A bucket of `Rate(10, 60_000)` holds ten tokens at most and gets ten a minute, evenly; whoever takes one goes on, and
who finds none waits until `next_at`. So ten may come at once after a quiet minute, and never more than twenty in one.

Everything is counted in whole numbers: a token is `per_ms` drops, and each millisecond brings `tokens` drops. So no
rounding ever adds or loses a token, whatever the rate. A clock that steps back is followed: nothing flows in meanwhile.
"""

from typing import Self

from msgspec import Struct

__all__ = ["Bucket", "BucketRecord", "Rate"]


class Rate(Struct, frozen=True, array_like=True):
    """So many in so many milliseconds; both at least 1."""

    tokens: int
    per_ms: int


class BucketRecord(Struct, frozen=True, array_like=True):
    """A bucket as it is written down."""

    level: int  #: drops
    at: int  #: the instant of that level
    per_ms: int  #: drops in a token


class Bucket:
    """The tokens that are left, at an instant that is handed in; full when it is new."""

    __slots__ = ("at", "level", "rate")

    def __init__(self, rate: Rate, now: int) -> None:
        self.rate = rate
        self.level = rate.tokens * rate.per_ms
        self.at = now

    @classmethod
    def restore(cls, rate: Rate, record: BucketRecord) -> Self:
        """The bucket that was written down; under another rate it keeps its tokens, as far as they fit."""
        bucket = cls(rate, record.at)
        bucket.level = min(record.level * rate.per_ms // record.per_ms, bucket.level)
        return bucket

    def record(self) -> BucketRecord:
        """What `restore` needs."""
        return BucketRecord(self.level, self.at, self.rate.per_ms)

    def take(self, now: int) -> bool:
        """Take a token; False when there is none."""
        self._fill(now)
        if self.level < self.rate.per_ms:
            return False
        self.level -= self.rate.per_ms
        return True

    def next_at(self, now: int) -> int:
        """When there is a token: `now`, or the first later instant."""
        self._fill(now)
        return now + self._until(self.rate.per_ms)

    def full_at(self, now: int) -> int:
        """When it is full if nobody takes any: from then on it is as good as a new one."""
        self._fill(now)
        return now + self._until(self.rate.tokens * self.rate.per_ms)

    def _until(self, level: int) -> int:
        return max(-((self.level - level) // self.rate.tokens), 0)

    def _fill(self, now: int) -> None:
        rate = self.rate
        if now > self.at:
            self.level = min(self.level + (now - self.at) * rate.tokens, rate.tokens * rate.per_ms)
        self.at = now
