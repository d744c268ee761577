"""The laws of the history, for `check`: each finished job is found by its jid and by its instant, and is counted."""

from lineshaft.engine import keys
from lineshaft.engine.check.findings import Law, MalformedKey, Report, Severity
from lineshaft.engine.check.reader import Reader
from lineshaft.engine.records import HistorySizeRecord, decode_history, decode_history_size
from lineshaft.job import decode_stored

__all__ = ["HistoryLaws"]


class HistoryLaws:
    """One way through the finished jobs that are kept; their record comes before them, and the entries by jid too."""

    def __init__(self, reader: Reader, report: Report) -> None:
        self.reader = reader
        self.report = report
        #: Entries by jid that no row was found for yet.
        self._entries = 0
        self._found = HistorySizeRecord(0, 0, 0)
        self._said = HistorySizeRecord(0, 0, 0)

    def row(self, key: bytes, value: bytes) -> None:
        """A row under H. Raises MalformedKey, DecodeError, ValueError."""
        kind = key[1:2]
        if kind == b"n":
            if key != keys.HISTORY_SIZE_KEY:
                raise MalformedKey
            self._said = decode_history_size(value)
        elif kind == b"j" and len(key) == int.from_bytes(key[2:4]) + 20:
            self._entries += 1
        elif kind == b"t" and len(key) == 18:
            self._finished(key, value)
        else:
            raise MalformedKey

    def _finished(self, key: bytes, value: bytes) -> None:
        record = decode_history(value)
        decode_stored(record.payload)
        self._found.count += 1
        self._found.bytes += len(value)
        if keys.history_at(key) < self._said.oldest:
            self.report(Law.CURSOR, key, "history is read from a later instant on: it is never swept")
        if self.reader.get(keys.history_jid_key(record.jid, key)) is None:
            self.report(Law.HISTORY, key, f"nothing leads from the jid {record.jid[:200]} to it")
        else:
            self._entries -= 1

    def whole(self) -> None:
        """What only the end tells."""
        said, seen = self._said, self._found
        if (seen.count, seen.bytes) != (said.count, said.bytes):
            what = f"the record says {said.count} jobs of {said.bytes} bytes, and {seen.count} of {seen.bytes} are kept"
            self.report(Law.SIZE, keys.HISTORY_SIZE_KEY, what)
        if self._entries > 0:
            what = f"{self._entries} entries lead from a jid to no finished job"
            self.report(Law.HISTORY, keys.HISTORY_SIZE_KEY, what, Severity.UNTIDY)
