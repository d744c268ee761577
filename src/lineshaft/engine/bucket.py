"""A token bucket: so many things in so much time, with a burst of as many at most.

Whoever wants to do one takes a token; `rate` tokens come back evenly in `per` milliseconds, and there are never more
than `rate`. Counted in whole numbers, so that it is exact for ever: a token has `per` parts, and `rate` parts come back
each millisecond. What is kept is the debt, the parts that are missing from a full bucket, and as of when:

    debt 0 ............ (rate - 1) * per ............ rate * per
         full             one token is left             empty

Instants are handed in. When the clock was set back, the time until then gives nothing, and the count goes on from the
new instant: a bucket never waits for an hour that comes twice.
"""

__all__ = ["Bucket"]


class Bucket:
    """The tokens of one limit."""

    __slots__ = ("at", "debt", "per", "rate")

    def __init__(self, rate: int, per: int, *, debt: int = 0, at: int = 0) -> None:
        self.rate = rate
        self.per = per
        self.debt = debt
        self.at = at

    def refill(self, now: int) -> None:
        """Let what has come back since the last look be there."""
        if now > self.at:
            self.debt = max(self.debt - (now - self.at) * self.rate, 0)
        self.at = now

    def has_token(self, now: int) -> bool:
        """Whether one can be taken."""
        self.refill(now)
        return self.debt <= (self.rate - 1) * self.per

    def take(self, now: int) -> None:
        """Take a token; `has_token` has said that there is one."""
        self.refill(now)
        self.debt += self.per

    def next_at(self, now: int) -> int:
        """When a token can be taken, if nobody takes one before; now itself when there is one."""
        self.refill(now)
        missing = self.debt - (self.rate - 1) * self.per
        return now + max(-(-missing // self.rate), 0)

    def tokens(self, now: int) -> int:
        """How many can be taken."""
        self.refill(now)
        return self.rate - -(-self.debt // self.per)

    def owe(self, debt: int, per: int, at: int, now: int) -> None:
        """Go on with what another bucket, whose tokens had `per` parts, was owed at an instant."""
        self.debt = min(max(debt, 0) * self.per // per, self.rate * self.per)
        self.at = min(at, now)
