"""The writer: a leader's end of the log. Turns share records, and replies go out in order.

```
turn ─> waiting ─> record 7 ─┐ expects 41 ── answer 42 ─> stands
turn ─> waiting ─> record 8 ─┤ expects 42 ── refused ─┐
turn ─> waiting ─> record 9 ─┘ expects 43 ── ...      ├─> doubt: every answer is in ─> read the tail
                                                      │     a newer epoch: lost, nothing more is written
                                                      └─    else: what stands is released, the rest sent again
```

Turns that come while an append is in flight, or with others, share the next record; several appends are in flight
where a transaction has several parts, or the log is slow. Each expects the sequence that the one before will have.
While every answer is the predicted one, the entries are contiguous from the epoch's first on, so nobody else's stand
between them and each of them counts by the fold's rule: its turns are released without reading anything. At any other
answer (refused, none, another sequence) the writer sends no more until all answers are in, reads the log from the last
entry that it is sure of, and folds it as every node does. What counts there stands; what does not is sent again, the
same bytes under the same numbers. A late copy of the first attempt does no harm: of two entries with one number the
first counts, and they say the same.

What is true after every call: `standing` was called for turns in the order of their commit, each once, and only for
those that stand in the log under the fold's rule together with all before them.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from msgspec import Struct

from lineshaft.cluster.fold import Fold, Verdict
from lineshaft.cluster.port import Log, Outcome
from lineshaft.cluster.record import HEADER_BYTES, Record, UnknownVersion, cut, decode_record, join
from lineshaft.store.port import Changes, KeyRange

__all__ = ["Turn", "Writer"]

#: How many appends may be in flight.
WINDOW: Final = 8

#: So long what is committed waits for the append before it, and shares the next record: a record costs the log and all
#: who read it much the same whatever is in it. Where the log is slower than that, several are in flight.
FOLLOW_MS: Final = 3

#: So many turns of the event loop in which nothing was committed go by before a record is made: those whose replies
#: have just gone out are about to send their next commands. One takes microseconds, an append costs hundreds of them.
PATIENCE: Final = 12

#: What the log puts beside a record (its headers) counts as part of the entry.
MARGIN_BYTES: Final = 1024


class Turn(Struct, frozen=True):
    """What one turn of the engine wrote, as it is and as it goes into the log."""

    number: int
    changes: Changes
    cleared: list[KeyRange]
    data: bytes


class _Sent(Struct):
    """A record, and what has become of it."""

    record: Record
    data: bytes
    turns: list[Turn]  #: those that it completes
    expected: int = 0
    outcome: Outcome | None = None


class Writer:
    """The appends of one epoch, by the node that leads it."""

    def __init__(
        self,
        log: Log,
        fold: Fold,
        standing: Callable[[Fold, list[Turn]], None],
        lost: Callable[[str], None],
        *,
        soon: Callable[[Callable[[], None]], None],
        clock: Callable[[], int],
    ) -> None:
        """`fold` has just taken the record that began the epoch.

        `soon` calls back after the events that are already here; `clock` gives milliseconds that only ever rise.
        """
        self._log = log
        self._soon = soon
        self._clock = clock
        self._standing = standing
        self._lost = lost
        #: What stands for certain.
        self._fold = fold
        self._number = 0
        self._predicted = fold.sequence
        self._waiting: deque[Turn] = deque()
        self._ready: deque[_Sent] = deque()
        self._sent: deque[_Sent] = deque()
        #: When the last one was sent.
        self._sent_at = 0
        #: How many turns waited at the last look, and how many looks in vain are left; none is due while this is 0.
        self._seen = 0
        self._looks = 0
        #: When the looks began.
        self._looks_since = 0
        #: How many bytes of turns do not stand yet.
        self.pending_bytes = 0
        self._in_doubt = False
        self._reading = False
        self.is_over = False

    def commit(self, turn: Turn) -> None:
        """Have a turn appended, behind all before it."""
        self._waiting.append(turn)
        self.pending_bytes += len(turn.data)
        self._gather()

    @property
    def is_idle(self) -> bool:
        """Whether everything that was committed stands."""
        return not (self._waiting or self._ready or self._sent)

    def stop(self) -> None:
        """Write no more; what is in flight may be in the log or not."""
        self.is_over = True

    def tick(self) -> None:
        """To be called now and then: reads the tail again where that failed."""
        self._maybe_look()

    def _gather(self) -> None:
        """Wait for more to share the next record, as long as it comes, but no longer than FOLLOW_MS."""
        if self._waiting and not self._looks and self._may_follow():
            self._seen, self._looks = len(self._waiting), PATIENCE
            self._looks_since = self._clock()
            self._soon(self._look)

    def _look(self) -> None:
        self._looks -= 1
        if len(self._waiting) > self._seen and self._clock() - self._looks_since < FOLLOW_MS:
            self._seen, self._looks = len(self._waiting), PATIENCE
        if self._looks:
            self._soon(self._look)
        else:
            self._send()

    def _may_follow(self) -> bool:
        """Whether what waits need not wait for what is in flight."""
        return not self._sent or self._clock() - self._sent_at >= FOLLOW_MS

    def _send(self) -> None:
        while not self.is_over and not self._in_doubt and len(self._sent) < WINDOW:
            if not self._ready:
                if not self._waiting or not self._may_follow():
                    return
                self._make_records()
                self._sent_at = self._clock()
            one = self._ready.popleft()
            one.expected, one.outcome = self._predicted, None
            self._predicted += 1
            self._sent.append(one)
            identity = f"{one.record.epoch}.{one.record.number}.{one.expected}"
            self._log.append(one.data, expected=one.expected, identity=identity, done=partial(self._answered, one))

    def _make_records(self) -> None:
        """Put as many turns as fit into one record; one that is too large goes into several."""
        limit = self._log.limit_bytes - HEADER_BYTES - MARGIN_BYTES
        turns = [self._waiting.popleft()]
        size = len(turns[0].data)
        while self._waiting and size + len(self._waiting[0].data) < limit:
            turns.append(self._waiting.popleft())
            size += len(turns[-1].data)
        pieces = cut(join([turn.data for turn in turns]), limit)
        for more, piece in zip(range(len(pieces) - 1, -1, -1), pieces, strict=True):
            self._number += 1
            record = Record(self._fold.epoch, self._number, more, piece)
            self._ready.append(_Sent(record, record.encode(), [] if more else turns))

    def _answered(self, one: _Sent, outcome: Outcome) -> None:
        if self.is_over or one.outcome is not None or one not in self._sent:
            return
        one.outcome = outcome
        if outcome != one.expected + 1:
            self._in_doubt = True
        if self._in_doubt:
            self._maybe_look()
            return
        while self._sent and self._sent[0].outcome is not None and not self.is_over:
            self._stands(self._fold.sequence + 1, self._sent[0].record)
        if self._ready:
            self._send()
        else:
            self._gather()

    def _stands(self, sequence: int, record: Record | None) -> bool:
        """Fold the next entry; False when it begins another epoch."""
        verdict = self._fold.take(sequence, record)
        if verdict is Verdict.EPOCH:
            return False
        if verdict is not Verdict.SKIPPED:
            one = self._sent.popleft()
            assert record is not None
            assert one.record.number == record.number, "numbers of an epoch count in order, and are its leader's own"
        if verdict is Verdict.WHOLE:
            self._fold.parts = []
            self.pending_bytes -= sum(len(turn.data) for turn in one.turns)
            self._standing(self._fold, one.turns)
        return True

    def _maybe_look(self) -> None:
        """Read the tail, when something is in doubt and nothing is in flight."""
        if self._in_doubt and not self._reading and not self.is_over:
            if any(one.outcome is None for one in self._sent):
                return
            self._reading = True
            self._log.read(self._fold.sequence + 1, self._looked)

    def _looked(self, entries: list[bytes] | None) -> None:
        self._reading = False
        if self.is_over or entries is None:
            return
        for data in entries:
            try:
                is_own = self._stands(self._fold.sequence + 1, decode_record(data))
            except UnknownVersion:
                # Only who leads writes; its followers find out what that means for them.
                is_own = False
            if not is_own:
                self.is_over = True
                self._lost("another node leads")
                return
            if self.is_over:
                return
        self._ready.extendleft(reversed(self._sent))
        self._sent.clear()
        self._predicted = self._fold.sequence
        self._in_doubt = False
        self._send()
