"""ACK and FAIL: a worker is through with a job, for better or worse; and the two ends that need no worker.

`ack` is the third transition of the hot path and written flat; the others are rare and use a `Change`.
"""

from contextlib import suppress

from msgspec import structs

from lineshaft.engine import feature, keys
from lineshaft.engine.cancel import CANCELLED
from lineshaft.engine.ending import Ending
from lineshaft.engine.feature import Subject
from lineshaft.engine.features.tracks import keep_result
from lineshaft.engine.hooks import acked, failed
from lineshaft.engine.moves import Damaged, count, join_set, keep_place, leave, put_back, read_leased
from lineshaft.engine.records import Lease
from lineshaft.engine.retry import LOST, RESERVATION_EXPIRED, Dead, Report, Retry, judge
from lineshaft.engine.state import State
from lineshaft.engine.stats.history import Over, keep_finished
from lineshaft.engine.stats.outcomes import MOST_LETTERS, Outcome
from lineshaft.engine.turn import Change
from lineshaft.engine.value import Extras, split_value
from lineshaft.errors import Refusal
from lineshaft.job import UNREADABLE, decode_stored

__all__ = ["ack", "ack_in_full", "expire", "fail", "give_back", "give_back_leased", "recover", "requeue"]


def ack(state: State, jid: str, holder: str) -> bool:
    """The job is done; False when `holder` has no such job, which is nothing to complain about.

    A job taken back from this worker while it worked still counts, as long as nobody else has it.
    """
    leases = state.leases
    lease = leases.by_jid.get(jid)
    if type(lease) is not Lease or lease.holder != holder:
        # Nobody has such a job, or several have, or another has.
        return ack_in_full(state, jid, holder)
    if lease.uses:
        extras = leases.extras.get(lease.seq)
        if extras is None:
            # Fetched before the last start.
            return _complete(state, lease)
        _part(state, lease, extras)
    # From here on nothing can fail.
    state.turn.changes[lease.key] = None
    index = state.index
    if index.young.get(jid) == lease.key:
        del index.young[jid]
    else:
        index.remove(jid, lease.seq)
    leases.end(lease)
    queue = state.queues.by_name.get(lease.queue)
    if queue is None:
        state.add_totals(1, 0)
        return True
    queue.processed += 1
    try:
        queue.outcomes.done[lease.jobtype] += 1
    except KeyError:
        queue.outcomes.count(Outcome.SUCCESS, lease.jobtype)
    if not queue.dirty:
        queue.dirty = True
        state.queues.dirty.append(queue)
    return True


def ack_in_full(state: State, jid: str, holder: str, result: bytes | None = None) -> bool:
    """The same where somebody wants to know the job: the history, a hook, or whoever asks for what it returned (JSON).

    A job that was taken back from this worker comes before one with the same jid that another worker holds.
    """
    lease = state.leases.find(jid, holder)
    if lease is not None and lease.holder == holder:
        return _complete(state, lease, result)
    if _late_ack(state, jid, holder, result):
        return True
    return lease is not None and _complete(state, lease, result)


def _part(state: State, lease: Lease, extras: Extras) -> None:
    """Tell the features of a job that is done; what they keep is known since the FETCH. Raises StoreError."""
    change = Change(state.turn)
    # Its row goes first, so that whoever looks for the job in a hook finds it gone.
    change.changes[lease.key] = None
    feature.ended(state, change, Subject(lease.jid, lease.seq, extras), Ending.DONE)
    change.merge()
    state.cancels.forget(lease.seq)


def _end(state: State, lease: Lease) -> None:
    state.cancels.forget(lease.seq)
    state.leases.end(lease)


def _complete(state: State, lease: Lease, result: bytes | None = None) -> bool:
    """The same with all that there is to know of the job."""
    with state.change() as change:
        extras, job, payload = read_leased(change, lease)
        change.delete(lease.key)
        leave(state, change, lease.jid, lease.seq, extras, Ending.DONE)
        _keep(state, change, lease, payload, "success", result)
        if result is not None:
            keep_result(state, change, lease.jid, lease.seq, result)
        change.then(_end, state, lease)
        change.then(count, state, lease.queue, Outcome.SUCCESS, lease.jobtype)
    if state.hooks is not None:
        acked(state, state.hooks, job, lease.holder)
    return True


def _late_ack(state: State, jid: str, holder: str, result: bytes | None = None) -> bool:
    for seq, key in state.index.find(jid):
        value = state.turn.get(key) if keys.is_ready(key) else None
        if value is None:
            continue
        try:
            extras, payload = split_value(value)
            job = decode_stored(payload)
        except UNREADABLE:
            state.turn.damaged[key] = value
            continue
        name, generation, _ = keys.ready_parts(key)
        queue = state.queues.by_name.get(name)
        if extras.former != holder or state.leases.holds(seq) or queue is None or queue.generation != generation:
            continue
        with state.change() as change:
            change.delete(key)
            state.queues.lose(change, queue, key)
            leave(state, change, jid, seq, extras, Ending.DONE)
            keep_finished(state, change, Over(jid, seq, payload, holder, 0, "success", result))
            if result is not None:
                keep_result(state, change, jid, seq, result)
            change.then(count, state, name, Outcome.SUCCESS, job.jobtype[:MOST_LETTERS])
        if state.hooks is not None:
            acked(state, state.hooks, job, holder)
        return True
    return False


def fail(state: State, jid: str, holder: str, report: Report) -> None:
    """The job failed: retried later, dead, or discarded. Durable with the commit. Raises Refusal, StoreError."""
    lease = state.leases.find(jid, holder)
    if lease is None:
        raise Refusal(f"Job not found {jid[:200]}")
    _fail(state, lease, report)


def expire(state: State, lease: Lease) -> None:
    """The reservation ran out: this counts as a failure. Raises StoreError."""
    _fail(state, lease, RESERVATION_EXPIRED)


def recover(state: State, lease: Lease) -> None:
    """The worker vanished: the job goes back to the head of its queue, no retry burned.

    When that has happened to it too often, it counts as a failure instead: a job that kills its workers must
    not run for ever. Raises StoreError.
    """
    with state.change() as change:
        extras, _, payload = read_leased(change, lease)
        if CANCELLED in lease.uses:
            _stop(state, change, lease, extras, payload)
            return
        recoveries = extras.recoveries + 1
        if recoveries < state.settings.recover_limit:
            again = structs.replace(extras, recoveries=recoveries, former=lease.holder)
            put_back(state, change, lease, again, payload)
            return
    _fail(state, lease, LOST)


def give_back(state: State, jid: str, holder: str) -> None:
    """A job whose reply, as far as can be told, never reached its worker returns to the head.

    What was on its way may have arrived all the same: a late ACK of that worker counts, as after `recover`.
    """
    lease = state.leases.find(jid, holder)
    if lease is not None and lease.holder == holder:
        give_back_leased(state, lease)


def give_back_leased(state: State, lease: Lease) -> None:
    """The same of the job with this lease. Raises StoreError."""
    with suppress(Damaged), state.change() as change:
        extras, _, payload = read_leased(change, lease)
        if CANCELLED in lease.uses:
            _stop(state, change, lease, extras, payload)
        else:
            put_back(state, change, lease, structs.replace(extras, former=lease.holder), payload)


def requeue(state: State, jid: str, holder: str, wait: int | None) -> None:
    """A worker gives a job back unfinished, no retry burned: to the head of its queue, or, with `wait`, to the
    scheduled ones for so many milliseconds. Durable with the commit. Raises Refusal, StoreError.
    """
    lease = state.leases.find(jid, holder)
    if lease is None:
        raise Refusal(f"Job not found {jid[:200]}")
    with state.change() as change:
        extras, job, payload = read_leased(change, lease)
        if CANCELLED in lease.uses:
            _stop(state, change, lease, extras, payload)
        elif wait is None:
            put_back(state, change, lease, extras.afresh(), payload)
        else:
            change.delete(lease.key)
            due = state.now + wait
            kept = keep_place(state, lease, extras.afresh())
            join_set(state, change, state.scheduled, due, job, lease.seq, kept)
            _let_go(state, change, lease, kept)


def _let_go(state: State, change: Change, lease: Lease, kept: Extras) -> None:
    """End the lease of a job that goes elsewhere. One that keeps its place comes back to the key that the lease's
    record names, and would count as leased there after a restart: then the record must say so.
    """
    change.then(state.leases.take_back if kept.place else state.leases.end, lease)


def _keep(
    state: State, change: Change, lease: Lease, payload: bytes, outcome: str, result: bytes | None = None
) -> None:
    """A held job is over."""
    over = Over(lease.jid, lease.seq, payload, lease.holder, lease.since, outcome, result)
    keep_finished(state, change, over)


def _stop(state: State, change: Change, lease: Lease, extras: Extras, payload: bytes) -> None:
    """A cancelled job comes back from its worker, one way or another: it does not run again."""
    change.delete(lease.key)
    leave(state, change, lease.jid, lease.seq, extras, Ending.CANCELLED)
    _keep(state, change, lease, payload, "cancelled")
    change.then(_end, state, lease)


def _fail(state: State, lease: Lease, report: Report) -> None:
    with state.change() as change:
        extras, job, payload = read_leased(change, lease)
        if CANCELLED in lease.uses:
            _stop(state, change, lease, extras, payload)
            change.then(count, state, lease.queue, Outcome.CANCELLED, lease.jobtype)
            return
        backoff = extras.backoff or state.settings.limits(lease.queue).backoff or ""
        outcome = judge(job, report, state.now, state.chance(), backoff)
        # A failure starts the count of recoveries anew.
        kept = extras.after_failure(lease.holder)
        change.delete(lease.key)
        if isinstance(outcome, Retry):
            kept = keep_place(state, lease, kept)
            join_set(state, change, state.retries, outcome.at, job, lease.seq, kept)
            became = Outcome.RETRY
        elif isinstance(outcome, Dead):
            join_set(state, change, state.dead, state.now, job, lease.seq, kept)
            became = Outcome.DEAD
        else:
            leave(state, change, lease.jid, lease.seq, extras, Ending.DISCARDED)
            _keep(state, change, lease, payload, "discarded")
            became = Outcome.DISCARDED
        _let_go(state, change, lease, kept)
        change.then(count, state, lease.queue, became, lease.jobtype)
    if state.hooks is not None:
        failed(state, state.hooks, job, report, lease.holder, is_dead=isinstance(outcome, Dead))
