"""History: jobs that are over, kept for a time so that somebody may look at them.

```
Ht <finished> <seq> -> HistoryRecord       the job as it was, who had it, how it ended
Hj <len><jid> <finished> <seq>             leads from a jid there
Hn -> HistorySizeRecord                    how many there are, how large, and from where to scan
```

Off unless an operator gives it a time (`[history] completed`); then what a worker had in hand and is over is kept:
`success`, `discarded` (failed, and wanted no retry) or `cancelled`. What is too old, or too much in number or bytes,
is swept, the oldest first, a slice at a time; that goes on when history is switched off, until nothing is left.

What is true after every call: `count` and `bytes` are those of the rows as the turn leaves them; no row lies before
`oldest`, and no scan crosses the deleted keys of what has been swept.
"""

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, Struct

from lineshaft.clock import format_instant
from lineshaft.engine import keys
from lineshaft.engine.leases import NEVER
from lineshaft.engine.records import (
    HistoryRecord,
    HistorySizeRecord,
    decode_history,
    decode_history_size,
    encode_record,
)
from lineshaft.engine.turn import Change, Turn
from lineshaft.errors import Refusal
from lineshaft.job import MAX_JID_LENGTH, UNREADABLE, decode_stored

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["History", "Over", "find_finished", "keep_finished", "page", "sweep_history"]

#: Rows per slice of the sweep, and their bytes: about a millisecond of work.
SLICE: Final = 100
SLICE_BYTES: Final = 1 << 20

#: What one page shows at most.
MOST_SHOWN: Final = 100
SHOWN_BYTES: Final = 4 << 20


class Over(Struct, frozen=True):
    """How a job ended in a worker's hands."""

    jid: str
    seq: int
    payload: bytes
    holder: str
    since: int  #: when it was fetched; 0 when that is not known any more
    outcome: str
    result: bytes | None = None


class History:
    """How much is kept."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.clear()

    def load(self) -> None:
        """Read how much there is; no row is read. Raises StoreError."""
        self.clear()
        value = self.turn.get(keys.HISTORY_SIZE_KEY)
        if value is not None:
            record = decode_history_size(value)
            self.count, self.bytes = record.count, record.bytes
            self.oldest = record.oldest if record.count else NEVER

    def clear(self) -> None:
        """Forget everything in memory; the keys are the caller's business."""
        self.count = self.bytes = 0
        self.oldest = NEVER
        self.dirty = False

    def settle(self) -> None:
        """Put the record of what moved into the turn."""
        self.dirty = False
        record = HistorySizeRecord(self.count, self.bytes, self.oldest if self.count else 0)
        self.turn.changes[keys.HISTORY_SIZE_KEY] = encode_record(record)

    def add(self, at: int, size: int) -> None:
        """A row came; an effect."""
        self.count += 1
        self.bytes += size
        self.oldest = min(self.oldest, at)
        self.dirty = True

    def remove(self, size: int) -> None:
        """A row went; an effect."""
        self.count -= 1
        self.bytes -= size
        self.dirty = True
        if not self.count:
            self.oldest = NEVER

    def next_due(self, state: "State") -> int:
        """When there is something to sweep."""
        settings = state.settings
        if self.count > settings.history_max or self.bytes > settings.history_max_bytes:
            return state.now
        return self.oldest + settings.history_keep


def keep_finished(state: "State", change: Change, over: Over) -> None:
    """Keep a job that is over, if history is on; in the change with which it ends."""
    if not state.settings.history_keep:
        return
    failure = decode_stored(over.payload).failure
    attempts = 1 if failure is None else failure.retry_count + 2
    most = state.settings.most.result_bytes
    result = over.result if over.result is None or len(over.result) <= most else None
    worker = "" if over.holder.startswith("\0") else over.holder
    value = encode_record(HistoryRecord(over.jid, over.payload, worker, over.since, attempts, over.outcome, result))
    key = keys.history_key(state.now, over.seq)
    change.put(key, value)
    change.put(keys.history_jid_key(over.jid, key), b"")
    change.then(state.history.add, state.now, len(value))


def sweep_history(state: "State") -> None:
    """One slice of what is too old or too much. Raises StoreError."""
    history = state.history
    if history.next_due(state) > state.now:
        return
    _, end = keys.prefix_range(keys.HISTORY)
    rows = state.turn.scan(keys.history_key(history.oldest, 0), end, limit=SLICE, limit_bytes=SLICE_BYTES)
    for key, value in rows:
        history.oldest = keys.history_at(key)
        if history.next_due(state) > state.now:
            return
        with state.change() as change:
            change.delete(key)
            # Of a row that cannot be read the jid is not known: `lineshaft check` names what is left.
            with suppress(*UNREADABLE):
                change.delete(keys.history_jid_key(decode_history(value).jid, key))
            change.then(history.remove, len(value))
    if not rows:
        # Rows were lost: nothing is there, whatever was counted.
        history.clear()
        history.dirty = True


def page(state: "State", cursor: str, limit: int) -> tuple[list[dict[str, Any]], str, int]:
    """Finished jobs, the newest first, from `cursor` on (empty: from the newest), and the cursor of what follows.

    That is empty when nothing does. Then comes how many rows there cannot be read. Raises Refusal for what is no
    cursor, StoreError.
    """
    start, end = keys.prefix_range(keys.HISTORY)
    if cursor:
        try:
            end = keys.HISTORY + bytes.fromhex(cursor)
        except ValueError:
            raise Refusal("invalid cursor") from None
    limit = max(1, min(limit, MOST_SHOWN))
    rows = state.turn.scan(start, end, limit=limit, limit_bytes=SHOWN_BYTES, reverse=True)
    shown = [view for key, value in rows if (view := _shown(key, value)) is not None]
    full = len(rows) == limit or sum(len(value) for _, value in rows) >= SHOWN_BYTES
    return shown, rows[-1][0].removeprefix(keys.HISTORY).hex() if full else "", len(rows) - len(shown)


def find_finished(state: "State", jid: str) -> list[dict[str, Any]]:
    """The finished jobs with a jid, the newest first, a page at most. Raises StoreError."""
    if len(jid) > MAX_JID_LENGTH:
        return []
    start, end = keys.history_jid_range(jid)
    rows = state.turn.scan(start, end, limit=MOST_SHOWN, reverse=True)
    found, size = [], 0
    for key, _ in rows:
        name = keys.HISTORY + key[-16:]
        value = state.turn.get(name)
        if value is not None and (view := _shown(name, value)) is not None:
            found.append(view)
            size += len(value)
        if size > SHOWN_BYTES:
            break
    return found


def _shown(key: bytes, value: bytes) -> dict[str, Any] | None:
    """A row as it is shown; None when it cannot be read."""
    try:
        record = decode_history(value)
        enqueued_at = decode_stored(record.payload).enqueued_at
    except UNREADABLE:
        return None
    return {
        "jid": record.jid,
        "outcome": record.outcome,
        "worker": record.worker,
        "attempts": record.attempts,
        "enqueued_at": enqueued_at,
        "started_at": format_instant(record.started_at) if record.started_at else None,
        "finished_at": format_instant(keys.history_at(key)),
        "result": None if record.result is None else Raw(record.result),
        "job": Raw(record.payload),
    }
