"""The agenda: what comes due by itself, and when the engine wants to be called for it.

    tick            does a slice of everything that is due now
    deadline        when there is something to do: it may be early, never late
    is_due_before   what a turn may have brought, asked after every turn: a part of `deadline`, and cheaper

Whatever comes due keeps the earliest instant of its own kind, so that nothing here looks at more than one number for
each. A new kind has a line in `tick` and in `deadline`, and one in `is_due_before` where a single turn can bring it
close.
"""

from collections.abc import Callable
from typing import Final

from lineshaft.engine.admin.mutate import MUTATE, mutate_slice
from lineshaft.engine.admin.relane import relane
from lineshaft.engine.admin.sweep import SWEEP, sweep
from lineshaft.engine.agenda.due import expire_leases, promote, prune_dead, recover_vanished
from lineshaft.engine.agenda.forget import forget
from lineshaft.engine.agenda.run import run_due
from lineshaft.engine.lanes.lanes import RELANE
from lineshaft.engine.reconcile import give_back_unheld
from lineshaft.engine.records import ChoreRecord
from lineshaft.engine.state import State
from lineshaft.engine.stats.history import sweep_history
from lineshaft.job import Job

__all__ = ["CHORES", "deadline", "is_due_before", "tick"]

CHORES: Final[dict[str, Callable[[State, int, ChoreRecord], None]]] = {
    MUTATE: mutate_slice,
    SWEEP: sweep,
    RELANE: relane,
}
"""Every kind of long work, and the function that does its next slice."""


def tick(state: State, push: Callable[[Job], None]) -> int:
    """Do a slice of what is due now; returns the instant of the next call, now itself when there is more.

    Periodic jobs are pushed with `push`. Raises StoreError.
    """
    if deadline(state) > state.now:
        return deadline(state)
    promote(state, state.scheduled)
    promote(state, state.retries)
    expire_leases(state)
    recover_vanished(state)
    give_back_unheld(state)
    prune_dead(state)
    sweep_history(state)
    forget(state)
    state.throttles.wake(state.now)
    run_due(state, push)
    chore = state.chores.next()
    if chore is not None:
        number, record = chore
        CHORES[record.kind](state, number, record)
    return deadline(state)


def deadline(state: State) -> int:
    """When `tick` has something to do, as far as is known; it may be early, never late."""
    if state.chores.is_due or state.lost or state.unheld or state.dead.size > state.settings.dead_max:
        return state.now
    return min(
        state.scheduled.next_due,
        state.retries.next_due,
        state.dead.next_due + state.settings.dead_keep,
        state.leases.next_expiry,
        state.workers.next_check,
        state.expiries.next_at,
        state.history.next_due(state),
        state.throttles.next_at,
        state.periodic.next_due,
        state.day_ends,
    )


def is_due_before(state: State, instant: int) -> bool:
    """Whether this turn brought something for `tick` to do before that; cheaper than `deadline`.

    What is far away whenever it comes (a reservation's end, a worker's silence) is left to a later look.
    """
    return (
        state.scheduled.next_due < instant
        or state.retries.next_due < instant
        or state.expiries.next_at < instant
        or state.throttles.next_at < instant
        or state.periodic.next_due < instant
        or (state.history.count > 0 and state.history.next_due(state) < instant)
        or state.chores.is_due
        or (state.dead.size > 0 and state.dead.size > state.settings.dead_max)
    )
