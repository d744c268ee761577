"""Batch: what is counted of a set of jobs, and what follows from the counts. Pure rules; `batches` applies them.

```
a job      pending ──FAIL──> failing ──dies──> dead ──MUTATE requeue──> failing
              └───────────────┴── ACK: succeeded ── any other end: lost

a callback none | waiting ──its time has come──> enqueued ──ACK──> done
                                                   ├──dies──> dead ──MUTATE requeue──> enqueued
                                                   └──any other end──> lost

a batch, as its parent sees it         open ──> over ──> succeeded
                                         └───────┴──> hopeless   (and back, when a dead job is put back)
```

* Callbacks run only after COMMIT. *complete*: every job has ended or failed once, and every child is over. *success*:
  every job was ACKed, every child succeeded, and the complete callback, if there is one, was ACKed. *death*: a job of
  the batch has died. Each is enqueued once: a slot leaves `WAITING` in the commit that enqueues its job, and never
  comes back to it.
* A job that is dead may be put back and succeed after all; one that is lost (discarded, expired, removed, cancelled)
  cannot, and neither then can its batch.
* A child is *over* for its parent's complete callback when nothing of its own can be enqueued any more as things
  stand; once it was over it stays so, whatever is added to it later.

What is true of every record: `total` is `pending + succeeded + lost +` the jobs that failed and are still there, `dead`
of them among these; `over`, `hopeless` and `succeeded_children` count the children by what they told last.
"""

from enum import IntEnum
from typing import Final

from msgspec import Struct, msgpack

__all__ = ["MEMBER_STATES", "Batch", "Role", "Slot", "Standing", "decode_batch"]

PENDING: Final = b"p"
FAILING: Final = b"f"
DEAD: Final = b"d"
MEMBER_STATES: Final = (PENDING, FAILING, DEAD)
"""What is kept of a job that belongs to a batch, beside the job itself."""


class Role:
    """Which callback, as it stands in keys and Extras."""

    COMPLETE: Final = "c"
    SUCCESS: Final = "s"
    DEATH: Final = "d"


class Slot(IntEnum):
    """Where a callback is."""

    NONE = 0
    WAITING = 1
    ENQUEUED = 2
    DONE = 3
    DEAD = 4
    LOST = 5

    @property
    def word(self) -> str:
        """As BATCH STATUS shows it: nothing, enqueued, or finished with success."""
        return {Slot.NONE: "", Slot.WAITING: "", Slot.DONE: "2"}.get(self, "1")


class Standing(IntEnum):
    """What a batch is to its parent."""

    OPEN = 0
    OVER = 1
    HOPELESS = 2
    SUCCEEDED = 3


_SPOILT: Final = (Slot.DEAD, Slot.LOST)
_FULFILLED: Final = (Slot.NONE, Slot.DONE)


class Batch(Struct, array_like=True, gc=False):
    """A batch as it is written: what was asked for, and the counts."""

    created_at: int
    parent: str  #: its bid; empty for none
    depth: int  #: how many parents stand above it
    description: str
    touched_at: int  #: when something of it last changed
    until: int = 0  #: when it is looked at, and perhaps forgotten; 0 for not at all
    committed: bool = False
    has_died: bool = False  #: a job of it has died, ever
    complete: Slot = Slot.NONE
    success: Slot = Slot.NONE
    death: Slot = Slot.NONE
    # Its own jobs.
    total: int = 0
    pending: int = 0
    succeeded: int = 0
    dead: int = 0
    lost: int = 0
    # Its children.
    children: int = 0
    over: int = 0
    hopeless: int = 0
    succeeded_children: int = 0
    #: What its parent was told last.
    told: Standing = Standing.OPEN

    def slot(self, role: str) -> Slot:
        """Where the callback of this role is."""
        return {Role.COMPLETE: self.complete, Role.SUCCESS: self.success, Role.DEATH: self.death}[role]

    def set_slot(self, role: str, slot: Slot) -> None:
        """Note where the callback of this role is."""
        if role == Role.COMPLETE:
            self.complete = slot
        elif role == Role.SUCCESS:
            self.success = slot
        else:
            self.death = slot

    def count(self, before: bytes | None, after: bytes | None, *, succeeded: bool = False) -> None:
        """A job of it went from one state to another; no state before is a new job, none after one that has ended."""
        if before is None:
            self.total += 1
        elif before == PENDING:
            self.pending -= 1
        elif before == DEAD:
            self.dead -= 1
        if after is None:
            self.succeeded += succeeded
            self.lost += not succeeded
        elif after == PENDING:
            self.pending += 1
        elif after == DEAD:
            self.dead += 1
            self.has_died = True

    def hear(self, before: Standing, after: Standing) -> None:
        """A child stands differently."""
        self.over += (after != Standing.OPEN) - (before != Standing.OPEN)
        self.hopeless += (after == Standing.HOPELESS) - (before == Standing.HOPELESS)
        self.succeeded_children += (after == Standing.SUCCEEDED) - (before == Standing.SUCCEEDED)

    def next_due(self) -> str | None:
        """The callback whose time has come; None when there is none."""
        if not self.committed:
            return None
        if self.death is Slot.WAITING and self.has_died:
            return Role.DEATH
        if self.complete is Slot.WAITING and self._has_run():
            return Role.COMPLETE
        if self.success is Slot.WAITING and self._has_succeeded():
            return Role.SUCCESS
        return None

    def standing(self) -> Standing:
        """What it is to its parent, as things stand."""
        spoilt = self._is_spoilt()
        waits = self.complete is Slot.WAITING or (self.success is Slot.WAITING and not spoilt)
        if not self.committed or not self._has_run() or waits or self._is_enqueued():
            # Its parent may have been called back for it being over: that does not come undone.
            return Standing.OPEN if self.told is Standing.OPEN else Standing.OVER
        if spoilt or self.success in _SPOILT:
            return Standing.HOPELESS
        return Standing.SUCCEEDED if self._has_succeeded() else Standing.OVER

    def is_open(self) -> bool:
        """Whether it was not finished when that was last looked at: only then it waits for an end, once committed."""
        return not (self.committed and self.until)

    def is_finished(self) -> bool:
        """Whether nothing more can happen to it by itself: no job of it is left, nor a callback."""
        if self._is_enqueued() or Slot.DEAD in (self.complete, self.success, self.death):
            return False
        ended = self.total == self.succeeded + self.lost and self.over == self.hopeless + self.succeeded_children
        return ended and self.standing() in (Standing.HOPELESS, Standing.SUCCEEDED)

    def failed(self) -> int:
        """How many jobs have failed or ended otherwise, and have not succeeded since."""
        return self.total - self.pending - self.succeeded

    def _has_run(self) -> bool:
        return self.pending == 0 and self.over == self.children

    def _has_succeeded(self) -> bool:
        all_done = self.succeeded == self.total and self.succeeded_children == self.children
        return all_done and self.complete in _FULFILLED

    def _is_spoilt(self) -> bool:
        return self.lost > 0 or self.dead > 0 or self.hopeless > 0 or self.complete in _SPOILT

    def _is_enqueued(self) -> bool:
        return Slot.ENQUEUED in (self.complete, self.success, self.death)


decode_batch: Final = msgpack.Decoder(Batch).decode
"""Bytes that `encode_record` made of a Batch. Raises one of UNREADABLE when they are damaged."""
