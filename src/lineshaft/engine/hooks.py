"""Hooks: plain functions that somebody above the engine wants called when a job moves.

The engine knows neither plugins nor clocks: what is handed in takes a job and gives a verdict, never raises, and is as
deterministic as whoever handed it in. Where there are no hooks other functions are bound (see `Engine._bind`), so that
a server without plugins pays nothing on its hot path.

Follow-up jobs are pushed in the turn of the move that they follow, so both are one commit. They pass the push hook
too; so that a plugin which follows its own pushes comes to an end, a follow-up has three generations at most, and one
move a hundred.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from lineshaft.engine import push as pushing
from lineshaft.engine.fetch import fetch
from lineshaft.engine.retry import Report
from lineshaft.engine.state import State
from lineshaft.errors import Refusal
from lineshaft.job import Failure, Job, admit, decode_stored

__all__ = ["Hooks", "Verdict", "acked", "failed", "fetch_hooked", "killed", "push_bulk_hooked", "push_hooked"]

#: Generations of follow-ups, and how many one move may bring.
MOST_DEEP: Final = 3
MOST_FOLLOWING: Final = 100


class Verdict(Struct, gc=False):
    """What the push hook says; it may have changed the job."""

    refusal: str | None = None
    follow: tuple[Job, ...] = ()


class Hooks(Struct, frozen=True):
    """The functions; None where nobody listens. A holder is a wid, or empty."""

    push: Callable[[Job], Verdict] | None = None
    fetch: Callable[[Job, str], tuple[Job, ...]] | None = None
    ack: Callable[[Job, str], tuple[Job, ...]] | None = None
    fail: Callable[[Job, str], tuple[Job, ...]] | None = None
    dead: Callable[[Job], tuple[Job, ...]] | None = None
    #: A follow-up was not pushed, and why.
    dropped: Callable[[Job, str], None] = lambda job, why: None  # noqa: ARG005


def push_hooked(state: State, hooks: Hooks, job: Job) -> None:
    """As `push.push`, with hooks. Raises Refusal, StoreError."""
    following = _judge(state, hooks, job)
    pushing.push(state, job)
    _follow(state, hooks, following)


def push_bulk_hooked(state: State, hooks: Hooks, jobs: list[Job]) -> dict[str, str]:
    """As `push.push_bulk`, with hooks. Raises Refusal, StoreError."""
    if len(jobs) > state.settings.most.bulk:
        return pushing.push_bulk(state, jobs)
    errors: dict[str, str] = {}
    for job in jobs:
        # One by one, since two of them may have the same jid, and only one of these be refused.
        try:
            push_hooked(state, hooks, job)
        except Refusal as refusal:
            errors[job.jid] = refusal.text
    return errors


def fetch_hooked(state: State, hooks: Hooks, names: Iterable[str], holder: str) -> bytes | None:
    """As `fetch.fetch`, with a hook. Raises StoreError."""
    payload = fetch(state, names, holder)
    if payload is not None and hooks.fetch is not None:
        _follow(state, hooks, hooks.fetch(decode_stored(payload), _worker(holder)))
    return payload


def acked(state: State, hooks: Hooks, job: Job, holder: str) -> None:
    """A job is done; called when all of that is in the turn. Raises StoreError."""
    if hooks.ack is not None:
        _follow(state, hooks, hooks.ack(job, _worker(holder)))


def failed(state: State, hooks: Hooks, job: Job, report: Report, holder: str, *, is_dead: bool) -> None:
    """A job failed, and is dead or not; called when all of that is in the turn. Raises StoreError."""
    following: tuple[Job, ...] = ()
    if job.failure is None:
        # It wanted no retry, so nothing was written on it; whoever listens wants to know why all the same.
        said, kind = report.message, report.errtype
        job.failure = Failure(retry_count=0, remaining=0, failed_at=state.stamp, message=said, errtype=kind)
    if hooks.fail is not None:
        following = hooks.fail(job, _worker(holder))
    if is_dead and hooks.dead is not None:
        following += hooks.dead(job)
    _follow(state, hooks, following)


def killed(state: State, hooks: Hooks, job: Job) -> None:
    """A MUTATE let a job die; called when all of that is in the turn. Raises StoreError."""
    if hooks.dead is not None:
        _follow(state, hooks, hooks.dead(job))


def _judge(state: State, hooks: Hooks, job: Job) -> tuple[Job, ...]:
    """Let the hook see a job that could come in. Raises Refusal."""
    if hooks.push is None:
        return ()
    admit(job, state.stamp)
    verdict = hooks.push(job)
    if verdict.refusal is not None:
        raise Refusal(verdict.refusal)
    return verdict.follow


def _follow(state: State, hooks: Hooks, jobs: tuple[Job, ...]) -> None:
    waiting = deque((job, 1) for job in jobs)
    pushed = 0
    while waiting:
        job, depth = waiting.popleft()
        if depth > MOST_DEEP or pushed == MOST_FOLLOWING:
            hooks.dropped(job, f"more than {MOST_DEEP} generations of follow-ups, or than {MOST_FOLLOWING} in one move")
            continue
        try:
            following = _judge(state, hooks, job)
            pushing.push(state, job)
        except Refusal as refusal:
            hooks.dropped(job, refusal.text)
            continue
        pushed += 1
        waiting += [(next_job, depth + 1) for next_job in following]


def _worker(holder: str) -> str:
    return "" if holder.startswith("\0") else holder
