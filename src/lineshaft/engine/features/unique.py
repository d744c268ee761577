"""Unique jobs: no two that are alike at the same time.

`custom.unique_for` is for how many seconds, `unique_until` until what: "success" (the default) or "start". What is
alike is a digest of type, arguments and queue; the first of them takes the lock of that digest, and while it has it
another that asks to be unique is refused. A job that does not ask never meets the lock.

```
U <digest> -> seq, until               the lock, and whose it is
E <until> u <digest>                   its end by time
```

The lock goes when its job succeeds (or is fetched, with "start"), dies, or leaves in any other way, and when its time
has come. It is kept through retries, REQUEUE and the loss of a worker. Death releases it since a dead job waits for
nobody: the next push is no duplicate of anything that will run. A job that is put back from the dead, and one whose
lock has ended by time, runs without it and never takes it back.

What is true after every call: each lock has its entry among the expiries, and is that of a live job that is not dead.
"""

from typing import TYPE_CHECKING, Final

from lineshaft.engine import keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Feature, Subject
from lineshaft.engine.records import LockRecord, decode_lock, encode_record
from lineshaft.engine.turn import Change
from lineshaft.errors import Refusal
from lineshaft.job import UNREADABLE
from lineshaft.lifecycle import Place

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["LOCK", "Unique", "UniqueUntilStart"]

#: The kind of the expiry entries.
LOCK: Final = b"u"


class Unique(Feature):
    """A job that holds a lock until it has succeeded."""

    def pushed(self, state: "State", change: Change, subject: Subject, lock_until: int) -> None:
        """Take the lock. Raises Refusal NOTUNIQUE while another has it."""
        digest = bytes.fromhex(subject.extras.lock)
        key = keys.lock_key(digest)
        lock = _read(change, key)
        if lock is not None:
            if lock.until > state.now:
                raise Refusal("Job not unique", "NOTUNIQUE", reveals=True)
            state.expiries.delete(change, lock.until, LOCK, digest)
        change.changes[key] = encode_record(LockRecord(subject.seq, lock_until))
        state.expiries.put(change, lock_until, LOCK, digest)

    def moved(self, state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:  # noqa: ARG002
        """A dead job holds no lock."""
        if place is Place.DEAD:
            _release(state, change, subject)

    def ended(self, state: "State", change: Change, subject: Subject, ending: Ending) -> None:  # noqa: ARG002
        """Nor does one that is no more."""
        _release(state, change, subject)


class UniqueUntilStart(Unique):
    """A job that holds a lock until it is fetched."""

    def fetched(self, state: "State", change: Change, subject: Subject) -> bool:
        """Let the lock go."""
        _release(state, change, subject)
        return False


def _release(state: "State", change: Change, subject: Subject) -> None:
    digest = bytes.fromhex(subject.extras.lock)
    key = keys.lock_key(digest)
    lock = _read(change, key)
    # The job's own lock may have ended by time, and another have taken it since.
    if lock is not None and lock.seq == subject.seq:
        change.changes[key] = None
        state.expiries.delete(change, lock.until, LOCK, digest)


def _read(change: Change, key: bytes) -> LockRecord | None:
    """A lock; none when it cannot be read, since no job must stop over it. Its entry then ends it."""
    held = change.get(key)
    try:
        return None if held is None else decode_lock(held)
    except UNREADABLE:
        return None
