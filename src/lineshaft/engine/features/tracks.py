"""Tracks: what can be asked about one job: its state, how far it says that it is, what it returned.

```
P <jid> -> TrackRecord                 of the newest job with that jid
E <until> t <jid>                      when it is forgotten, once the job has ended
```

A job is tracked when its `custom` has `"track": 1`; one whose ACK brings a result is from then on. States: enqueued
(scheduled, too), working, failed (waits for its next try, or left without success), dead, success. A record is kept
for half an hour after its job ended, and with a result at least for as long as results are.

What is true after every call: a record that will be forgotten has its entry among the expiries; one that will not is
that of a live, tracked job.
"""

from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, structs

from lineshaft.clock import format_instant
from lineshaft.engine import keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Feature, Subject
from lineshaft.engine.records import TrackRecord, decode_track, encode_record
from lineshaft.engine.turn import Change, Turn
from lineshaft.job import MAX_JID_LENGTH, MAX_RESERVE_SECONDS, UNREADABLE
from lineshaft.lifecycle import Place

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["FORGET", "Tracked", "is_tracked", "keep_result", "note_cancel", "track_get", "track_set"]

#: The kind of the expiry entries.
FORGET: Final = b"t"

#: For so long somebody may ask how a job ended.
KEPT_MS: Final = 30 * 60_000

_STATES: Final = {
    Place.READY: "enqueued",
    Place.SCHEDULED: "enqueued",
    Place.RETRIES: "failed",
    Place.DEAD: "dead",
}
_ENDS: Final = {Ending.DONE: "success", Ending.PRUNED: "dead"}


class Tracked(Feature):
    """A job whose record follows it."""

    def pushed(self, state: "State", change: Change, subject: Subject, lock_until: int) -> None:  # noqa: ARG002
        """The record is the newest job's."""
        before = _read(change, subject.jid)
        _write(state, change, subject.jid, before, TrackRecord(subject.seq, "enqueued", state.now))

    def moved(self, state: "State", change: Change, subject: Subject, place: Place, key: bytes) -> None:  # noqa: ARG002
        """Note where it is."""
        _note(state, change, subject, _STATES[place])

    def fetched(self, state: "State", change: Change, subject: Subject) -> bool:
        """A worker has it."""
        _note(state, change, subject, "working")
        return False

    def ended(self, state: "State", change: Change, subject: Subject, ending: Ending) -> None:
        """Note how it ended, and that this will be forgotten."""
        _note(state, change, subject, _ENDS.get(ending, "failed"), until=state.now + KEPT_MS)
        if ending is Ending.CANCELLED:
            note_cancel(state, change, subject.jid, subject.seq)


def track_get(state: "State", jid: str) -> dict[str, Any]:
    """TRACK GET: what is known of the newest job with that jid. Raises StoreError."""
    record = _read(state.turn, jid) if len(jid) <= MAX_JID_LENGTH else None
    if record is None:
        return {"jid": jid, "state": "unknown", "updated_at": ""}
    shown: dict[str, Any] = {"jid": jid}
    if record.percent is not None:
        shown["percent"] = record.percent
    if record.desc is not None:
        shown["desc"] = record.desc
    shown |= {"state": record.state, "updated_at": format_instant(record.updated_at)}
    if record.cancelled:
        shown["cancelled"] = True
    if record.result is not None and state.now < record.result_until:
        shown["result"] = Raw(record.result)
    return shown


def is_tracked(state: "State", jid: str, seq: int) -> bool:
    """Whether a record with this jid is that of the job with this seq. Raises StoreError."""
    record = _read(state.turn, jid)
    return record is not None and record.seq == seq


def note_cancel(state: "State", change: Change, jid: str, seq: int) -> None:
    """Somebody said that the job is not to run any more; it may still be running."""
    before = _read(change, jid)
    if before is not None and before.seq == seq and not before.cancelled:
        _write(state, change, jid, before, structs.replace(before, cancelled=True, updated_at=state.now))


def track_set(
    state: "State", jid: str, holder: str, *, percent: int | None, desc: str | None, reserve_until: int | None
) -> None:
    """TRACK SET: a job says how far it is, and asks for more time. Durable with the commit. Raises StoreError.

    What is not tracked has nothing to note, and whoever does not hold the job cannot prolong its lease: neither is
    an error, since a report that comes late must not break its sender.
    """
    with state.change() as change:
        before = _read(change, jid) if len(jid) <= MAX_JID_LENGTH else None
        if before is not None and (percent is not None or desc is not None):
            after = structs.replace(
                before,
                percent=before.percent if percent is None else percent,
                desc=before.desc if desc is None else desc,
                updated_at=state.now,
            )
            _write(state, change, jid, before, after)
        lease = state.leases.find(jid, holder)
        if reserve_until is not None and lease is not None and lease.holder == holder:
            until = min(reserve_until, state.now + MAX_RESERVE_SECONDS * 1000)
            change.then(state.leases.extend, lease, until)


def keep_result(state: "State", change: Change, jid: str, seq: int, result: bytes) -> None:
    """A job that is done returned this JSON; one that is too large, or not the newest's, is not kept."""
    before = _read(change, jid)
    if len(result) > state.settings.most.result_bytes or (before is not None and before.seq > seq):
        return
    own = before if before is not None and before.seq == seq else TrackRecord(seq, "success", state.now)
    result_until = state.now + state.settings.results_keep
    until = max(state.now + KEPT_MS, result_until)
    _write(state, change, jid, before, structs.replace(own, until=until, result=result, result_until=result_until))


def _note(state: "State", change: Change, subject: Subject, word: str, *, until: int = 0) -> None:
    record = _read(change, subject.jid)
    if record is None or record.seq != subject.seq or (record.state == word and record.until == until):
        return
    if record.until != until:
        _expire(state, change, subject.jid, record.until, until)
    record.state, record.updated_at, record.until = word, state.now, until
    change.put(keys.track_key(subject.jid), encode_record(record))


def _read(source: Change | Turn, jid: str) -> TrackRecord | None:
    """What is known of a job; nothing when it cannot be read, since the job must not stop over it."""
    value = source.get(keys.track_key(jid))
    try:
        return None if value is None else decode_track(value)
    except UNREADABLE:
        return None


def _write(state: "State", change: Change, jid: str, before: TrackRecord | None, after: TrackRecord) -> None:
    _expire(state, change, jid, 0 if before is None else before.until, after.until)
    change.put(keys.track_key(jid), encode_record(after))


def _expire(state: "State", change: Change, jid: str, before: int, after: int) -> None:
    """What is known of a job is forgotten at another instant; 0 is never."""
    name = jid.encode()
    if before and before != after:
        state.expiries.delete(change, before, FORGET, name)
    if after:
        state.expiries.put(change, after, FORGET, name)
