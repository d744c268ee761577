"""CANCEL: a job is not to run any more.

One that waits (enqueued, scheduled, to be retried) is removed at once. One that a worker holds is *flagged*: its row
and its lease say so with a letter in `uses`, so that the flag survives a restart and is gone with the lease, however
that ends. The worker learns it from the replies to its BEATs, and decides itself how to stop. What becomes of a
flagged job: an ACK completes it; a FAIL, a REQUEUE, the end of its reservation or of its worker remove it, and it does
not run again. A dead job runs no more in any case, so there is nothing to cancel in it.

What is true after every call: `Cancels` names exactly the flagged leases, by holder.
"""

from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, structs

from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Feature, Subject
from lineshaft.engine.records import Lease, join_value, split_value
from lineshaft.engine.turn import Change
from lineshaft.errors import Refusal

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["CANCELLED", "Cancelled", "Cancels"]

#: The letter in `uses`; no client can ask for it at a push.
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


class Cancelled(Feature):
    """A job that a worker holds and is to stop."""

    def ended(self, state: "State", change: Change, subject: Subject, ending: Ending) -> None:  # noqa: ARG002
        """Nobody has to be told any more."""
        change.then(state.cancels.forget, subject.seq)


def flag(state: "State", change: Change, lease: Lease) -> None:
    """Write on a held job that it is to stop. Raises StoreError, StoreCorrupt through the caller's reading."""
    value = change.get(lease.key)
    if value is None or CANCELLED in lease.uses:
        return
    try:
        extras, payload = split_value(value)
    except DecodeError:
        change.turn.damaged[lease.key] = value
        raise Refusal(f"job {lease.jid[:200]} was damaged on disk and is set aside") from None
    uses = lease.uses + CANCELLED
    change.put(lease.key, join_value(structs.replace(extras, uses=uses), payload))
    change.then(_flagged, state, lease, uses)


def _flagged(state: "State", lease: Lease, uses: str) -> None:
    lease.uses = uses
    state.leases.rewrite(lease)
    state.cancels.add(lease)
