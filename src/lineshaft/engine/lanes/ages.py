"""Ages: the lanes of one queue that may start a job, by the age of their oldest one; for QUEUE LATENCY.

What is true after every call: no entry stands before the key `cursor`, so that no scan crosses deleted keys.
"""

from lineshaft.engine import keys
from lineshaft.engine.turn import Turn

__all__ = ["Ages"]


class Ages:
    """The entries by age."""

    def __init__(self, turn: Turn, prefix: bytes) -> None:
        self.turn = turn
        self.prefix = prefix
        self.cursor = prefix

    def put(self, order: int, lane: bytes) -> None:
        """No job of this lane is older than that order; an effect."""
        key = keys.lane_age_key(self.prefix, order, lane)
        self.turn.changes[key] = b""
        self.cursor = min(self.cursor, key)

    def delete(self, order: int, lane: bytes) -> None:
        """It has an older one, or only younger ones, or may start none; an effect."""
        self.turn.changes[keys.lane_age_key(self.prefix, order, lane)] = None

    def first(self) -> tuple[int, bytes] | None:
        """The lane that stands first, and its order; None when there is none. Raises StoreError."""
        _, end = keys.prefix_range(self.prefix)
        rows = self.turn.scan(self.cursor, end, limit=1)
        self.cursor = rows[0][0] if rows else end
        behind = len(self.prefix)
        return (int.from_bytes(self.cursor[behind : behind + 8]), self.cursor[behind + 8 :]) if rows else None
