"""Throttles: how many jobs of a queue may run at once, and how many may begin in a time.

```
FETCH ──> queue.gate.admits? ──yes──> a lease begins: the gate counts a slot, and takes a token
              │ no: the queue looks empty, and the next one that the FETCH names has its turn
```

A queue with a throttle has a *gate*. It holds a *slot* for each lease of the queue until the lease ends, however it
does, or until `timeout` has passed; `concurrency` limits the slots of all, `worker` those of one holder. `rate` has
each lease cost a token of a bucket; a token does not come back, whatever becomes of the job.

Slots are not written: they are counted from the leases, at a start and whenever a limit is changed, so no crash can
leak one. What a bucket owes is written in the commit of the lease that it was owed for (M), since a start would fill
it otherwise. A gate stands by the queue's name and outlives a REMOVE, as the leases do.

Whoever waits is woken at once: a slot that goes makes its queue an arrival. What time alone opens (a slot's end, the
next token) is watched, and only while somebody waits: `next_at` is when `wake` has something to look at.

A worker that is at its own limit must not hold up those behind it in line, so the server has its waiters step aside;
`eased` says which of them may come back (see `server.waiters`).

What is true after every call: a gate has a slot for every lease of its queue whose time is not over, and `by_holder`
counts the same; slots are in the order of their ends.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lineshaft.engine import keys
from lineshaft.engine.bucket import Bucket
from lineshaft.engine.leases import NEVER, Leases
from lineshaft.engine.ready import Queue, Queues
from lineshaft.engine.records import BucketRecord, Lease, decode_bucket, encode_record
from lineshaft.engine.settings import Throttle
from lineshaft.engine.turn import Turn

__all__ = ["Gate", "Throttles"]


class Gate:
    """The throttle of one queue: its slots and its bucket. A `leases.Watcher`."""

    __slots__ = ("bucket", "by_holder", "limits", "name", "owner", "slots")

    def __init__(self, owner: "Throttles", name: str, limits: Throttle, now: int) -> None:
        self.owner = owner
        self.name = name
        self.limits = limits
        #: Seq of the leased job to its holder, and when the slot ends by itself.
        self.slots: OrderedDict[int, tuple[str, int]] = OrderedDict()
        self.by_holder: dict[str, int] = {}
        self.bucket = None if limits.rate is None else Bucket(limits.rate, limits.per, at=now)

    def admits(self, holder: str, now: int) -> bool:
        """Whether this holder may have a job of the queue now."""
        self.release(now)
        bucket = self.bucket
        if self.is_full() or self.holds_back(holder) or (bucket is not None and not bucket.has_token(now)):
            self.owner.refused(self, now)
            return False
        return True

    def is_full(self) -> bool:
        """Whether all slots are taken."""
        return self.limits.concurrency is not None and len(self.slots) >= self.limits.concurrency

    def holds_back(self, holder: str) -> bool:
        """Whether this holder has as many slots as one may have; others may still have theirs."""
        return self.limits.worker is not None and self.by_holder.get(holder, 0) >= self.limits.worker

    def granted(self, lease: Lease) -> None:
        """A lease begins: it takes a slot and a token."""
        self.hold(lease, lease.since)
        bucket = self.bucket
        if bucket is not None:
            bucket.take(lease.since)
            self.owner.write(self.name, bucket)

    def hold(self, lease: Lease, now: int) -> None:
        """Take a slot for a lease, unless its time is over. One that begins later than now does so by an old clock."""
        timeout = self.limits.timeout
        end = NEVER if timeout is None else min(lease.since, now) + timeout
        if timeout is not None and self.slots:
            # A clock may go back by less than is worth a `shift`.
            end = max(end, next(reversed(self.slots.values()))[1])
        if end > now:
            self.slots[lease.seq] = (lease.holder, end)
            self.by_holder[lease.holder] = self.by_holder.get(lease.holder, 0) + 1

    def ended(self, lease: Lease) -> None:
        """A lease has ended: its slot goes, if its time did not end before."""
        if lease.seq in self.slots:
            self._free(lease.seq)

    def release(self, now: int) -> None:
        """Let the slots go whose time is over, though their jobs still run."""
        if self.limits.timeout is not None:
            while self.slots and self.first_end() <= now:
                self._free(next(iter(self.slots)))

    def first_end(self) -> int:
        """When the next slot goes by itself."""
        return next(iter(self.slots.values()))[1] if self.slots else NEVER

    def opens_at(self, now: int, *, has_jobs: bool) -> int:
        """When time alone may let somebody in who cannot come in now."""
        is_full = self.is_full()
        end = self.first_end() if is_full or self.limits.worker is not None else NEVER
        if has_jobs and self.bucket is not None and not is_full and not self.bucket.has_token(now):
            return min(end, self.bucket.next_at(now))
        return end

    def shift(self, milliseconds: int) -> None:
        """The clock was set by this much: every slot lasts as long as before, and so does the wait for a token."""
        if self.bucket is not None:
            self.bucket.at += milliseconds
        for seq, (holder, end) in self.slots.items():
            self.slots[seq] = (holder, end if end == NEVER else end + milliseconds)

    def clear(self) -> None:
        """Nothing is held, and nothing owed."""
        self.slots.clear()
        self.by_holder.clear()
        if self.bucket is not None:
            self.bucket.debt = 0

    def _free(self, seq: int) -> None:
        holder, _ = self.slots.pop(seq)
        left = self.by_holder[holder] - 1
        if left:
            self.by_holder[holder] = left
        else:
            del self.by_holder[holder]
        self.owner.freed(self, holder)


class Throttles:
    """All gates, by the name of their queue."""

    def __init__(self, turn: Turn, leases: Leases, queues: Queues, arrive: Callable[[str], None]) -> None:
        self.turn = turn
        self.leases = leases
        self.queues = queues
        #: Says that somebody may find a job in a queue.
        self.arrive = arrive
        self.gates: dict[str, Gate] = {}
        #: The names under which a bucket is written.
        self.written: set[str] = set()
        #: Gates that somebody waits at, and when time may open them.
        self.watched: dict[str, int] = {}
        self.next_at = NEVER
        #: Queue and holder for whom a slot has gone since somebody waited there; None is every holder.
        self.eased: list[tuple[str, str | None]] = []

    def load(self, limits: Mapping[str, Throttle], now: int) -> None:
        """Count the slots of all leases, which have been read, and take up what buckets owe. Raises StoreError."""
        start, end = keys.prefix_range(b"M")
        records: dict[str, BucketRecord] = {}
        while rows := self.turn.scan(start, end, limit=1000):
            for key, value in rows:
                records[key[1:].decode()] = decode_bucket(value)
            start = keys.after(rows[-1][0])
        self.written = set(records)
        self.apply(limits, now, records)

    def apply(
        self, limits: Mapping[str, Throttle], now: int, records: Mapping[str, BucketRecord] | None = None
    ) -> None:
        """Have gates for these limits. One whose limits stay goes on as it is; the slots of others are counted anew."""
        old, self.gates = self.gates, {}
        for name, wanted in limits.items():
            before = old.get(name)
            if before is not None and before.limits == wanted:
                self.gates[name] = old.pop(name)
                continue
            gate = self.gates[name] = Gate(self, name, wanted, now)
            if before is not None and before.bucket is not None:
                before.bucket.refill(now)
            owed = before.bucket if before is not None else (records or {}).get(name)
            if gate.bucket is not None and owed is not None:
                # A record of no parts is damage, for `check` to name, and no reason not to start.
                gate.bucket.owe(owed.debt, max(owed.per, 1), owed.at, now)
                if before is not None:
                    self.write(name, gate.bucket)
        self._watch_leases(old, now)
        for name in [name for name in self.written if name not in limits or limits[name].rate is None]:
            self._unwrite(name)

    def _watch_leases(self, old: dict[str, Gate], now: int) -> None:
        """Let new gates know of the leases that there are, and of all that come and go; those of `old` no more."""
        watchers = self.leases.watchers
        fresh: dict[str, Gate] = {}
        for name, gone in old.items():
            watchers[name].remove(gone)
            if not watchers[name]:
                del watchers[name]
        for name, gate in self.gates.items():
            if gate not in watchers.setdefault(name, []):
                watchers[name].append(gate)
                fresh[name] = gate
        if fresh:
            # In the order of their ends; they were granted in another one if the clock was set back meanwhile.
            held = [lease for lease in self.leases.by_seq.values() if lease.queue in fresh]
            for lease in sorted(held, key=lambda lease: min(lease.since, now)):
                fresh[lease.queue].hold(lease, now)
        for name in {**old, **fresh}:
            self._let_everyone_try(name)

    def _let_everyone_try(self, name: str) -> None:
        self.watched.pop(name, None)
        self.eased.append((name, None))
        self.arrive(name)

    def write(self, name: str, bucket: Bucket) -> None:
        """Have what a bucket owes be part of this turn."""
        self.written.add(name)
        record = BucketRecord(bucket.debt, bucket.per, bucket.at)
        self.turn.changes[keys.throttle_key(name)] = encode_record(record)

    def _unwrite(self, name: str) -> None:
        self.written.discard(name)
        self.turn.changes[keys.throttle_key(name)] = None

    def clear(self) -> None:
        """Forget what is held and owed; the keys are the caller's business."""
        self.written.clear()
        for gate in self.gates.values():
            gate.clear()
            self._let_everyone_try(gate.name)

    # Waking

    def freed(self, gate: Gate, holder: str) -> None:
        """A slot of this holder has gone: somebody may come in."""
        queue = self.queues.by_name.get(gate.name)
        if queue is not None and queue.wanted:
            if gate.limits.worker is not None:
                self.eased.append((gate.name, holder))
            self.arrive(gate.name)

    def refused(self, gate: Gate, now: int) -> None:
        """Somebody could not come in. Whoever waits already is to be woken when that changes."""
        queue = self.queues.by_name.get(gate.name)
        if queue is not None and queue.wanted:
            self.watch(gate, queue, now)

    def watch(self, gate: Gate, queue: Queue, now: int) -> None:
        """Somebody waits for a job of this queue: look at the gate when time may have opened it."""
        at = gate.opens_at(now, has_jobs=queue.size > 0)
        if at < self.watched.get(gate.name, NEVER):
            self.watched[gate.name] = at
            self.next_at = min(self.next_at, at)

    def wake(self, now: int) -> None:
        """Look at the gates that time may have opened."""
        if now < self.next_at:
            return
        for name in [name for name, at in self.watched.items() if at <= now]:
            del self.watched[name]
            gate, queue = self.gates.get(name), self.queues.by_name.get(name)
            if gate is not None and queue is not None and queue.wanted:
                # Whoever then has to wait on has the gate watched again.
                gate.release(now)
                self.arrive(name)
        self.next_at = min(self.watched.values(), default=NEVER)

    def shift(self, milliseconds: int) -> None:
        """The clock was set. One that was set back must not make a slot last longer; one that leaps ahead is followed,
        as by reservations: more likely the machine slept, and the time has passed.
        """
        if milliseconds < 0:
            for gate in self.gates.values():
                gate.shift(milliseconds)
            self.watched = {name: at + milliseconds for name, at in self.watched.items()}
            self.next_at = min(self.watched.values(), default=NEVER)

    # Views

    def views(self, now: int) -> Iterator[dict[str, Any]]:
        """Each throttle as it stands, for whoever wants to show them: seconds, and counts of now."""
        for name, gate in sorted(self.gates.items()):
            gate.release(now)
            limits, queue = gate.limits, self.queues.by_name.get(name)
            yield {
                "name": name,
                "concurrency": limits.concurrency,
                "worker": limits.worker,
                "timeout": None if limits.timeout is None else limits.timeout / 1000,
                "rate": limits.rate,
                "per": None if limits.rate is None else limits.per / 1000,
                "held": len(gate.slots),
                "workers": len(gate.by_holder),
                "workers_full": sum(gate.holds_back(holder) for holder in gate.by_holder),
                "tokens": None if gate.bucket is None else gate.bucket.tokens(now),
                "waiting": 0 if queue is None else queue.size,
            }
