"""BATCH, the verb: NEW, OPEN, COMMIT, STATUS; see `batches` for what becomes of a batch."""

from typing import Any, Final

from msgspec import Raw, Struct, json

from lineshaft.clock import format_instant
from lineshaft.engine import keys
from lineshaft.engine.custom import read_custom
from lineshaft.engine.features.batch import Batch, Role, Slot, decode_batch
from lineshaft.engine.features.batches import commit, follow, look_at, read_batch
from lineshaft.engine.naming import open_queue
from lineshaft.engine.records import encode_record
from lineshaft.engine.state import State
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras, join_value
from lineshaft.errors import Refusal
from lineshaft.job import (
    ABSENT,
    ARGS_FIRST,
    DEFAULT_QUEUE,
    UNREADABLE,
    Job,
    admit,
    encode_job,
    refuse_args,
    take_instant,
    take_priority,
)

__all__ = [
    "Wanted",
    "batch_commit",
    "batch_new",
    "batch_open",
    "batch_status",
    "batch_view",
    "batches_page",
    "count_batches",
]

#: One page of batches.
MOST_SHOWN: Final = 100

#: Letters and digits that nobody takes for another.
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"


class Wanted(Struct, frozen=True):
    """What a BATCH NEW asks for, already trimmed; a callback is None where none is wanted."""

    parent: str
    description: str
    complete: Job | None
    success: Job | None
    death: Job | None


def batch_new(state: State, wanted: Wanted) -> str:
    """Begin a batch; returns its bid. Durable with the commit. Raises Refusal, StoreError."""
    callbacks = {Role.COMPLETE: wanted.complete, Role.SUCCESS: wanted.success, Role.DEATH: wanted.death}
    if not any(callbacks.values()):
        raise Refusal("a batch needs a callback: success, complete or death")
    if state.push_refusal is not None:
        raise Refusal(state.push_refusal)
    if state.open_batches >= state.settings.most.batches:
        raise Refusal(f"too many open batches: {state.settings.most.batches}")
    with state.change() as change:
        parent = _get(change, wanted.parent) if wanted.parent else None
        if parent is not None and parent.depth + 1 >= state.settings.most.nesting:
            most = state.settings.most.nesting
            raise Refusal(f"batches are nested too deeply: the limit is {most}")
        number = state.take_order()
        bid = f"b-{_spell(number, 10)}{_spell(int(state.chance() * 2**30), 6)}"
        depth = 0 if parent is None else parent.depth + 1
        batch = Batch(state.now, wanted.parent, depth, wanted.description, state.now)
        for role, job in callbacks.items():
            if job is not None:
                change.put(keys.callback_key(bid, role), _prepare(state, job, bid, wanted.parent, f"{bid}-{role}"))
                batch.set_slot(role, Slot.WAITING)
        look_at(state, change, bid, batch)
        change.put(keys.batch_key(bid), encode_record(batch))
        change.then(state.count_open_batches, 1)
        if parent is not None:
            parent.children += 1
            follow(state, change, wanted.parent, parent)
    return bid


def batch_open(state: State, bid: str) -> None:
    """Say that jobs will be added to a batch. Raises Refusal, StoreError."""
    with state.change() as change:
        follow(state, change, bid, _get(change, bid))


def batch_commit(state: State, bid: str) -> None:
    """Let the batch's callbacks run when their time comes. Durable with the commit. Raises Refusal, StoreError."""
    with state.change() as change:
        commit(state, change, bid, _get(change, bid))


def batch_status(state: State, bid: str) -> dict[str, Any]:
    """BATCH STATUS: what is known of a batch. Raises Refusal, StoreError."""
    return _shown(bid, _get(state.change(), bid))


def batch_view(state: State, bid: str) -> dict[str, Any]:
    """What BATCH STATUS gives, whether it is committed and finished, its children, the callbacks it was given.

    Raises Refusal, StoreError.
    """
    return _viewed(bid, _get(state.change(), bid))


def batches_page(state: State, cursor: str, limit: int) -> tuple[list[dict[str, Any]], str, list[str]]:
    """Batches, the newest first, below the bid `cursor` (empty: from the newest); and the cursor of the next page.

    That is empty at the end. Each is as `batch_view` gives it; of those that cannot be read the bids come apart.
    Raises StoreError.
    """
    start, end = keys.prefix_range(b"Bb")
    limit = max(1, min(limit, MOST_SHOWN))
    rows = state.turn.scan(start, keys.batch_key(cursor) if cursor else end, limit=limit, reverse=True)
    shown, unreadable = [], []
    for key, value in rows:
        bid = key[2:].decode()
        try:
            shown.append(_viewed(bid, decode_batch(value)))
        except UNREADABLE:
            unreadable.append(bid)
    return shown, rows[-1][0][2:].decode() if len(rows) == limit else "", unreadable


def count_batches(state: State, most: int) -> int:
    """How many batches there are, counted no further than `most`. Raises StoreError."""
    return len(state.turn.scan(*keys.prefix_range(b"Bb"), limit=most))


def _get(change: Change, bid: str) -> Batch:
    batch = read_batch(change, bid)
    if batch is None:
        # Whether it was forgotten is a change that may not be on disk yet.
        raise Refusal(f"no such batch {bid[:200]}", reveals=True)
    return batch


def _shown(bid: str, batch: Batch) -> dict[str, Any]:
    shown: dict[str, Any] = {"bid": bid}
    if batch.parent:
        shown["parent_bid"] = batch.parent
    shown |= {
        "description": batch.description,
        "created_at": format_instant(batch.created_at),
        "total": batch.total,
        "pending": batch.pending,
        "failed": batch.failed(),
        "complete_st": batch.complete.word,
        "success_st": batch.success.word,
    }
    if batch.death is not Slot.NONE:
        shown["death_st"] = batch.death.word
    return shown


def _viewed(bid: str, batch: Batch) -> dict[str, Any]:
    slots = {"complete": batch.complete, "success": batch.success, "death": batch.death}
    return _shown(bid, batch) | {
        "committed": batch.committed,
        "finished": batch.is_finished(),
        "children": batch.children,
        "callbacks": [name for name, slot in slots.items() if slot is not Slot.NONE],
    }


def _prepare(state: State, job: Job, bid: str, parent: str, jid: str) -> bytes:
    """A callback as it lies until its time comes: checked as a push is. Raises Refusal."""
    job.jid = job.jid or jid
    priority = take_priority(job)
    try:
        admit(job, state.stamp)
        at = take_instant(job, after=state.now)
        if job.custom is not ABSENT:
            read_custom(job, state.now, at, most=state.settings.most.custom_bytes)
        _tell_of(job, bid, parent)
        payload = encode_job(job)
        if not payload.startswith(ARGS_FIRST):
            raise refuse_args(job)
        # As for a job that is scheduled: its queue is there from now on, and counts towards their number.
        open_queue(state, job.queue or DEFAULT_QUEUE, most=state.settings.most.queues)
    except Refusal as refusal:
        raise Refusal(f"invalid callback: {refusal}") from None
    return join_value(Extras(priority=priority), payload)


def _tell_of(job: Job, bid: str, parent: str) -> None:
    """Put the batch's id into the job's `custom`, whose other keys stay as they are. It joins no batch itself."""
    custom: dict[str, Raw] = {} if job.custom is ABSENT else json.decode(job.custom, type=dict[str, Raw])
    custom = {key: value for key, value in custom.items() if key not in {"bid", "_bid", "_pbid"}}
    custom["_bid"] = Raw(json.encode(bid))
    if parent:
        custom["_pbid"] = Raw(json.encode(parent))
    job.custom = Raw(json.encode(custom))


def _spell(number: int, width: int) -> str:
    """A number in so many characters; in their order numbers stay in theirs."""
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in range(width - 1, -1, -1))
