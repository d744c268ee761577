"""CANCEL: a job is not to run any more.

One that waits (enqueued, scheduled, to be retried) is removed at once. One that a worker holds is *flagged*: its lease
says so with a letter in `uses`, so that the flag survives a restart and is gone with the lease, however that ends; the
job's row, which may be large, is left alone. The worker learns it from the replies to its BEATs, and decides itself
how to stop. What becomes of a flagged job: an ACK completes it; a FAIL, a REQUEUE, the end of its reservation or of
its worker remove it, and it does not run again. A dead job runs no more in any case, so there is nothing to cancel in
it, and CANCEL must not destroy what somebody may want to look at.

What is true after every call: `Cancels` names exactly the flagged leases, by holder.
"""

from itertools import islice
from typing import TYPE_CHECKING, Final

from lineshaft.engine.records import Lease
from lineshaft.engine.turn import Change

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["CANCELLED", "Cancels", "flag"]

#: The letter in a lease's `uses`; the job's own Extras never have it.
CANCELLED: Final = "c"

#: So many jids go into one reply to a BEAT; the others have their turn with the next.
MOST_TOLD: Final = 100


class Cancels:
    """The flagged leases, for those who hold them."""

    def __init__(self) -> None:
        self.by_holder: dict[str, dict[int, str]] = {}
        self._holders: dict[int, str] = {}

    def clear(self) -> None:
        """Forget everything in memory."""
        self.by_holder.clear()
        self._holders.clear()

    def add(self, lease: Lease) -> None:
        """A lease is flagged."""
        self.by_holder.setdefault(lease.holder, {})[lease.seq] = lease.jid
        self._holders[lease.seq] = lease.holder

    def forget(self, seq: int) -> None:
        """A lease has ended, flagged or not."""
        holder = self._holders.pop(seq, None)
        if holder is not None:
            jids = self.by_holder[holder]
            del jids[seq]
            if not jids:
                del self.by_holder[holder]

    def of(self, holder: str) -> list[str]:
        """Jids that this holder is to stop, at most a hundred; where there are more, each call gives the next ones."""
        flagged = self.by_holder.get(holder)
        if not flagged:
            return []
        told = list(islice(flagged.items(), MOST_TOLD))
        if len(flagged) > MOST_TOLD:
            for seq, jid in told:
                del flagged[seq]
                flagged[seq] = jid
        return [jid for _, jid in told]


def flag(state: "State", change: Change, lease: Lease) -> None:
    """Write on a lease that its job is to stop."""
    if CANCELLED not in lease.uses:
        change.then(_flagged, state, lease)


def _flagged(state: "State", lease: Lease) -> None:
    lease.uses += CANCELLED
    state.leases.rewrite(lease)
    state.cancels.add(lease)
