"""Lane: the jobs of one queue that have one value under the key by which its lanes are told apart; see `lanes`."""

from typing import TYPE_CHECKING, Final

from lineshaft.engine.bucket import Bucket
from lineshaft.engine.line import Line
from lineshaft.engine.records import BucketRecord, LaneRecord, encode_record
from lineshaft.engine.value import Extras
from lineshaft.job import DEFAULT_PRIORITY

if TYPE_CHECKING:
    from lineshaft.engine.lanes.lanes import Lanes

__all__ = ["UNLIMITED", "WINDOW", "Lane"]

#: Jobs of a lane that are in memory.
WINDOW: Final = 8

#: So many may run where no number is set.
UNLIMITED: Final = 1 << 62


class Lane(Line):
    """The jobs of one value."""

    __slots__ = ("bucket", "dirty", "held", "lanes", "name", "oldest", "running", "stored", "turn", "wakes")

    def __init__(self, lanes: "Lanes", name: bytes, stem: bytes) -> None:
        super().__init__(stem)
        self.lanes = lanes
        self.name = name
        self.running = 0
        #: As in its LaneRecord.
        self.turn = self.oldest = self.wakes = 0
        self.held = b""
        self.bucket: Bucket | None = None
        #: Whether there is a record of it, and whether that must be written at the end of the turn.
        self.stored = self.dirty = False

    def rank(self, priority: int) -> int:
        """The priority under which a job stands in line."""
        return DEFAULT_PRIORITY if self.lanes.rules.strict else priority

    def room(self, bound: int) -> int:
        """How many jobs a window may hold."""
        return min(bound, WINDOW)

    def count(self, by: int) -> None:
        """Jobs came or went; an effect."""
        self.size += by
        self.lanes.size += by
        self.lanes.queue.size += by
        self.lanes.judge(self)

    def keeps(self, extras: Extras) -> bool:
        """Whether a job that comes back from a set has its place here."""
        return self.lanes.rules.strict and extras.lane.encode() == self.name

    def waits(self) -> bool:
        """Whether nothing but a token can keep it from starting a job."""
        rules = self.lanes.rules
        most = 1 if rules.strict else rules.concurrency or UNLIMITED
        return self.size > 0 and self.running < most and not (rules.strict and self.held)

    def may_start(self, now: int) -> bool:
        """Whether it may start a job."""
        return self.waits() and (self.bucket is None or self.bucket.next_at(now) <= now)

    def oldest_order(self, otherwise: int) -> int:
        """No job of it is older than this order; exact as soon as its windows have been read."""
        orders = [window.cursor(0) for window in self.windows if window.entries or window.more]
        return min(orders, default=otherwise)

    def take_rate(self, record: BucketRecord | None, now: int) -> None:
        """Have a bucket as the rules want it, with what was in it before."""
        rate = self.lanes.rules.rate
        self.bucket = None if rate is None else Bucket(rate.tokens, rate.per_ms, at=now)
        if self.bucket is not None and record is not None:
            self.bucket.owe(record.debt, record.per, record.at, now)

    def is_empty(self) -> bool:
        """Whether nothing has to be remembered of it."""
        return not (self.size or self.running or self.held or self.wakes)

    def record(self, next_order: int) -> bytes:
        """What is written of it."""
        cursors = [(window.priority, window.cursor(next_order)) for window in self.windows]
        return encode_record(
            LaneRecord(self.size, self.turn, self.oldest, self.held, self.wakes, cursors, self.bucket_record())
        )

    def bucket_record(self) -> BucketRecord | None:
        """What is written of its bucket."""
        bucket = self.bucket
        return None if bucket is None else BucketRecord(bucket.debt, bucket.per, bucket.at)
