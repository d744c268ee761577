"""The laws of what ends by time, for `check`: each has its entry among the expiries.

Locks and tracks of jobs have a row of their own; a job that expires, a batch and a lane that waits name their instant
where they are held (`check.jobs`, `check.batches`, `check.lanes`).
"""

from lineshaft.engine import keys
from lineshaft.engine.check.findings import Law, MalformedKey, Report, instant_shown
from lineshaft.engine.check.index import Numbers
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.features.batches import BATCH
from lineshaft.engine.features.expiring import END as EXPIRES
from lineshaft.engine.features.tracks import FORGET
from lineshaft.engine.features.unique import LOCK
from lineshaft.engine.lanes.lanes import WAIT
from lineshaft.engine.records import decode_lock, decode_track

__all__ = ["EndLaws"]


class EndLaws:
    """Locks, tracks, and the expiries."""

    def __init__(self, reader: Reader, report: Report, numbers: Numbers) -> None:
        self.reader = reader
        self.report = report
        self.numbers = numbers

    def expiry(self, key: bytes, value: bytes) -> None:
        """What is to be forgotten, and when. Raises MalformedKey."""
        _, kind, name = keys.expiry_parts(key)
        leads_to_job = len(name) == 8 and (keys.is_ready(value) or value[:1] == b"T")
        if kind not in {LOCK, EXPIRES, FORGET, BATCH, WAIT} or (kind == EXPIRES and not leads_to_job):
            raise MalformedKey

    def track(self, key: bytes, value: bytes) -> None:
        """What is known of a job. Raises DecodeError, ValueError."""
        key[1:].decode()
        track = decode_track(value)
        self.numbers.highest = max(self.numbers.highest, track.seq)
        if track.until:
            self.hold(key, keys.expiry_key(track.until, FORGET, key[1:]), b"", "this is never forgotten")

    def lock(self, key: bytes, value: bytes) -> None:
        """The lock of a unique job. Raises DecodeError."""
        lock = decode_lock(value)
        self.numbers.highest = max(self.numbers.highest, lock.seq)
        self.hold(key, keys.expiry_key(lock.until, LOCK, key[1:]), b"", "the lock never ends by time")

    def hold(self, key: bytes, entry: bytes, value: bytes, what: str) -> None:
        """The row of `key` ends by time: `entry` must be there and lead to it."""
        if self.reader.get(entry) != value and not self.reader.unreadable:
            self.report(Law.EXPIRY, key, f"no entry at {instant_shown(keys.expiry_at(entry))} leads here: {what}")
