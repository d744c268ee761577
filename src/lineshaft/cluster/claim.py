"""The claim: a standby's try to lead.

```
the log's tail is read ─> all of it is applied ─> the epoch's record, expecting that end ─> won
                             └─ not, or an epoch has begun meanwhile ─┴─ refused, or no answer ─> a rest
```

If the log takes the record, nobody else's record counts behind it: that, and nothing else, makes a leader. Two nodes
may claim at once; the log takes the record of one.

The tail is asked for, rather than waited for: whoever tells a reader of new entries may have died with the leader, and
making another takes the log's servers seconds in which they answer such a question already.

What is true after every call: at most one claim is under way, and `won` or `lost` is called once for each.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from lineshaft.cluster.port import Failure, Log, Outcome
from lineshaft.cluster.questions import Questions
from lineshaft.cluster.reading import Reading
from lineshaft.cluster.record import Leadership, Record, encode_leadership

__all__ = ["Claim"]

#: After a claim that came to nothing: this, and a share of it by chance, so that two do not go on colliding.
REST_MS: Final = 500


class Claim:
    """The tries of one node, one after the other."""

    def __init__(
        self,
        leadership: Leadership,
        log: Log,
        reading: Reading,
        questions: Questions,
        *,
        won: Callable[[Record], None],
        lost: Callable[[bool], None],
    ) -> None:
        """`won` is told of the record that stands as the log's last one; nothing is read any more then.

        `lost` is told whether the log has answered at all.
        """
        self._leadership = leadership
        self._log = log
        self._reading = reading
        self._questions = questions
        self._won = won
        self._lost = lost
        self._rests_until = 0
        #: When the last one began.
        self.begun_at = 0
        #: The epoch that is claimed; 0 while none is.
        self._epoch = 0

    def may_begin(self, now: int) -> bool:
        """Whether this node is in a state to claim anything."""
        return now >= self._rests_until and self._reading.is_near_end()

    def rest(self, now: int, milliseconds: int) -> None:
        """Leave it to others for so long."""
        self._rests_until = now + milliseconds

    def begin(self, now: int) -> None:
        """Claim the next epoch."""
        self.begun_at = now
        self._epoch = self._reading.epoch + 1
        first = self._reading.sequence + 1
        self._questions.ask("claim", lambda: self._log.read(first, partial(self._tail, first)))

    def abandon(self) -> None:
        """The node does something else: what is under way comes to nothing, whatever the log says."""
        self._epoch = 0

    def _tail(self, first: int, entries: list[bytes] | None) -> None:
        self._questions.answered("claim")
        if not self._epoch:
            return
        reading = self._reading
        if entries is not None:
            reading.catch_up(first, entries)
        is_ready = entries is not None and reading.settle() and reading.is_at_end()
        if not is_ready or reading.epoch + 1 != self._epoch:
            # The store takes no more for now, or somebody else has begun an epoch.
            self._end(None, has_answered=entries is not None)
            return
        record, end = Record(self._epoch, 0, 0, encode_leadership(self._leadership)), reading.sequence
        reading.stop()

        def done(outcome: Outcome) -> None:
            if self._epoch:
                self._end(record if outcome == end + 1 else None, has_answered=outcome is not Failure.UNKNOWN)

        name = f"{record.epoch}.0.{end}.{self._leadership.life}"
        self._log.append(record.encode(), expected=end, identity=name, done=done)

    def _end(self, record: Record | None, *, has_answered: bool) -> None:
        self._epoch = 0
        if record is not None:
            self._won(record)
        else:
            self._lost(has_answered)
