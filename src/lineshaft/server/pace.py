"""Pace: how the engine's own work leaves the syncs to clients.

What comes due by itself, and long work, goes in slices between the commands of clients. Two things about it would make
a PUSH wait, which needs a sync:

* The thread that syncs needs the interpreter to begin and to end, and gets it soonest while the loop sleeps: a loop
  that is busy for a millisecond at a time lets go too shortly for another thread to wake up, and otherwise only after a
  while (`daemon.SWITCH_SECONDS`). So while a client waits for a sync, the work rests between two slices until that has
  ended, or for a millisecond if it takes longer (`timers`).
* A sync has to wait for all that was written before it, whoever wrote that. So between the beginnings of two syncs the
  work may write a *share*, and then rests until the sync under way has ended:

    slice slice slice slice ...... rests ─┐ slice slice ......
    sync 1 ───────────────────── ended ───┴ sync 2 ─────────────

A sync that somebody waited for and that took long halves the share; a quick one, or one that nobody waited for, doubles
it. So the work goes as fast as the disk where that is quick, and leaves most of a slow one to clients. Where nobody
waits, a full share has a sync begin all the same: what is to be synced when somebody comes is never more than two.

What is true after every call: `written` is what was written since the last sync began; the share lies between
LEAST_BYTES and MOST_BYTES.
"""

from typing import Final

from lineshaft.store.port import Changes

__all__ = ["LEAST_BYTES", "LONG_MS", "MOST_BYTES", "QUICK_MS", "Pace"]

#: Some thirty milliseconds of work: a disk that is not busy takes a third of that to write it.
MOST_BYTES: Final = 1 << 20
#: Some hundred jobs go with every sync, however slow the disk is and however many clients wait for it.
LEAST_BYTES: Final = 64 << 10
#: A PUSH waits for two syncs at worst, and is to take less than 50 ms.
LONG_MS: Final = 20
QUICK_MS: Final = 10
#: What a row costs beside its value: its key, and its place in the log.
ROW_BYTES: Final = 40


class Pace:
    """The engine's own work, held against the syncs."""

    def __init__(self) -> None:
        self.share = MOST_BYTES
        self.written = 0
        #: When the sync under way began; 0 for one that has nothing of ours to wait for.
        self.began_at = 0

    def wrote(self, changes: Changes) -> None:
        """A slice put this into its turn."""
        self.written += sum(map(len, filter(None, changes.values()))) + ROW_BYTES * len(changes)

    @property
    def is_full(self) -> bool:
        """Whether the share is written: it is time for the next sync."""
        return self.written >= self.share

    def sync_began(self, now: int) -> None:
        """A sync began that covers what was written."""
        self.written, self.began_at = 0, now

    def sync_ended(self, now: int, *, awaited: bool) -> None:
        """It ended; somebody waited for it, or waits for the next one, or nobody does."""
        taken, self.began_at = now - self.began_at, 0
        if not awaited or taken < QUICK_MS:
            self.share = min(self.share * 2, MOST_BYTES)
        elif taken > LONG_MS:
            self.share = max(self.share // 2, LEAST_BYTES)
