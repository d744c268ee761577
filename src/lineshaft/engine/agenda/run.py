"""Run: the periodic jobs whose time has come are pushed, and those that an operator wants now.

One run is one transition: the push, by the same function as any other, and the record that says so. A push that is
refused (the queue is full, the job before it holds the lock) is a run too: it is counted as skipped, told to the shell,
and not tried again.
"""

from collections.abc import Callable
from typing import Final

from msgspec import structs

from lineshaft.clock import format_instant
from lineshaft.engine.custom import read_custom
from lineshaft.engine.periodic import UNKNOWN, Entry, SkippedRun, following
from lineshaft.engine.records import PeriodicRecord
from lineshaft.engine.settings import Periodic
from lineshaft.engine.state import State
from lineshaft.errors import Refusal
from lineshaft.job import ABSENT, Job, admit, decode_pushed

__all__ = ["PUSHED", "check_periodic", "run_due", "run_jid", "run_now"]

#: Entries that are looked at per slice: a millisecond; ten after the clock has jumped, when the latest due time of each
#: has to be searched for.
SLICE: Final = 5

#: How a run ended that was not skipped.
PUSHED: Final = "pushed"
#: A reason that is kept is no longer than this.
MAX_OUTCOME_LENGTH: Final = 200


def run_due(state: State, push: Callable[[Job], None]) -> None:
    """Push the jobs that are due, a slice of them. Raises StoreError."""
    periodic = state.periodic
    for _ in range(SLICE):
        entry = periodic.first_due(state.now)
        if entry is None:
            return
        if entry.next_due == UNKNOWN:
            periodic.place(entry, following(entry.what, entry.floor))
        else:
            run(state, push, entry)


def run(state: State, push: Callable[[Job], None], entry: Entry) -> None:
    """Push one job for the latest of its due times that have passed. Raises StoreError."""
    periodic, what, record = state.periodic, entry.what, entry.record
    # Before the push: what can fail must have failed by then.
    due = what.schedule.latest(entry.next_due, state.now)
    next_due = following(what, due)
    job = decode_pushed(what.job)
    job.jid = run_jid(what.name, due)
    try:
        push(job)
    except Refusal as refusal:
        reason = refusal.text
        record = structs.replace(record, last=due, skipped=record.skipped + 1, outcome=reason[:MAX_OUTCOME_LENGTH])
        periodic.skipped.append(SkippedRun(what.name, due, reason, is_expected=refusal.code == "NOTUNIQUE"))
    else:
        record = structs.replace(_pushed(state, entry, job), last=due)
    periodic.write(entry, record)
    entry.floor = due
    periodic.place(entry, next_due)


def run_now(state: State, push: Callable[[Job], None], name: str) -> str:
    """Push one job outside of the schedule, which stays as it is; returns its jid. Raises Refusal, StoreError."""
    entry = state.periodic.get(name)
    job = decode_pushed(entry.what.job)
    # A number that this push takes from the counter, so no other run has it.
    job.jid = f"cron-{name}-run-{state.order + 1}"
    push(job)
    state.periodic.write(entry, _pushed(state, entry, job))
    return job.jid


def run_jid(name: str, due: int) -> str:
    """The jid of a run: the job's name and the due time, as in `cron-report-20251124T160000Z`."""
    return f"cron-{name}-{format_instant(due)[:19].replace('-', '').replace(':', '')}Z"


def check_periodic(what: Periodic, most: int) -> None:
    """Raises Refusal for a periodic job whose job no push would accept; a `custom` may have `most` bytes."""
    job = decode_pushed(what.job)
    job.jid = run_jid(what.name, 0)
    admit(job, "")
    if job.custom is not ABSENT:
        read_custom(job, 0, None, most=most)


def _pushed(state: State, entry: Entry, job: Job) -> PeriodicRecord:
    record = entry.record
    return structs.replace(record, ran_at=state.now, runs=record.runs + 1, last_jid=job.jid, outcome=PUSHED)
