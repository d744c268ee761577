"""Run: the periodic jobs whose time has come are pushed.

One run is one transition: the push, by the same function as any other, and the record that says so. A push that is
refused (the queue is full, the disk is low) is a run too: it is counted, told to the shell, and not tried again.
"""

from typing import Final

from msgspec import structs

from lineshaft.clock import format_instant
from lineshaft.engine.periodic import Entry, RefusedRun, following
from lineshaft.engine.push import push
from lineshaft.engine.state import State
from lineshaft.errors import Refusal
from lineshaft.job import decode_pushed

__all__ = ["run_due", "run_jid"]

#: Runs per slice: half a millisecond; five after the clock has jumped, when the latest due time has to be searched for.
SLICE: Final = 5


def run_due(state: State) -> None:
    """Push the jobs that are due, a slice of them. Raises StoreError."""
    periodic = state.periodic
    if periodic.next_due > state.now:
        return
    try:
        for entry in [entry for entry in periodic.entries if entry.next_due <= state.now][:SLICE]:
            run(state, entry)
    finally:
        periodic.settle()


def run(state: State, entry: Entry) -> None:
    """Push one job for the latest of its due times that have passed. Raises StoreError."""
    periodic, what, record = state.periodic, entry.what, entry.record
    # Before the push: what can fail must have failed by then.
    due = what.schedule.latest(entry.next_due, state.now)
    next_due = following(what, due)
    job = decode_pushed(what.job)
    job.jid = run_jid(what.name, due)
    try:
        push(state, job)
    except Refusal as refusal:
        record = structs.replace(record, last=due, refused=record.refused + 1)
        periodic.refused.append(RefusedRun(what.name, due, refusal.text))
    else:
        record = structs.replace(record, last=due, ran_at=state.now, runs=record.runs + 1)
    periodic.write(entry, record)
    entry.floor, entry.next_due = due, next_due


def run_jid(name: str, due: int) -> str:
    """The jid of a run: the job's name and the due time, as in `cron-report-20251124T160000Z`."""
    return f"cron-{name}-{format_instant(due)[:19].replace('-', '').replace(':', '')}Z"
