"""Leading: one lead, from the record that began its epoch to the moment in which it is thrown away.

A leader that gets nothing into the log for the lease's time, or cannot put up its notice, leads no more: it answers all
that is owed with an error. What it had sent may stand in the log, and whoever leads next finds out by reading.

What it answers without writing anything (a refusal, an ACK of a job that it does not know) the log cannot vouch for. So
it answers nothing at all unless its notice was put up within the lease: until then, no other node gives it up.

What is true after every call: the replica is written to by this lead alone, until `close`; from then on by none of it.
"""

from collections.abc import Callable
from typing import Final

from lineshaft.cluster.fold import Fold
from lineshaft.cluster.port import Log
from lineshaft.cluster.presence import LEASE_MS
from lineshaft.cluster.replica import Replica
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.cluster.shell import NodeShell
from lineshaft.cluster.writer import Turn, Writer
from lineshaft.errors import StoreError

__all__ = ["Leading"]

#: A leader that hands over waits so long for what is in flight.
HANDOVER_MS: Final = 2000


class Leading:
    """What a node has while it leads, and only then."""

    def __init__(
        self,
        replica: Replica,
        log: Log,
        shell: NodeShell,
        clock: Callable[[], int],
        since: int,
        lost: Callable[[str], None],
    ) -> None:
        """`replica` has just taken the record that began the epoch, at `since` or later.

        `lost` is told that another node leads.
        """
        self.writer = Writer(log, replica.fold, self._stands, lost, soon=shell.soon, clock=clock)
        self.store = ReplicatedStore(replica, self.writer, self.is_current)
        self.replica = replica
        self._shell = shell
        self._clock = clock
        #: Whom it hands over to, empty while it does not.
        self.heir = ""
        self._handover_until = 0
        #: When the last notice was sent that was put up; at first, its claim.
        self._posted_at = since
        #: When it began to serve. Its first notice is on its way then.
        self._began_at = since
        #: When something last came to stand, or nothing was owed; and what.
        self._progress_at = clock()
        self._progress = 0
        self._is_over = False

    def begin(self) -> None:
        """The engine is loaded, however long that and the claim took: from now on its notice has the lease's time."""
        self._began_at = self._clock()

    def posted(self, at: int) -> None:
        """The notice of that moment is on the board."""
        self._posted_at = max(self._posted_at, at)
        self._shell.released()

    def is_current(self) -> bool:
        """Whether no other node can have given this one up."""
        return self._clock() - self._posted_at < LEASE_MS

    def tick(self, now: int) -> str | None:
        """Go on; why this node should step down, if it should."""
        store, writer = self.store, self.writer
        writer.tick()
        if self._is_over:
            return None
        try:
            store.apply_rest()
        except StoreError as error:
            self._shell.fail(error)
            return None
        if writer.is_idle or store.standing != self._progress:
            self._progress, self._progress_at = store.standing, now
        if self.heir and (writer.is_idle or now >= self._handover_until):
            return f"leadership is handed over to {self.heir}"
        if now - min(self._progress_at, max(self._posted_at, self._began_at)) > LEASE_MS:
            return "no majority of the cluster's log answers"
        return None

    def hand_over(self, heir: str, now: int) -> None:
        """Finish what is in flight, and take nothing new."""
        self.heir = heir
        self._handover_until = now + HANDOVER_MS
        self.store.pause()

    def close(self) -> None:
        """Write no more."""
        self._is_over = True
        self.store.close()

    def _stands(self, fold: Fold, turns: list[Turn]) -> None:
        try:
            self.store.stands(fold, turns)
        except StoreError as error:
            self._shell.fail(error)
            return
        self._shell.released()
