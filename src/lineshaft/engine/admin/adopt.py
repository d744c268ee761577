"""ADOPT: jobs come from another server, with their past: to any place, and with the failures that they have had.

PUSH cannot do that, since whoever pushes a job may not say that it has failed already, nor put it among the dead.
What is adopted is no push: no plugin is asked, no limit of a queue holds it back, and a unique job comes in without
its lock where another has that already, since a job that another server has accepted is not to be lost here.

A jid is adopted once: a job whose jid is that of a live job is left out and told, so that an import may be repeated.
That rests on the jid index; with `jid_index = false` all that comes is taken.
"""

from typing import Final

from msgspec import Struct, ValidationError, convert, structs

from lineshaft.clock import format_instant
from lineshaft.engine import feature, keys
from lineshaft.engine.custom import Wishes, read_custom
from lineshaft.engine.feature import UNIQUE, UNIQUE_UNTIL_START, Subject
from lineshaft.engine.moves import join_queue, join_set
from lineshaft.engine.naming import check_queue_name, open_queue
from lineshaft.engine.ready import Queue
from lineshaft.engine.state import State
from lineshaft.engine.value import NO_EXTRAS, Extras
from lineshaft.errors import Refusal
from lineshaft.job import (
    ABSENT,
    ARGS_FIRST,
    DEFAULT_RETRY,
    Failure,
    Job,
    admit,
    encode_job,
    refuse_args,
    take_priority,
)
from lineshaft.lifecycle import Place

__all__ = ["MOST_ADOPTED", "Adopted", "Arrival", "adopt"]

#: All of them are one commit, so everybody waits for the last.
MOST_ADOPTED: Final = 1_000

_PLACES: Final = (Place.READY, Place.SCHEDULED, Place.RETRIES, Place.DEAD)

#: As FAIL trims them (docs/protocol.md, "Failures").
_LENGTHS: Final = {"message": 1000, "errtype": 100}
_BACKTRACE_LINES: Final = 50


class Arrival(Struct, frozen=True):
    """A job, where it is to be, and the instant there: when it is due, or when it died."""

    job: Job
    place: Place = Place.READY
    at: int | None = None


class Adopted(Struct):
    """What became of a list of jobs, by their position in it."""

    adopted: int = 0
    known: list[int] = []
    refused: dict[int, str] = {}


class _SentFailure(Struct, frozen=True):
    """A failure as another server kept it; anything may be missing."""

    retry_count: int = 0
    failed_at: str | None = None
    message: str | None = None
    errtype: str | None = None
    backtrace: list[str | None] | None = None


def adopt(state: State, arrivals: dict[int, Arrival]) -> Adopted:
    """Take jobs in; one commit with the turn. A job that is refused or known stops none of the others.

    Raises Refusal when there are too many, or no push is taken at the moment; StoreError.
    """
    if len(arrivals) > MOST_ADOPTED:
        raise Refusal(f"too many jobs: ADOPT takes at most {MOST_ADOPTED}")
    if state.push_refusal is not None:
        raise Refusal(state.push_refusal)
    outcome = Adopted()
    for position, arrival in _unknown(state, arrivals, outcome).items():
        try:
            _take_in(state, arrival)
            outcome.adopted += 1
        except Refusal as refusal:
            outcome.refused[position] = refusal.text
    return outcome


def _unknown(state: State, arrivals: dict[int, Arrival], outcome: Adopted) -> dict[int, Arrival]:
    """Those whose jid is neither that of a live job nor stands earlier in the list. Raises StoreError."""
    if not state.index.enabled:
        return arrivals
    seen: set[str] = set()
    left = {}
    for position, arrival in arrivals.items():
        jid = arrival.job.jid
        if jid in seen or _is_live(state, jid):
            outcome.known.append(position)
        else:
            seen.add(jid)
            left[position] = arrival
    return left


def _is_live(state: State, jid: str) -> bool:
    """Whether a job with this jid is here; one whose queue was removed, and waits to be swept, is not."""
    for seq, key in state.index.find(jid):
        if state.turn.get(key) is None:
            continue
        if not keys.is_ready(key) or state.leases.holds(seq):
            return True
        name, generation, _ = keys.ready_parts(key)
        queue = state.queues.by_name.get(name)
        if queue is not None and queue.generation == generation:
            return True
    return False


def _take_in(state: State, arrival: Arrival) -> None:
    """Bring one job to its place. Raises Refusal, StoreError."""
    job, place, at = arrival.job, arrival.place, arrival.at
    if place not in _PLACES:
        raise Refusal(f"jobs can be adopted to {', '.join(_PLACES)}")
    if place is Place.SCHEDULED and (at is None or at <= state.now):
        place = Place.READY
    failure = _failure(job, state.stamp)
    admit(job, state.stamp)
    check_queue_name(job.queue or "")
    priority = take_priority(job)
    if not encode_job(job).startswith(ARGS_FIRST):
        raise refuse_args(job)
    job.failure = failure
    # Whatever its size: another server has accepted it.
    wishes = None if job.custom is ABSENT else read_custom(job, state.now, at if place is Place.SCHEDULED else None)
    try:
        _settle(state, job, place, at, priority, wishes or Wishes(NO_EXTRAS))
    except Refusal as refusal:
        if refusal.code != "NOTUNIQUE" or wishes is None:
            raise
        _settle(state, job, place, at, priority, Wishes(_without_lock(wishes.extras)))


def _settle(state: State, job: Job, place: Place, at: int | None, priority: int, wishes: Wishes) -> None:
    """Put a checked job where it belongs. Raises Refusal, StoreError."""
    extras = wishes.extras.at_home(seq=0, priority=priority)
    instant = state.now if at is None else at
    with state.change() as change:
        seq = state.take_order()
        feature.pushed(state, change, Subject(job.jid, seq, extras), wishes.lock_until)
        if place is Place.READY:
            open_queue(state, job.queue or "", most=state.settings.most.queues)
            job.at = None
            change.then(_count, join_queue(state, change, job, seq, extras))
        elif place is Place.SCHEDULED:
            job.at = format_instant(instant)
            join_set(state, change, state.scheduled, instant, job, seq, extras)
        elif place is Place.RETRIES:
            if job.failure is not None:
                job.failure.next_at = format_instant(instant)
            join_set(state, change, state.retries, instant, job, seq, extras)
        else:
            join_set(state, change, state.dead, min(instant, state.now), job, seq, extras)


def _count(queue: Queue) -> None:
    queue.pushed += 1


def _without_lock(extras: Extras) -> Extras:
    uses = "".join(letter for letter in extras.uses if letter not in (UNIQUE, UNIQUE_UNTIL_START))
    return structs.replace(extras, uses=uses, lock="")


def _failure(job: Job, stamp: str) -> Failure | None:
    """The failure that a job has had, as ours would be. Raises Refusal."""
    if job.failure is None:
        return None
    try:
        sent = convert(job.failure, _SentFailure)
    except ValidationError as error:
        raise Refusal(f"invalid failure: {error}") from None
    retry = DEFAULT_RETRY if job.retry is None else job.retry
    lines = [(line or "")[: _LENGTHS["message"]] for line in (sent.backtrace or [])[:_BACKTRACE_LINES]]
    return Failure(
        retry_count=max(sent.retry_count, 0),
        remaining=max(retry - max(sent.retry_count, 0), 0),
        failed_at=sent.failed_at or stamp,
        message=(sent.message or "unknown")[: _LENGTHS["message"]],
        errtype=(sent.errtype or "unknown")[: _LENGTHS["errtype"]],
        backtrace=lines or None,
    )
