"""The laws of lanes, for `check`: each lane that may start a job has a turn, and what is kept about it is true.

The rows about lanes come before the queues and the jobs, and the jobs of one lane lie together. So a lane's record is
held against its turn, its entry by age and its wait when it is met, and against its jobs when these are; of each queue
two sums are remembered, and of lanes those of which a job is leased.

While a chore judges the lanes of a queue anew (`relane`), some of them are still as the former rules had them.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import DecodeError, Struct

from lineshaft.engine import keys
from lineshaft.engine.findings import Law, Severity
from lineshaft.engine.lanes import WAIT
from lineshaft.engine.reader import Reader
from lineshaft.engine.records import LaneRecord, LanesRecord, Lease, decode_lane, decode_queue

__all__ = ["LaneLaws"]

#: Under how many running jobs a lane without a limit may start another.
UNLIMITED: Final = 1 << 62


class _Sum(Struct):
    """What the lanes of a queue say together."""

    size: int = 0
    count: int = 0


class LaneLaws:
    """One way through all that is kept about lanes."""

    def __init__(self, reader: Reader, report: Callable[..., None], leases: dict[bytes, Lease]) -> None:
        self.reader = reader
        self.report = report
        self.leases = leases
        #: Queues whose lanes are being judged anew.
        self.changing: set[str] = set()
        self._sums: dict[str, _Sum] = {}
        self._running: Counter[bytes] | None = None
        # The queue and the lane at which the walk is.
        self._queue: tuple[str, int] = ("", -1)
        self._lanes: LanesRecord | None = None
        self._stem = b""
        self._record: LaneRecord | None = None
        self._found = 0

    # Rows about lanes

    def row(self, key: bytes, value: bytes) -> None:
        """A row under O. Raises ValueError, IndexError for a key that is not made as these are; DecodeError."""
        name, generation, kind = keys.lanes_parts(key)
        self._enter(name, generation)
        if self._lanes is None:
            self.report(Law.LANE, key, f"queue {name} has no lanes now", Severity.UNTIDY)
            return
        lane = self._named(key, value, kind)
        prefix = keys.lane_prefix(name, generation, b"l")
        if kind == b"l":
            record = decode_lane(value)
            total = self._sums.setdefault(name, _Sum())
            total.size, total.count = total.size + record.size, total.count + 1
            self._hold_lane(key, name, generation, lane, record)
            return
        found = self.reader.get(keys.lane_key(prefix, lane))
        record = decode_lane(found) if found is not None else LaneRecord(0, 0, 0, b"", 0, [])
        number = int.from_bytes(key[11 + key[1] :][:8])
        if number != (record.turn if kind == b"t" else record.oldest) and not self.reader.unreadable:
            self.report(Law.LANE, key, "its lane says otherwise; it is passed by", Severity.UNTIDY)

    def _named(self, key: bytes, value: bytes, kind: bytes) -> bytes:
        """The lane that a row is about."""
        behind = key[11 + key[1] :]
        if kind == b"l" and len(behind) == behind[0] + 1:
            return behind[1:]
        if kind == b"t" and len(behind) == 8:
            return value
        if kind == b"a" and len(behind) >= 8:
            return behind[8:]
        raise ValueError

    def _enter(self, name: str, generation: int) -> None:
        if self._queue == (name, generation):
            return
        self._queue, self._lanes = (name, generation), None
        value = self.reader.get(keys.queue_key(name))
        if value is not None:
            record = decode_queue(value)
            if record.generation == generation:
                self._lanes = record.lanes

    def _hold_lane(self, key: bytes, name: str, generation: int, lane: bytes, record: LaneRecord) -> None:
        if self.reader.unreadable or name in self.changing:
            return
        assert self._lanes is not None
        get = self.reader.get
        rules = self._lanes.rules
        running = self._running_of(keys.lane_stem(name, generation, lane))
        most = 1 if rules.strict else rules.concurrency or UNLIMITED
        may_start = record.size > 0 and running < most and not (rules.strict and record.held)
        if may_start and not record.turn and not record.wakes:
            self.report(Law.STUCK, key, f"{record.size} jobs could start, and the lane has no turn")
        if record.held and get(record.held) is None:
            self.report(Law.LANE, key, "the job that holds it is not there any more")
        if record.turn:
            age = keys.lane_age_key(keys.lane_prefix(name, generation, b"a"), record.oldest, lane)
            turn = keys.lane_prefix(name, generation, b"t") + record.turn.to_bytes(8)
            is_in_line = self._lanes.first <= record.turn < self._lanes.next and get(turn) == lane
            if not is_in_line:
                self.report(Law.STUCK, key, f"it has the turn {record.turn}, and does not stand in line there")
            if get(age) is None:
                self.report(Law.LANE, key, "it does not count for the latency of its queue")
        if record.wakes and get(keys.expiry_key(record.wakes, WAIT, key)) is None:
            self.report(Law.STUCK, key, "it waits for an instant at which nothing wakes it")

    def _running_of(self, stem: bytes) -> int:
        if self._running is None:
            held = (key for key in self.leases if key[:1] == b"V")
            self._running = Counter(key[:-9] for key in held if self.reader.get(key) is not None)
        return self._running[stem]

    # Jobs

    def job(self, key: bytes, priority: int, order: int) -> None:
        """An unleased job in a lane of a queue that is there."""
        if key[:-9] != self._stem:
            self.leave()
            self._stem, self._found = key[:-9], 0
            name, generation, _ = keys.ready_parts(key)
            lane = keys.ready_lane(key) or b""
            value = self.reader.get(keys.lane_key(keys.lane_prefix(name, generation, b"l"), lane))
            try:
                self._record = decode_lane(value) if value is not None else None
            except DecodeError:
                self._record = None
        self._found += 1
        if self._record is None:
            self.report(Law.UNREACHABLE, key, "nothing is known of its lane: it is never handed out")
            return
        cursor = dict(self._record.cursors).get(priority)
        if cursor is None or order < cursor:
            what = f"its lane knows no jobs of priority {priority}"
            what = what if cursor is None else f"its lane is read from order {cursor} on"
            self.report(Law.CURSOR, key, f"{what}: it is never handed out")

    def leave(self) -> None:
        """The jobs of a lane have all been seen."""
        if self._record is not None and self._record.size != self._found and not self.reader.unreadable:
            what = f"its record says {self._record.size} jobs, and {self._found} lie in it and are not leased"
            self.report(Law.SIZE, self._stem + b"\0" * 9, what)
        self._record = None

    # The whole

    def hold_sums(self, key: bytes, name: str, lanes: LanesRecord | None) -> None:
        """Hold a queue's record against what its lanes say; after all rows."""
        total = self._sums.get(name, _Sum())
        said = (lanes.size, lanes.count) if lanes is not None else (0, 0)
        if said != (total.size, total.count):
            what = f"the record says {said[1]} lanes with {said[0]} jobs, and {total.count} say {total.size}"
            self.report(Law.SIZE, key, what)
