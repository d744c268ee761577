"""MUTATE: clear, kill, discard or requeue the jobs of a set, all or those that a filter names.

It runs as a chore, in slices, and touches only what stood there when it began: whatever it puts back may come
round again, and must not be met twice. A small one is through within its first slice, which runs at once.

    target      scheduled, retries, dead, or queue:NAME
    filter      jids (they win), jobtype (exact) and regexp (a glob over the job's compact JSON), both = and;
                a `Filter` beside them says more

One with a `Filter` may be fed: a process apart looks for the jobs that match (`sought_by`), and hands in their keys
(`mutate_found`). They are judged here all the same, so what it found is a hint, never an order.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Final

from msgspec import Struct, json, structs

from lineshaft.engine import keys
from lineshaft.engine.ending import Ending
from lineshaft.engine.hooks import killed
from lineshaft.engine.moves import join_queue, join_set, leave, take_out
from lineshaft.engine.records import ChoreRecord
from lineshaft.engine.search.filter import Filter
from lineshaft.engine.search.glob import Glob
from lineshaft.engine.search.scan import Sought
from lineshaft.engine.state import State
from lineshaft.engine.timed import SetName
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras, split_value
from lineshaft.errors import Refusal
from lineshaft.job import UNREADABLE, Job, decode_stored
from lineshaft.store.port import KeyRange

__all__ = ["MUTATE", "begin_mutate", "describe", "mutate_found", "mutate_slice", "sought_by"]

MUTATE: Final = "mutate"

COMMANDS: Final = ("clear", "kill", "discard", "requeue")
QUEUE_TARGET: Final = "queue:"

#: Jobs looked at in one slice: one or two milliseconds when all of them match.
SLICE: Final = 100
SLICE_BYTES: Final = 2 << 20
#: With a glob, which is matched letter by letter, a slice is smaller.
GLOB_SLICE_BYTES: Final = 256 << 10

#: The list is in the chore's record, and a client can send it in parts.
MOST_JIDS: Final = 10_000


class Order(Struct, frozen=True):
    """What a MUTATE is to do; the chore's arguments."""

    command: str
    target: str
    jids: list[str] | None = None
    jobtype: str | None = None
    regexp: str | None = None
    generation: int = 0  #: of a queue
    chosen: Filter | None = None


class Row(Struct, frozen=True):
    """A job that a slice looks at."""

    key: bytes
    order: int
    seq: int
    extras: Extras
    job: Job
    payload: bytes


@lru_cache(maxsize=64)
def _decode_order(arguments: bytes) -> Order:
    """The arguments of a chore; remembered, since every slice asks and the list of jids may be long."""
    return json.decode(arguments, type=Order)


def begin_mutate(
    state: State,
    command: str,
    target: str,
    *,
    jids: list[str] | None,
    jobtype: str | None,
    regexp: str | None,
    chosen: Filter | None = None,
) -> int | None:
    """Begin, and do the first slice; returns the chore's number while it is not through. Raises Refusal."""
    generation = _check(state, command, target)
    if jids is not None and len(jids) > MOST_JIDS:
        raise Refusal(f"invalid format: a filter may name at most {MOST_JIDS} jids")
    if regexp:
        Glob(regexp)
    if generation is None:
        return None
    # Who begins one need not stay to wait for its end.
    most = state.settings.most.mutates
    if len(state.chores.active) >= most and sum(each.kind == MUTATE for each in state.chores.active.values()) >= most:
        raise Refusal(f"{most} MUTATEs are under way already: try again when one is through")
    # Without the index a job is found by looking at all of them.
    order = Order(command, target, jids, jobtype or None, regexp or None, generation, chosen)
    start, _ = _ranges(order)[0]
    number = state.take_order()
    record = ChoreRecord(MUTATE, json.encode(order), b"" if _by_index(state, order) else start, state.order)
    with state.change() as change:
        state.chores.begin(change, number, record)
    try:
        mutate_slice(state, number, record)
    except BaseException:
        state.chores.take_back(number)
        raise
    if number in state.chores.active:
        return number
    state.chores.finished.remove(number)
    return None


def describe(record: ChoreRecord) -> str:
    """A chore's kind, and for a MUTATE what it does where, for those who look."""
    if record.kind != MUTATE:
        return record.kind
    order = _decode_order(record.arguments)
    return f"{order.command} {order.target}"


def _check(state: State, command: str, target: str) -> int | None:
    """The generation that is meant, 0 for a set, None for a queue that does not exist. Raises Refusal."""
    if command not in COMMANDS:
        raise Refusal("unknown mutate operation")
    if target in set(SetName):
        return 0
    if not target.startswith(QUEUE_TARGET) or target == QUEUE_TARGET:
        raise Refusal("invalid target for mutation command")
    if command == "requeue":
        raise Refusal("jobs in a queue are enqueued already")
    queue = state.queues.by_name.get(target.removeprefix(QUEUE_TARGET))
    return None if queue is None else queue.generation


def mutate_slice(state: State, number: int, record: ChoreRecord) -> None:
    """One slice of a MUTATE. Raises StoreError."""
    order = _decode_order(record.arguments)
    _keep_heads(state, order)
    rows, cursor = _rows_by_jid(state, order, record) if _by_index(state, order) else _rows(state, order, record)
    _treat(state, number, record, rows, cursor)


def _keep_heads(state: State, order: Order) -> None:
    """Have the head of the queue's line in memory, or whoever asks for it next (the pages do each second) passes the
    deleted keys of thousands of jobs. Raises StoreError."""
    if not order.target.startswith(QUEUE_TARGET):
        return
    queue = state.queues.by_name.get(order.target.removeprefix(QUEUE_TARGET))
    for window in () if queue is None else queue.windows:
        if window.more and not window.entries:
            state.queues.refill(window, 1)


def sought_by(record: ChoreRecord) -> Sought | None:
    """What a process apart is to look for, so that a chore can be fed; None when it cannot."""
    order = _decode_order(record.arguments) if record.kind == MUTATE else None
    if order is None or order.chosen is None or order.jids is not None or order.regexp is not None:
        return None
    wanted = order.chosen if order.jobtype is None else structs.replace(order.chosen, jobtype=order.jobtype)
    ranges = [(max(start, record.cursor), end) for start, end in _ranges(order) if record.cursor < end]
    return Sought(ranges, wanted, SLICE)


def mutate_found(state: State, number: int, found: list[bytes], cursor: bytes) -> None:
    """One slice of a chore that is fed: the jobs under these keys; it goes on at `cursor`, empty at the end.

    Raises StoreError.
    """
    record = state.chores.active.get(number)
    if record is None:
        return
    values = ((key, state.turn.get(key)) for key in found)
    rows = [row for key, value in values if value is not None and (row := _row(state, key, value)) is not None]
    _treat(state, number, record, rows, cursor or None)


def _treat(state: State, number: int, record: ChoreRecord, rows: list[Row], cursor: bytes | None) -> None:
    """Do it to those of the rows that are meant, and note how far the chore came."""
    order = _decode_order(record.arguments)
    matches = _matcher(state, order)
    wanted = [row for row in rows if row.order <= record.bound and matches(row)]
    with state.change() as change:
        moved = [row.job for row in wanted if _apply(state, change, order, row)]
        if cursor is None:
            state.chores.end(change, number, len(wanted))
        else:
            state.chores.advance(change, number, cursor, len(wanted))
    if state.hooks is not None and order.command == "kill":
        for job in moved:
            killed(state, state.hooks, job)


def _by_index(state: State, order: Order) -> bool:
    return order.jids is not None and state.index.enabled


def _ranges(order: Order) -> list[KeyRange]:
    """Where the target's jobs lie, in key order: those of a queue that are in no lane, and those that are in one."""
    if order.target.startswith(QUEUE_TARGET):
        name = order.target.removeprefix(QUEUE_TARGET)
        return [keys.ready_range(name, order.generation), keys.laned_range(name, order.generation)]
    return [keys.prefix_range(keys.timed_prefix(_code(order.target)))]


def _code(target: str) -> bytes:
    return {"scheduled": b"s", "retries": b"r", "dead": b"d"}[target]


def _rows(state: State, order: Order, record: ChoreRecord) -> tuple[list[Row], bytes | None]:
    """The next jobs of the target, and the cursor behind them; no cursor at the end."""
    limit_bytes = SLICE_BYTES if order.regexp is None else GLOB_SLICE_BYTES
    for start, end in _ranges(order):
        begin = max(start, record.cursor)
        stored = state.turn.scan(begin, end, limit=SLICE, limit_bytes=limit_bytes) if begin < end else []
        if stored:
            rows = [row for key, value in stored if (row := _row(state, key, value)) is not None]
            return rows, keys.after(stored[-1][0])
    return [], None


def _rows_by_jid(state: State, order: Order, record: ChoreRecord) -> tuple[list[Row], bytes | None]:
    """The target's jobs with the next few of the named jids; here the cursor counts jids."""
    assert order.jids is not None
    done = int(record.cursor or b"0")
    rows = list(_located(state, order, order.jids[done : done + SLICE]))
    return rows, b"%d" % (done + SLICE) if done + SLICE < len(order.jids) else None


def _located(state: State, order: Order, jids: list[str]) -> Iterator[Row]:
    ranges = _ranges(order)
    for jid in dict.fromkeys(jids):
        for _, key in state.index.find(jid):
            value = state.turn.get(key) if any(start <= key < end for start, end in ranges) else None
            if value is not None and (row := _row(state, key, value)) is not None:
                yield row


def _row(state: State, key: bytes, value: bytes) -> Row | None:
    try:
        extras, payload = split_value(value)
        job = decode_stored(payload)
    except UNREADABLE:
        state.turn.damaged[key] = value
        return None
    if keys.is_ready(key):
        order = keys.ready_order(key)
        _, _, priority = keys.ready_parts(key)
        extras = extras.at_home(seq=extras.seq, priority=extras.own_priority(priority))
    else:
        order = keys.timed_order(key)
    return Row(key, order, extras.seq or order, extras, job, payload)


def _matcher(state: State, order: Order) -> Callable[[Row], bool]:
    """Whether a row is one of those that are meant."""
    if _by_index(state, order):
        return lambda _: True
    if order.jids is not None:
        jids = frozenset(order.jids)
        return lambda row: row.job.jid in jids
    glob = Glob(order.regexp) if order.regexp is not None else None
    chosen = order.chosen
    return lambda row: (
        (order.jobtype is None or row.job.jobtype == order.jobtype)
        and (chosen is None or chosen.matches(row.job, row.payload, _due(row)))
        and (glob is None or glob.matches(json.format(row.payload, indent=-1).decode()))
    )


def _due(row: Row) -> int:
    """The instant in a row's key, 0 for a job in a queue."""
    return keys.timed_due(row.key) if row.key[:1] == b"T" else 0


def _apply(state: State, change: Change, order: Order, row: Row) -> bool:
    """Do it to one job; False when it is not to be touched."""
    if state.leases.holds(row.seq) or (order.command == "kill" and order.target == SetName.DEAD):
        return False
    if not take_out(state, change, row.key, row.extras, row.payload):
        return False
    if order.command == "kill":
        join_set(state, change, state.dead, state.now, row.job, row.seq, row.extras.afresh())
    elif order.command == "requeue":
        join_queue(state, change, row.job, row.seq, row.extras)
    else:
        leave(state, change, row.job.jid, row.seq, row.extras, Ending.DISCARDED)
    return True
