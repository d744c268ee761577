"""Leases: the jobs that workers hold at this moment.

A lease is one small record beside the job, which stays where it lies until its ACK or FAIL. All leases are in
memory, by seq (a job's identity) and by jid (what workers know). Two live jobs may carry one jid: then the jid
leads to a list, oldest first, and an ACK or FAIL ends the lease of the worker that sent it, else the oldest.

`next_expiry` is a lower bound of the earliest `until`: granting lowers it, ending a lease leaves it alone, since
nearly all leases end long before their time. When it has passed, `take_expired` looks through the leases in slices,
hands out those that ran out, and knows the true bound when it is through.

What is true after every call: `by_seq`, `by_jid` and the L keys of the turn describe the same leases.
"""

from typing import Final

from lineshaft.engine import keys
from lineshaft.engine.records import Lease, decode_lease, encode_record
from lineshaft.engine.turn import Turn
from lineshaft.job import MIN_RESERVE_SECONDS

__all__ = ["NEVER", "Leases"]

#: Later than any instant that is compared with it.
NEVER: Final = 1 << 62

#: How many leases one slice of a look through all of them covers: well under a millisecond.
SLICE: Final = 2000

#: How many expired leases one slice hands out: each becomes a FAIL, which costs a read and a few writes.
MOST_FOUND: Final = 100


class Leases:
    """Every lease, in memory and under its key."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.by_seq: dict[int, Lease] = {}
        self.by_jid: dict[str, Lease | list[Lease]] = {}
        #: No lease runs out before this instant.
        self.next_expiry = NEVER
        #: A look through all leases that is under way: the leases, how far it came, when it began, the bound so far.
        self._look: list[Lease] = []
        self._looked = 0
        self._look_began = 0
        self._bound = NEVER

    def __len__(self) -> int:
        return len(self.by_seq)

    def load(self) -> None:
        """Read all leases. Raises StoreError."""
        self.clear()
        start, end = keys.prefix_range(b"L")
        while rows := self.turn.scan(start, end, limit=1000):
            for _, value in rows:
                self.keep(decode_lease(value))
            start = keys.after(rows[-1][0])

    def clear(self) -> None:
        """Forget all leases in memory; the keys are the caller's business."""
        self.by_seq.clear()
        self.by_jid.clear()
        self.next_expiry = NEVER
        self._look = []
        self._looked = 0

    def holds(self, seq: int) -> bool:
        """Whether a job is leased."""
        return seq in self.by_seq

    def grant(self, lease: Lease) -> None:
        """Begin a lease."""
        self.turn.changes[b"L" + lease.seq.to_bytes(8)] = encode_record(lease)
        self.keep(lease)

    def keep(self, lease: Lease) -> None:
        """Take a lease into memory."""
        self.by_seq[lease.seq] = lease
        present = self.by_jid.setdefault(lease.jid, lease)
        if present is not lease:
            self.by_jid[lease.jid] = [*present, lease] if isinstance(present, list) else [present, lease]
        self.next_expiry = min(self.next_expiry, lease.until)

    def find(self, jid: str, holder: str) -> Lease | None:
        """The lease that an ACK or FAIL of `holder` means: its own, else the oldest; None when there is none."""
        present = self.by_jid.get(jid)
        if isinstance(present, list):
            return next((lease for lease in present if lease.holder == holder), present[0])
        return present

    def end(self, lease: Lease) -> None:
        """End a lease: its record goes, in memory and in the turn."""
        self.turn.changes[b"L" + lease.seq.to_bytes(8)] = None
        del self.by_seq[lease.seq]
        present = self.by_jid.pop(lease.jid)
        if present is not lease:
            assert isinstance(present, list)
            rest = [other for other in present if other is not lease]
            self.by_jid[lease.jid] = rest if len(rest) > 1 else rest[0]

    def take_expired(self, now: int) -> list[Lease]:
        """Some leases that have run out, from one slice of a look through all of them.

        Call again while `next_expiry` is not after `now`.
        """
        if now < self.next_expiry:
            return []
        if not self._look:
            # A copy, since leases come and go between slices.
            self._look = list(self.by_seq.values())
            self._looked, self._look_began, self._bound = 0, now, NEVER
        found: list[Lease] = []
        stop = min(self._looked + SLICE, len(self._look))
        while self._looked < stop and len(found) < MOST_FOUND:
            lease = self._look[self._looked]
            self._looked += 1
            if self.by_seq.get(lease.seq) is not lease:
                continue
            if lease.until <= now:
                found.append(lease)
            elif lease.until < self._bound:
                self._bound = lease.until
        if self._looked == len(self._look):
            # A lease granted since the look began ends no sooner than the shortest reservation after it.
            self.next_expiry = min(self._bound, self._look_began + MIN_RESERVE_SECONDS * 1000)
            self._look = []
        return found

    def of_holders(self, holders: set[str]) -> list[Lease]:
        """The leases that any of these holds, oldest first."""
        return [lease for lease in self.by_seq.values() if lease.holder in holders]
