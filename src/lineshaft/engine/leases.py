"""Leases: the jobs that workers hold at this moment.

```
L 41 | [job 7 by w1, job 8 by w2, job 9 by w1]       granted in one turn, written once
L 42 | [job 10 by w2]
R ... job 7, job 9, job 10                           job 8 is done: its entry in L 41 counts no more
```

All leases are in memory, by seq (a job's identity) and by jid (what workers know). Two live jobs may carry one jid:
then the jid leads to a list, oldest first, and an ACK or FAIL ends the lease of the worker that sent it, else the
oldest.

On disk, the leases that one turn granted are one record, a group, and an entry of it counts for as long as its job
lies under the key that it names. So an ACK or FAIL, which takes the job away from there, writes nothing for the
lease; only a job that returns to its queue has its group written again without it, once for all that return in one
turn. A group goes with its last lease.

Those that were there when this server started are *inherited*: their replies may have died with the life before. They
are the ones of older groups, so no lease need say it. A holder that says what it still has lets go of the others
(`reconcile`).

`next_expiry` is a lower bound of the earliest `until`: granting lowers it, ending a lease leaves it alone, since
nearly all leases end long before their time. When it has passed, `take_expired` looks through the leases in slices,
hands out those that ran out, and knows the true bound when it is through.

What is true after every call: `by_seq` and `by_jid` hold the same leases; once a turn is settled, so do the groups,
but for entries whose job is no longer where they say.
"""

from typing import Final, Protocol

from lineshaft.engine import keys
from lineshaft.engine.records import Lease, decode_leases, encode_record
from lineshaft.engine.turn import Turn
from lineshaft.engine.value import Extras
from lineshaft.job import MIN_RESERVE_SECONDS

__all__ = ["NEVER", "Leases", "Watcher"]

#: Later than any instant that is compared with it.
NEVER: Final = 1 << 62

#: How many leases one slice of a look through all of them covers: well under a millisecond.
SLICE: Final = 2000

#: How many expired leases one slice hands out: each becomes a FAIL, which costs a read and a few writes.
MOST_FOUND: Final = 100


class Watcher(Protocol):
    """Who must know of every lease of a queue, such as a throttle that counts them."""

    def granted(self, lease: Lease) -> None:
        """A lease has begun, or was found at a start; cannot fail."""
        ...

    def ended(self, lease: Lease) -> None:
        """A lease has ended, however it did; cannot fail."""
        ...


class Leases:
    """Every lease, in memory and under its key."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.by_seq: dict[int, Lease] = {}
        self.by_jid: dict[str, Lease | list[Lease]] = {}
        #: By seq, of the jobs that use a feature and were fetched since the start: what else their rows would say.
        self.extras: dict[int, Extras] = {}
        #: The group that this turn's leases will be, and those leases.
        self.group = 1
        self.fresh: list[Lease] = []
        #: One of them has ended already.
        self.ended_young = False
        #: The seqs of each written group whose leases have not ended.
        self.groups: dict[int, set[int]] = {}
        #: Those that this turn has to write again.
        self.stale: set[int] = set()
        #: Groups before this one are from before the start.
        self.first_group = 1
        #: By holder, the seqs in such groups as they were at the start, until the holder has said what it has.
        self.inherited: dict[str, list[int]] = {}
        #: By the name of the queue that they watch. Empty on a server that limits nothing, which then pays nothing.
        self.watchers: dict[str, list[Watcher]] = {}
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
        """Read all leases that still count. Raises StoreError."""
        self.clear()
        start, end = keys.prefix_range(b"L")
        while rows := self.turn.scan(start, end, limit=1000):
            for key, value in rows:
                self._load_group(key, decode_leases(value))
            start = keys.after(rows[-1][0])
        self.inherit(self.group)

    def _load_group(self, key: bytes, leases: list[Lease]) -> None:
        number = int.from_bytes(key[1:])
        self.group = number + 1
        for lease in leases:
            if self.turn.get(lease.key) is not None:
                self.keep(lease)
                self.groups.setdefault(number, set()).add(lease.seq)
        if number not in self.groups:
            self.turn.changes[key] = None

    def inherit(self, first_group: int) -> None:
        """Take the leases of the groups before this one for inherited; after a load they are all."""
        self.first_group = min(first_group, self.group)
        self.inherited.clear()
        for lease in self.by_seq.values():
            if lease.group < self.first_group:
                self.inherited.setdefault(lease.holder, []).append(lease.seq)

    def take_inherited(self, holder: str) -> list[Lease]:
        """The inherited leases that this holder still has, oldest first; the next call gives none."""
        leases = [self.by_seq.get(seq) for seq in self.inherited.pop(holder, ())]
        return [lease for lease in leases if lease and lease.group < self.first_group and lease.holder == holder]

    def clear(self) -> None:
        """Forget all leases in memory; the keys are the caller's business."""
        self.by_seq.clear()
        self.by_jid.clear()
        self.extras.clear()
        self.fresh.clear()
        self.ended_young = False
        self.groups.clear()
        self.stale.clear()
        self.inherited.clear()
        self.next_expiry = NEVER
        self._look = []
        self._looked = 0

    def holds(self, seq: int) -> bool:
        """Whether a job is leased."""
        return seq in self.by_seq

    def grant(self, lease: Lease) -> None:
        """Begin a lease; it belongs to the present `group`."""
        self.fresh.append(lease)
        # As `keep` has it, for nearly every lease.
        if lease.jid in self.by_jid or self.watchers or lease.until < self.next_expiry:
            self.keep(lease)
        else:
            self.by_seq[lease.seq] = self.by_jid[lease.jid] = lease

    def settle(self) -> None:
        """Put what this turn granted into the turn."""
        live = self.fresh
        if self.ended_young:
            # Some were granted and ended in this very turn.
            self.ended_young = False
            live = [lease for lease in live if self.by_seq.get(lease.seq) is lease]
        if live:
            self.turn.changes[keys.lease_key(self.group)] = encode_record(live)
            self.groups[self.group] = {lease.seq for lease in live}
        self.group += 1
        self.fresh = []

    def settle_stale(self) -> None:
        """Put the groups that have changed into the turn."""
        for group in self.stale:
            # One whose leases have all ended since is deleted already.
            if seqs := self.groups.get(group):
                self.turn.changes[keys.lease_key(group)] = encode_record([self.by_seq[seq] for seq in seqs])
        self.stale.clear()

    def keep(self, lease: Lease) -> None:
        """Take a lease into memory."""
        self.by_seq[lease.seq] = lease
        present = self.by_jid.setdefault(lease.jid, lease)
        if present is not lease:
            self.by_jid[lease.jid] = [*present, lease] if isinstance(present, list) else [present, lease]
        if lease.until < self.next_expiry:  # noqa: PLR1730 - on the hot path a call of `min` costs thrice as much
            self.next_expiry = lease.until
        if self.watchers:
            for watcher in self.watchers.get(lease.queue, ()):
                watcher.granted(lease)

    def unwatch(self, queue: str, watcher: Watcher) -> None:
        """Tell a watcher of a queue's leases no more."""
        watchers = self.watchers.get(queue, [])
        if watcher in watchers:
            watchers.remove(watcher)
            if not watchers:
                del self.watchers[queue]

    def find(self, jid: str, holder: str) -> Lease | None:
        """The lease that an ACK or FAIL of `holder` means: its own, else the oldest; None when there is none."""
        present = self.by_jid.get(jid)
        if isinstance(present, list):
            return next((lease for lease in present if lease.holder == holder), present[0])
        return present

    def end(self, lease: Lease) -> None:
        """End the lease of a job that no longer lies where it lay."""
        del self.by_seq[lease.seq]
        if lease.uses:
            self.extras.pop(lease.seq, None)
        present = self.by_jid.pop(lease.jid)
        if present is not lease:
            assert isinstance(present, list)
            rest = [other for other in present if other is not lease]
            self.by_jid[lease.jid] = rest if len(rest) > 1 else rest[0]
        group = lease.group
        if group == self.group:
            self.ended_young = True
        else:
            left = self.groups[group]
            left.discard(lease.seq)
            if not left:
                del self.groups[group]
                self.turn.changes[keys.lease_key(group)] = None
        if self.watchers:
            for watcher in self.watchers.get(lease.queue, ()):
                watcher.ended(lease)

    def take_back(self, lease: Lease) -> None:
        """End the lease of a job that stays where it lies, or is put there again: now the record must say so."""
        self.end(lease)
        self.rewrite(lease)

    def extend(self, lease: Lease, until: int) -> None:
        """Let a lease last longer; never shorter. An effect."""
        if until > lease.until:
            lease.until = until
            self.rewrite(lease)

    def rewrite(self, lease: Lease) -> None:
        """Write what has changed in a lease when the turn ends, as one of this turn is anyway. An effect."""
        if lease.group in self.groups:
            self.stale.add(lease.group)

    def all_of(self, jid: str) -> list[Lease]:
        """The leases of all jobs with this jid, oldest first."""
        present = self.by_jid.get(jid, [])
        return [*present] if isinstance(present, list) else [present]

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
