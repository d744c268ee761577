"""Expiring jobs: work that is worth nothing after an instant, and is then dropped instead of done.

`custom.expires_at` is the instant (RFC 3339), `expires_in` seconds from the push, or from `at` for a scheduled job;
with both, the earlier counts. A FETCH drops what has expired, and from queues that nobody fetches, and from the
scheduled and retried jobs, it is swept.

```
E <expires> e <seq> -> the key under which the job lies
```

A job that has begun in time may end in its own time: while it is leased its entry may pass without effect. If it comes
back, failed or given back, it gets its entry again and goes at once. Dead jobs are kept for whoever looks at them, and
have no entry.

What is true after every call: each job that is ready, scheduled or waiting for a retry, and can expire, has its entry.
"""

from typing import TYPE_CHECKING, Final

from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Feature, Subject
from lineshaft.engine.turn import Change
from lineshaft.lifecycle import Place

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["END", "Expiring"]

#: The kind of the expiry entries.
END: Final = b"e"


class Expiring(Feature):
    """A job that is dropped when its time is over."""

    def placed(self, state: "State", change: Change, subject: Subject, key: bytes) -> None:
        """Its entry says where it lies."""
        state.expiries.put(change, subject.extras.expires, END, subject.seq.to_bytes(8), key)

    def moved(self, state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:
        """Its entry says where it lies now."""
        name = subject.seq.to_bytes(8)
        if place is Place.DEAD:
            state.expiries.delete(change, subject.extras.expires, END, name)
        else:
            state.expiries.put(change, subject.extras.expires, END, name, key)

    def fetched(self, state: "State", change: Change, subject: Subject) -> bool:  # noqa: ARG002
        """Too late?"""
        return subject.extras.expires <= state.now

    def ended(self, state: "State", change: Change, subject: Subject, ending: Ending) -> None:
        """Its entry goes with it."""
        state.expiries.delete(change, subject.extras.expires, END, subject.seq.to_bytes(8))
        if ending is Ending.EXPIRED:
            change.then(state.add_totals, 0, 0, 1)
