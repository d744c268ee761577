"""The laws of lanes, for `check`: each lane that may start a job has a turn, and what is kept about it is true.

The rows about lanes come before the queues and the jobs, and the jobs of one lane lie together. So a lane's record is
held against its turn, its entry by age and its wait when it is met, and against its jobs when these are; what is
remembered are a few sums for each queue.

While a chore judges the lanes of a queue anew (`relane`), some of them are still as the former rules had them.
"""

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.check.findings import Law, MalformedKey, Report, Severity
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.lanes.lane import UNLIMITED
from lineshaft.engine.lanes.lanes import WAIT
from lineshaft.engine.records import LaneRecord, LanesRecord, decode_lane, decode_queue
from lineshaft.job import UNREADABLE

__all__ = ["LaneLaws"]


class _Sum(Struct):
    """What the lanes of a queue say together."""

    size: int = 0
    count: int = 0
    held: int = 0  #: lanes that a job in a set holds, less those jobs as they are found


class LaneLaws:
    """One way through all that is kept about lanes."""

    def __init__(self, reader: Reader, report: Report) -> None:
        self.reader = reader
        self.report = report
        #: Queues whose lanes are being judged anew.
        self.changing: set[str] = set()
        self._sums: dict[str, _Sum] = {}
        # The queue and the lane at which the walk is.
        self._queue: tuple[str, int] = ("", -1)
        self._lanes: LanesRecord | None = None
        self._stem = b""
        self._record: LaneRecord | None = None
        self._found = self._running = 0

    # Rows about lanes

    def row(self, key: bytes, value: bytes) -> None:
        """A row under O. Raises MalformedKey, DecodeError."""
        try:
            self._row(key, value)
        except IndexError:
            raise MalformedKey from None

    def _row(self, key: bytes, value: bytes) -> None:
        name, generation, kind = keys.lanes_parts(key)
        self._enter(name, generation)
        if self._lanes is None:
            if not self.reader.unreadable:
                self.report(Law.LANE, key, f"queue {name} has no lanes now", Severity.UNTIDY)
            return
        lane = self._named(key, value, kind)
        prefix = keys.lane_prefix(name, generation, b"l")
        if kind == b"l":
            record = decode_lane(value)
            total = self._sums.setdefault(name, _Sum())
            total.size, total.count = total.size + record.size, total.count + 1
            total.held += record.held != b""
            self._hold_lane(key, name, generation, lane, record)
            return
        found = self.reader.get(keys.lane_key(prefix, lane))
        record = decode_lane(found) if found is not None else LaneRecord(0, 0, 0, b"", 0, [])
        number = int.from_bytes(key[11 + key[1] :][:8])
        if number != (record.turn if kind == b"t" else record.oldest) and not self.reader.unreadable:
            # As after a lane's record was lost; what the lane itself says is held against these rows, too.
            self.report(Law.LANE, key, "its lane says otherwise: it is dropped when it is met", Severity.UNTIDY)

    def _named(self, key: bytes, value: bytes, kind: bytes) -> bytes:
        """The lane that a row is about."""
        behind = key[11 + key[1] :]
        if kind == b"l" and len(behind) == behind[0] + 1:
            return behind[1:]
        if kind == b"t" and len(behind) == 8:
            return value
        if kind == b"a" and len(behind) >= 8:
            return behind[8:]
        raise MalformedKey

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
        if self.reader.unreadable or self._lanes is None:
            return
        get = self.reader.get
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

    # Jobs

    def held(self, key: bytes, name: str, generation: int, lane: str) -> None:
        """A job in a set that keeps its place in a lane."""
        record = self._read(name, generation, lane.encode())
        if record is not None and record.held == key:
            self._sums.setdefault(name, _Sum()).held -= 1

    def job(self, key: bytes, priority: int, order: int, *, is_leased: bool) -> None:
        """A job in a lane of a queue that is there."""
        if key[:-9] != self._stem:
            self.leave()
            name, generation, _ = keys.ready_parts(key)
            self._enter(name, generation)
            self._stem, self._found, self._running = key[:-9], 0, 0
            self._record = self._read(name, generation, keys.ready_lane(key) or b"")
        if is_leased:
            self._running += 1
            return
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
        record, self._record = self._record, None
        if record is None or self._lanes is None or self.reader.unreadable:
            return
        where = self._stem + b"\4" + b"\0" * 8
        if record.size != self._found:
            what = f"its record says {record.size} jobs, and {self._found} lie in it and are not leased"
            self.report(Law.SIZE, where, what)
        rules = self._lanes.rules
        most = 1 if rules.strict else rules.concurrency or UNLIMITED
        may_start = record.size > 0 and self._running < most and not (rules.strict and record.held)
        if may_start and not record.turn and not record.wakes and self._queue[0] not in self.changing:
            self.report(Law.STUCK, where, f"{record.size} jobs could start, and the lane has no turn")

    def _read(self, name: str, generation: int, lane: bytes) -> LaneRecord | None:
        value = self.reader.get(keys.lane_key(keys.lane_prefix(name, generation, b"l"), lane))
        try:
            return None if value is None else decode_lane(value)
        except UNREADABLE:
            return None

    # The whole

    def hold_sums(self, key: bytes, name: str, lanes: LanesRecord | None) -> None:
        """Hold a queue's record against what its lanes say; after all rows."""
        total = self._sums.get(name, _Sum())
        said = (lanes.size, lanes.count) if lanes is not None else (0, 0)
        if said != (total.size, total.count):
            what = f"the record says {said[1]} lanes with {said[0]} jobs, and {total.count} say {total.size}"
            self.report(Law.SIZE, key, what)
        if total.held and name not in self.changing:
            self.report(Law.LANE, key, f"{total.held} of its lanes are held by jobs that are not there any more")
