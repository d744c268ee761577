"""The laws of batches, for `check`: each is counted as its jobs stand, and no job is counted that is not there.

Of each batch that has jobs left the counts are remembered, and held against their states. Whether each state has its
job is held by counting, as with the jid index: each job looks for its own state, and no two can find the same one.
"""

from collections import Counter

from lineshaft.engine import keys
from lineshaft.engine.check.findings import Law, MalformedKey, Report, Severity
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.feature import BATCHED
from lineshaft.engine.features.batch import DEAD, MEMBER_STATES, PENDING, Batch, Role, Slot, decode_batch
from lineshaft.engine.features.batches import BATCH
from lineshaft.engine.value import Extras, split_value
from lineshaft.job import decode_stored

__all__ = ["BatchLaws"]

BID_LENGTH = 18


class BatchLaws:
    """What a walk through a store learns of batches."""

    def __init__(self, reader: Reader, report: Report) -> None:
        self.reader = reader
        self.report = report
        #: Batches that are open, and how many the store says that there are.
        self.open = 0
        self.said_open: int | None = None
        #: Callbacks and states that were found, less those that were looked for and found.
        self.callbacks = 0
        self.members = 0
        #: By bid, for the batches with jobs that are still there: all, pending, dead as counted; and states as found.
        self.counted: dict[str, tuple[int, int, int]] = {}
        self.found: dict[str, Counter[bytes]] = {}

    def row(self, key: bytes, value: bytes) -> None:
        """A row under B. Raises MalformedKey, DecodeError, ValueError."""
        kind, bid = key[1:2], key[2 : 2 + BID_LENGTH]
        if kind == b"b" and len(key) == 2 + BID_LENGTH:
            self._batch(key, bid.decode(), decode_batch(value))
        elif kind == b"j" and len(key) == 3 + BID_LENGTH:
            decode_stored(split_value(value)[1])
            self.callbacks += 1
        elif kind == b"m" and len(key) == 10 + BID_LENGTH:
            if value not in MEMBER_STATES:
                raise ValueError(f"{value[:40]!r} is no state of a job in a batch")
            self.members += 1
            self.found.setdefault(bid.decode(), Counter())[value] += 1
        elif key == keys.OPEN_BATCHES_KEY:
            self.said_open = int(value)
        else:
            raise MalformedKey

    def job(self, key: bytes, jid: str, seq: int, extras: Extras, *, is_dead: bool) -> None:
        """Look for the state of a job that joined a batch."""
        if BATCHED not in extras.uses or self.reader.unreadable:
            return
        state = self.reader.get(keys.member_key(extras.bid, seq))
        if state is not None:
            self.members -= 1
            if (state == DEAD) is not is_dead:
                self.report(Law.BATCH, key, f"job {jid} is counted as {state.decode(errors='replace')!r} in its batch")
        elif self.reader.get(keys.batch_key(extras.bid)) is not None:
            self.report(Law.BATCH, key, f"job {jid} is not counted in its batch {extras.bid}")

    def whole(self) -> None:
        """What only the end tells."""
        self._hold_counts()
        if self.members > 0:
            what = f"{self.members} jobs are counted in batches and are not there: those batches wait for ever"
            self.report(Law.BATCH, b"Bm", what)
        if self.callbacks > 0:
            self.report(Law.BATCH, b"Bj", f"{self.callbacks} callbacks wait for no batch")
        # A start counts them where nothing is said.
        if self.said_open not in (None, self.open) and not self.reader.unreadable:
            what = f"{self.said_open} batches are counted as open, and {self.open} are"
            self.report(Law.BATCH, keys.OPEN_BATCHES_KEY, what, Severity.UNTIDY)

    def _batch(self, key: bytes, bid: str, batch: Batch) -> None:
        self.open += not batch.is_finished()
        if batch.total > batch.succeeded + batch.lost:
            self.counted[bid] = (batch.total - batch.succeeded - batch.lost, batch.pending, batch.dead)
        for role in (Role.COMPLETE, Role.SUCCESS, Role.DEATH):
            if batch.slot(role) is Slot.WAITING:
                if self.reader.get(keys.callback_key(bid, role)) is not None:
                    self.callbacks -= 1
                elif not self.reader.unreadable:
                    self.report(Law.BATCH, key, f"its callback {role!r} is not there")
        if batch.next_due() is not None:
            self.report(Law.BATCH, key, f"its callback {batch.next_due()!r} is due, and nothing will enqueue it")
        expiry = keys.expiry_key(batch.until, BATCH, bid.encode())
        is_to_end = batch.until or not batch.committed or batch.is_finished()
        if is_to_end and self.reader.get(expiry) is None and not self.reader.unreadable:
            self.report(Law.BATCH, key, "nothing will ever forget it")

    def _hold_counts(self) -> None:
        for bid in self.counted | self.found:
            found = self.found.get(bid, Counter())
            counted, states = self.counted.get(bid, (0, 0, 0)), (found.total(), found[PENDING], found[DEAD])
            # The jobs of a batch that was forgotten keep their states until they end.
            if counted != states and (bid in self.counted or self.reader.get(keys.batch_key(bid)) is not None):
                told = "the batch counts {} jobs, {} pending and {} dead".format(*counted)
                self.report(Law.BATCH, keys.batch_key(bid), told + ", and there are {}, {} and {}".format(*states))
