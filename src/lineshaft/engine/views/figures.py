"""Figures: the whole server in a few numbers, for INFO and for whoever looks."""

from typing import Any

from msgspec import Struct

from lineshaft.engine.state import State

__all__ = ["Overview", "figures", "overview"]


class Overview(Struct, frozen=True):
    """The figures of the whole server."""

    now: int
    processed: int
    failed: int
    expired: int
    queues: int
    paused: int
    enqueued: int
    busy: int
    workers: int
    scheduled: int
    retries: int
    dead: int
    finished: int  #: kept in the history
    periodic: int
    throttles: int
    next_scheduled: int  #: instants before which nothing is due; later than any date when there is nothing
    next_retry: int
    push_refusal: str | None  #: why pushes are refused, if they are


def overview(state: State) -> Overview:
    """The figures of the whole server."""
    processed, failed, paused, enqueued = state.totals.processed, state.totals.failed, 0, 0
    # There may be ten thousand, so all is summed up in one go.
    for queue in state.queues:
        processed += queue.processed
        failed += queue.failed
        paused += queue.paused
        enqueued += queue.size
    return Overview(
        now=state.now,
        processed=processed,
        failed=failed,
        expired=state.totals.expired,
        queues=len(state.queues.by_name),
        paused=paused,
        enqueued=enqueued,
        busy=len(state.leases),
        workers=len(state.workers.present),
        scheduled=state.scheduled.size,
        retries=state.retries.size,
        dead=state.dead.size,
        finished=state.history.count,
        periodic=len(state.periodic.entries),
        throttles=len(state.throttles.gates),
        next_scheduled=state.scheduled.next_due,
        next_retry=state.retries.next_due,
        push_refusal=state.push_refusal,
    )


def figures(state: State) -> dict[str, Any]:
    """The `faktory` part of INFO: integers under the names that clients' types expect (docs/protocol.md)."""
    queues = {queue.name: queue.size for queue in state.queues}
    sets = {name.value: timed.size for name, timed in state.sets.items()}
    return {
        "total_failures": state.failed(),
        "total_processed": state.processed(),
        "total_enqueued": sum(queues.values()),
        "total_queues": len(queues),
        "queues": queues,
        "sets": {**sets, "working": len(state.leases)},
        "tasks": {
            "Busy": {"reaped": 0, "size": len(state.leases)},
            "Dead": {"size": state.dead.size},
            "Retries": {"size": state.retries.size},
            "Scheduled": {"size": state.scheduled.size},
            "Workers": {"reaped": 0, "size": len(state.workers.present)},
        },
    }
