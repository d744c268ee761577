"""The state: all that the engine knows, in one place for the transitions to work on.

Everything here but the settings and the workers' connections is rebuilt from the store by `load`, and nothing of
it matters after a crash: a start after a crash and a start after a clean stop are the same code.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lineshaft.clock import format_instant
from lineshaft.engine import keys
from lineshaft.engine.cancel import CANCELLED, Cancels
from lineshaft.engine.chores import Chores
from lineshaft.engine.expiries import Expiries
from lineshaft.engine.feature import Features
from lineshaft.engine.index import Index
from lineshaft.engine.lanes.lanes import Lanes
from lineshaft.engine.leases import Leases
from lineshaft.engine.periodic import PeriodicJobs
from lineshaft.engine.ready import Queue, Queues
from lineshaft.engine.records import (
    LARGEST_FIGURE,
    DayRecord,
    LaneRules,
    LanesRecord,
    Lease,
    TotalsRecord,
    decode_day,
    decode_totals,
    encode_record,
)
from lineshaft.engine.settings import Settings
from lineshaft.engine.stats.groups import Groups
from lineshaft.engine.stats.history import History
from lineshaft.engine.stats.notes import Notes
from lineshaft.engine.throttles import Throttles
from lineshaft.engine.timed import SetName, TimedSet
from lineshaft.engine.turn import Change, Turn
from lineshaft.engine.workers import Workers
from lineshaft.errors import StoreCorrupt
from lineshaft.job import UNREADABLE
from lineshaft.store.port import Store

if TYPE_CHECKING:
    from lineshaft.engine.hooks import Hooks

__all__ = ["State"]

#: Orders are reserved in blocks of this size, so that none is used twice whatever a crash takes back.
ORDER_BLOCK: Final = 1_000_000

DAY_MS: Final = 86_400_000

#: Those of a queue whose lanes were switched off.
NO_LANES: Final = LaneRules()


class State:
    """What the transitions read and change."""

    def __init__(self, store: Store, settings: Settings, chance: Callable[[], float], now: int) -> None:
        self.settings = settings
        #: A number in [0, 1), for the jitter of retries.
        self.chance = chance
        self.turn = Turn(store)
        self.leases = Leases(self.turn)
        self.queues = Queues(self.turn, self.leases.holds)
        self.throttles = Throttles(self.turn, self.leases, self.queues, self.arrive)
        #: Whether it is kept is decided at the start, whatever a reload says.
        self.index = Index(self.turn, enabled=settings.jid_index)
        self.sets = {name: TimedSet(self.turn, name) for name in SetName}
        self.scheduled = self.sets[SetName.SCHEDULED]
        self.retries = self.sets[SetName.RETRIES]
        self.dead = self.sets[SetName.DEAD]
        self.groups = Groups(self.turn)
        self.notes = Notes(self.turn)
        self.workers = Workers(self.turn, self.leases)
        self.chores = Chores(self.turn)
        self.expiries = Expiries(self.turn)
        self.cancels = Cancels()
        self.history = History(self.turn)
        self.periodic = PeriodicJobs(self.turn, now)
        #: The features; the engine sets them, as it does the hooks.
        self.features = Features({})
        #: What is called when jobs move.
        self.hooks: Hooks | None = None
        #: Leases of vanished workers that are still to be taken back.
        self.lost: list[Lease] = []
        #: Leases from before the start that their workers do not know of, still to be given back.
        self.unheld: list[Lease] = []
        # The present.
        self.now = now
        self.stamp = format_instant(now)
        self.stamp_second = now // 1000
        self.day_ends = 0
        # The counter behind seq and order.
        self.order = 0
        self.orders_reserved = 0
        #: What queues had counted that were removed.
        self.totals = TotalsRecord()
        #: Batches that are not finished yet; `batches` reads it.
        self.open_batches = 0
        #: Why pushes are refused at the moment; None when they are not.
        self.push_refusal: str | None = None
        #: Queues in which a job became available while somebody waited for one.
        self.arrivals: list[str] = []
        #: Jobs that named a batch which is not known, and its bid, for the shell to log.
        self.unknown_batches: list[tuple[str, str]] = []
        #: The keys of damaged rows that were set aside, for the shell to log.
        self.set_aside: list[bytes] = []

    def load(self) -> None:
        """Read what must be in memory: queues, leases, workers, chores, the figures. Raises StoreError."""
        try:
            self._load()
        except UNREADABLE as error:
            raise StoreCorrupt(f"a record of the store cannot be read: {error}: run `lineshaft check`") from error

    def _load(self) -> None:
        self._load_format()
        self.order = self.orders_reserved = int(self.turn.get(keys.SEQUENCE_KEY) or b"0")
        if self.order > LARGEST_FIGURE:
            raise ValueError("numbers that high are never reached")
        totals = self.turn.get(keys.TOTALS_KEY)
        self.totals = decode_totals(totals) if totals else TotalsRecord()
        self.leases.load()
        for lease in self.leases.by_seq.values():
            if CANCELLED in lease.uses:
                self.cancels.add(lease)
        for queue, record in self.queues.load():
            queue.lanes = Lanes(self, queue, record)
            queue.lanes.load(list(self.leases.by_seq.values()))
        self.index.load(self.queues, self.leases.by_seq.values(), self.order)
        for timed in self.sets.values():
            timed.load()
        self.groups.load([timed for timed in self.sets.values() if timed.is_grouped])
        self.notes.load()
        self.workers.load(self.now)
        self.chores.load()
        self.expiries.load()
        self.history.load()
        self.throttles.load(self.settings.throttles, self.now)
        self.periodic.load()
        self.apply(self.settings)
        self.arrivals = list(self.queues.by_name)
        self.day_ends = 0
        self.advance(self.now)

    def _load_format(self) -> None:
        value = self.turn.get(keys.FORMAT_KEY)
        if value is None:
            self.turn.changes[keys.FORMAT_KEY] = b"%d" % keys.FORMAT_VERSION
        elif value != b"%d" % keys.FORMAT_VERSION:
            raise StoreCorrupt(
                f"the data has format {value.decode(errors='replace')}, and this version of Lineshaft reads "
                f"{keys.FORMAT_VERSION}: start a version that reads it (docs/format.md)"
            )

    def apply(self, settings: Settings) -> None:
        """Take other settings into effect, now."""
        self.settings = settings
        self.workers.recover_after = settings.recover_after
        self.workers.most = settings.most.workers
        self.workers.next_check = self.now
        self.throttles.apply(settings.throttles, self.now)
        for queue in self.queues:
            self.limit(queue)
        self.periodic.take_over(settings.periodic, self.now)

    def limit(self, queue: Queue) -> None:
        """Give a queue the limits that the settings have for it."""
        limits = self.settings.limits(queue.name)
        queue.max_jobs, queue.reserve_seconds = limits.max_jobs, limits.reserve_seconds
        queue.gate = self.throttles.gates.get(queue.name)
        if queue.lanes is not None:
            if queue.lanes.rules != (limits.lanes or NO_LANES):
                queue.lanes.apply(limits.lanes or NO_LANES)
        elif limits.lanes is not None:
            queue.lanes = Lanes(self, queue, LanesRecord(1, 1, 0, 0, limits.lanes))
            self.queues.touch(queue)

    def arrive(self, name: str) -> None:
        """Somebody who waits for a job of this queue may find one now."""
        queue = self.queues.by_name.get(name)
        if queue is not None and queue.wanted and queue.size:
            self.arrivals.append(name)

    def advance(self, now: int) -> None:
        """Let time pass. Called before anything else in a turn; a clock that steps back is followed."""
        if now == self.now and self.day_ends:
            return
        if now < self.now:
            self.periodic.step_back(now)
        self.now = now
        second, rest = divmod(now, 1000)
        if second == self.stamp_second:
            self.stamp = f"{self.stamp[:20]}{rest:03d}Z"
        else:
            self.stamp, self.stamp_second = format_instant(now), second
        if now >= self.day_ends:
            self._begin_day()

    def _begin_day(self) -> None:
        day = f"{datetime.fromtimestamp(self.now / 1000, UTC):%Y-%m-%d}"
        self.day_ends = (self.now // DAY_MS + 1) * DAY_MS
        if self.turn.get(keys.day_key(day)) is None:
            self.turn.changes[keys.day_key(day)] = encode_record(DayRecord(self.processed(), self.failed()))

    def take_order(self) -> int:
        """The next number of the counter behind seq and order; never the same twice, whatever happens."""
        self.order += 1
        if self.order > self.orders_reserved:
            self.orders_reserved += ORDER_BLOCK
            self.turn.changes[keys.SEQUENCE_KEY] = b"%d" % self.orders_reserved
        return self.order

    def settle(self) -> None:
        """Put the records of all that moved into the turn; the last thing before its commit."""
        if self.leases.fresh:
            self.leases.settle()
        if self.leases.stale:
            self.leases.settle_stale()
        self.index.settle(self.order)
        if self.queues.dirty:
            self.queues.settle(self.order + 1)
        if self.history.dirty:
            self.history.settle()
        if self.scheduled.dirty or self.retries.dirty or self.dead.dirty:
            for timed in self.sets.values():
                timed.settle()
        if self.groups.dirty:
            self.groups.settle()

    def change(self) -> Change:
        """Begin a transition that can fail half way."""
        return Change(self.turn)

    def add_totals(self, processed: int, failed: int, expired: int = 0) -> None:
        """Count for queues that are gone, and what has expired in any."""
        totals = self.totals
        self.totals = TotalsRecord(totals.processed + processed, totals.failed + failed, totals.expired + expired)
        self.turn.changes[keys.TOTALS_KEY] = encode_record(self.totals)

    def count_open_batches(self, step: int) -> None:
        """So many more batches are open; an effect."""
        self.open_batches += step
        self.turn.changes[keys.OPEN_BATCHES_KEY] = b"%d" % self.open_batches

    def forget_figures(self) -> None:
        """Begin all counts anew, with what was counted before gone."""
        self.totals = TotalsRecord()
        self.open_batches = 0
        self.arrivals.clear()
        self._begin_day()

    def processed(self) -> int:
        """How many jobs have been worked on, failures included, since the last FLUSH."""
        return self.totals.processed + sum(queue.processed for queue in self.queues)

    def failed(self) -> int:
        """How many times a job failed since the last FLUSH."""
        return self.totals.failed + sum(queue.failed for queue in self.queues)

    def days(self, limit: int) -> list[tuple[str, int, int]]:
        """The last days, the newest first: day, processed and failed in it. Raises StoreError."""
        start, end = keys.prefix_range(b"D")
        counted = (self.processed(), self.failed())
        history = []
        for key, value in self.turn.scan(start, end, limit=limit, reverse=True):
            try:
                began = decode_day(value)
            except UNREADABLE:
                # Its work is counted to the day before.
                continue
            history.append((key[1:].decode(), counted[0] - began.processed, counted[1] - began.failed))
            counted = (began.processed, began.failed)
        return history
