"""Expiries: what is to be forgotten at an instant, whatever kind of thing it is.

```
E <at> u <digest>          a unique job's lock ends
E <at> e <seq> -> key      a job expires that lies under this key
E <at> t <jid>             what is known of a job that has ended is forgotten
E <at> l <key>             the lane whose record lies under this key is looked at again
```

One range of keys, ordered by time, so that one deadline and one bounded sweep serve every feature: a million entries
that end at the same instant are a million small steps between other clients' commands. What each kind means, and what
is done when its time has come, is in `forget`.

What is true after every call: `next_at` is no later than the earliest entry, and once a sweep found nothing due it is
exactly that; no entry lies before the key `cursor`, so that no scan crosses the deleted keys of what has been
forgotten, however many of them ended at one instant.
"""

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.leases import NEVER
from lineshaft.engine.turn import Change, Turn

__all__ = ["Expiries", "Expiry"]


class Expiry(Struct, frozen=True):
    """Something whose time has come."""

    key: bytes
    at: int
    kind: bytes
    id: bytes
    value: bytes


class Expiries:
    """All that ends by time."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.next_at = NEVER
        self.cursor = b"E"
        #: Something was put before the cursor since the last look.
        self._lowered = False

    def load(self) -> None:
        """Find the earliest entry. Raises StoreError."""
        self.clear()
        self.due(-1, 1)

    def clear(self) -> None:
        """Forget everything in memory; the keys are the caller's business."""
        self.next_at, self.cursor = NEVER, b"E"

    def put(self, change: Change, at: int, kind: bytes, name: bytes, value: bytes = b"") -> None:
        """Note that something ends at an instant.

        Both bounds are lowered at once, whatever becomes of the change: they may be low, never high.
        """
        key = keys.expiry_key(at, kind, name)
        change.changes[key] = value
        self._lower(at, key)

    def note(self, at: int, kind: bytes, name: bytes) -> None:
        """The same as an effect, for those who have no change at hand."""
        key = keys.expiry_key(at, kind, name)
        self.turn.changes[key] = b""
        self._lower(at, key)

    def _lower(self, at: int, key: bytes) -> None:
        if at < self.next_at:
            self.next_at = max(at, 0)
        if key < self.cursor:
            self.cursor, self._lowered = key, True

    def delete(self, change: Change, at: int, kind: bytes, name: bytes) -> None:
        """It ended otherwise."""
        change.changes[keys.expiry_key(at, kind, name)] = None

    def due(self, now: int, limit: int) -> list[Expiry]:
        """What is due, the earliest first, at most `limit`. Raises StoreError."""
        _, end = keys.prefix_range(b"E")
        rows = self.turn.scan(self.cursor, end, limit=limit)
        self.next_at = keys.expiry_at(rows[0][0]) if rows else NEVER
        self.cursor = rows[0][0] if rows else end
        self._lowered = False
        found = []
        for key, value in rows:
            at, kind, name = keys.expiry_parts(key)
            if at <= now:
                found.append(Expiry(key, at, kind, name, value))
        return found

    def pass_by(self, key: bytes) -> None:
        """What `due` gave, up to this key, is dealt with and gone; an effect."""
        if not self._lowered:
            self.cursor = keys.after(key)
