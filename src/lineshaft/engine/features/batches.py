"""Batches: sets of jobs that are followed to their end, and then called back about; `batch` has the rules.

```
B b <bid> -> Batch                     the counts, rewritten with every move of a job of it that changes them
B j <bid> <role> -> a job's value      a callback that is not enqueued yet: `c` complete, `s` success, `d` death
B m <bid> <seq> -> p | f | d           a live job of it: pending, failing, dead
B n -> a decimal                       how many are open: not finished yet
E <until> b <bid>                      when it is looked at: left uncommitted for too long, or finished long ago
```

A job joins by `custom.bid`. Whatever becomes of it passes through the hooks of `Member`: its state beside the batch is
read, so what is counted is the step from there, and the counts cannot drift. What follows from the counts is carried
out in the same change (`_follow`): callbacks are enqueued, and the parent is told, and its parent. A callback is a job
like any other, with the hooks of `Callback`; `custom._bid` tells its worker which batch it is about.

A batch that was forgotten, and one that never was: its jobs run all the same, and are counted nowhere.

What is true after every call: each live job of a batch that is here has its state beside it, and the counts are those
of these states; a callback lies here exactly while its slot is `WAITING`; `until` has its entry among the expiries;
`state.open_batches` is how many are open, and stands under `B n`.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import structs

from lineshaft.engine import keys
from lineshaft.engine.custom import Wishes, read_custom
from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import BATCHED, CALLBACK, UNIQUE, UNIQUE_UNTIL_START, Feature, Subject
from lineshaft.engine.features.batch import DEAD, FAILING, PENDING, Batch, Role, Slot, Standing, decode_batch
from lineshaft.engine.naming import open_queue
from lineshaft.engine.push import enter
from lineshaft.engine.records import encode_record
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras, split_value
from lineshaft.errors import Refusal
from lineshaft.job import DEFAULT_QUEUE, UNREADABLE, decode_stored, encode_job, take_instant
from lineshaft.lifecycle import Place

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["BATCH", "Callback", "Member", "commit", "follow", "forget_batch", "load_batches", "look_at", "read_batch"]

#: The kind of the expiry entries.
BATCH: Final = b"b"

#: So many unknown bids are told of in one turn: a client that makes them up must not fill the log.
MOST_TOLD: Final = 10


class Member(Feature):
    """A job that belongs to a batch."""

    def pushed(self, state: "State", change: Change, subject: Subject, lock_until: int) -> None:  # noqa: ARG002
        """It joins; where no such batch is, it runs without."""
        bid = subject.extras.bid
        batch = read_batch(change, bid)
        if batch is None:
            change.then(_unknown, state, subject.jid, bid)
            return
        change.put(keys.member_key(bid, subject.seq), PENDING)
        batch.count(None, PENDING)
        follow(state, change, bid, batch)

    def moved(self, state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:
        """It failed, died, or was put back from the dead; other moves change nothing."""
        key = keys.member_key(subject.extras.bid, subject.seq)
        before = change.get(key)
        if place is Place.DEAD:
            _step(state, change, subject, key, before, DEAD)
        elif place is Place.RETRIES or before == DEAD:
            _step(state, change, subject, key, before, FAILING)

    def ended(self, state: "State", change: Change, subject: Subject, ending: Ending) -> None:
        """It is done, or will never be."""
        key = keys.member_key(subject.extras.bid, subject.seq)
        _step(state, change, subject, key, change.get(key), None, succeeded=ending is Ending.DONE)


class Callback(Feature):
    """A job that tells of a batch."""

    def moved(self, state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:  # noqa: ARG002
        """It died, or was put back from the dead."""
        self._note(state, change, subject, Slot.DEAD if place is Place.DEAD else Slot.ENQUEUED)

    def ended(self, state: "State", change: Change, subject: Subject, ending: Ending) -> None:
        """It is done, or will never be."""
        self._note(state, change, subject, Slot.DONE if ending is Ending.DONE else Slot.LOST)

    def _note(self, state: "State", change: Change, subject: Subject, slot: Slot) -> None:
        bid, role = subject.extras.bid, subject.extras.role
        batch = read_batch(change, bid)
        if batch is not None and batch.slot(role) is not slot:
            batch.set_slot(role, slot)
            follow(state, change, bid, batch)


def load_batches(state: "State") -> None:
    """Read how many batches are open. Raises StoreError."""
    value = state.turn.get(keys.OPEN_BATCHES_KEY)
    if value is not None and value.isdigit():
        state.open_batches = int(value)
        return
    # It is damaged, or this is a store from before they were counted, or one that has had none.
    start, end = keys.prefix_range(b"Bb")
    while rows := state.turn.scan(start, end, limit=1000):
        for _, batch in rows:
            with suppress(*UNREADABLE):
                state.open_batches += decode_batch(batch).is_open()
        start = keys.after(rows[-1][0])
    if state.open_batches or value is not None:
        state.count_open_batches(0)


def read_batch(change: Change, bid: str) -> Batch | None:
    """A batch as this change leaves it; None when there is none. Raises StoreError.

    One that cannot be read is none either: its jobs and whatever else comes due must not stop over it. Its row stays,
    for `check` to name.
    """
    value = change.get(keys.batch_key(bid))
    try:
        return None if value is None else decode_batch(value)
    except UNREADABLE:
        return None


def _step(
    state: "State",
    change: Change,
    subject: Subject,
    key: bytes,
    before: bytes | None,
    after: bytes | None,
    *,
    succeeded: bool = False,
) -> None:
    """A job of a batch goes from one state, which stands under `key`, to another, if it is counted."""
    bid = subject.extras.bid
    if before is None or before == after:
        return
    change.changes[key] = after
    batch = read_batch(change, bid)
    if batch is not None:
        batch.count(before, after, succeeded=succeeded)
        follow(state, change, bid, batch)


def follow(state: "State", change: Change, bid: str, batch: Batch) -> None:
    """Write a batch that has changed, and carry out what follows: callbacks, and the same for its parents.

    Raises StoreError.
    """
    if not batch.committed and batch.until and batch.told is Standing.OPEN:
        # As long as it is open and nobody counts it as over, nothing follows.
        batch.touched_at = state.now
        _write(change, bid, batch)
        return
    while True:
        batch.touched_at = state.now
        while (role := batch.next_due()) is not None:
            # Written first, since the job that is enqueued looks at it.
            batch.set_slot(role, Slot.ENQUEUED)
            _write(change, bid, batch)
            if not _call_back(state, change, bid, role):
                batch.set_slot(role, Slot.LOST)
        told, batch.told = batch.told, batch.standing()
        look_at(state, change, bid, batch)
        _write(change, bid, batch)
        parent = read_batch(change, batch.parent) if batch.parent and told is not batch.told else None
        if parent is None:
            return
        parent.hear(told, batch.told)
        bid, batch = batch.parent, parent


def commit(state: "State", change: Change, bid: str, batch: Batch) -> None:
    """Let callbacks run. How long it may stay open does not matter any more. Raises StoreError."""
    if not batch.committed:
        batch.committed = True
        _look_again(state, change, bid, batch, 0)
    follow(state, change, bid, batch)


def look_at(state: "State", change: Change, bid: str, batch: Batch) -> None:
    """Set when the batch is looked at next: as long as it is being filled, the first look is early enough."""
    was_open = batch.is_open()
    if not batch.committed:
        until = batch.until or state.now + state.settings.batches_open
    elif batch.is_finished():
        until = batch.until or state.now + state.settings.batches_keep
    else:
        until = 0
    _look_again(state, change, bid, batch, until)
    if batch.is_open() is not was_open:
        change.then(state.count_open_batches, -1 if was_open else 1)


def _look_again(state: "State", change: Change, bid: str, batch: Batch, until: int) -> None:
    if until == batch.until:
        return
    if batch.until:
        state.expiries.delete(change, batch.until, BATCH, bid.encode())
    if until:
        state.expiries.put(change, until, BATCH, bid.encode())
    batch.until = until


def forget_batch(state: "State", change: Change, bid: str) -> None:
    """The time has come to look at a batch; its entry has gone. Raises StoreError.

    One that is still being filled waits on. A parent of one that was never committed hears that it cannot succeed:
    whoever filled it has gone, and nobody knows with what.
    """
    batch = read_batch(change, bid)
    if batch is None:
        return
    idle_until = batch.touched_at + state.settings.batches_open
    if not batch.committed and idle_until > state.now:
        batch.until = idle_until
        state.expiries.put(change, idle_until, BATCH, bid.encode())
        _write(change, bid, batch)
        return
    change.delete(keys.batch_key(bid))
    if batch.is_open():
        change.then(state.count_open_batches, -1)
    for role in (Role.COMPLETE, Role.SUCCESS, Role.DEATH):
        if batch.slot(role) is Slot.WAITING:
            change.delete(keys.callback_key(bid, role))
    parent = read_batch(change, batch.parent) if batch.parent and not batch.committed else None
    if parent is not None:
        parent.hear(batch.told, Standing.HOPELESS)
        follow(state, change, batch.parent, parent)


def _write(change: Change, bid: str, batch: Batch) -> None:
    change.put(keys.batch_key(bid), encode_record(batch))


def _call_back(state: "State", change: Change, bid: str, role: str) -> bool:
    """Enqueue a callback; False when it cannot be read any more, and is set aside. Raises StoreError.

    It takes no lock: a callback that is refused as not unique would be lost.
    """
    key = keys.callback_key(bid, role)
    value = change.get(key)
    if value is None:
        return False
    change.delete(key)
    try:
        extras, payload = split_value(value)
        job = decode_stored(payload)
        at = take_instant(job, after=state.now)
        wishes = read_custom(job, state.now, at) or Wishes(Extras())
        queue = open_queue(state, job.queue or DEFAULT_QUEUE)
    except (*UNREADABLE, Refusal):
        # What can be read was admitted when the batch was made. It is not noted on the turn, as jobs are (`damage`),
        # since its slot says in this very change that it is lost.
        change.put(keys.aside_key(key), value)
        change.then(state.set_aside.append, key)
        return False
    job.enqueued_at = state.stamp if at is None else None
    uses = wishes.extras.uses.translate(_UNASKED) + CALLBACK
    asked = structs.replace(wishes.extras, uses=uses, lock="", bid=bid, role=role)
    enter(state, change, job, encode_job(job), extras.priority, at, queue, Wishes(asked))
    return True


_UNASKED: Final = dict.fromkeys(map(ord, (UNIQUE, UNIQUE_UNTIL_START, BATCHED)))


def _unknown(state: "State", jid: str, bid: str) -> None:
    if len(state.unknown_batches) < MOST_TOLD:
        state.unknown_batches.append((jid, bid))
