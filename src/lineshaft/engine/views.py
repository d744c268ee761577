"""Views: what the engine shows of itself. They read and change nothing."""

from typing import Any

from msgspec import Struct

from lineshaft.engine.leases import NEVER
from lineshaft.engine.state import State
from lineshaft.job import DEFAULT_QUEUE, decode_pushed

__all__ = ["PeriodicView", "figures", "periodic"]


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


class PeriodicView(Struct, frozen=True):
    """A periodic job as it is shown; instants are None for never."""

    name: str
    schedule: str
    zone: str
    jobtype: str
    queue: str
    catch_up: bool
    last_due: int | None  #: the latest due time that was dealt with, pushed or refused
    ran_at: int | None  #: when a run was last pushed
    next_due: int | None
    runs: int
    refused: int


def periodic(state: State) -> list[PeriodicView]:
    """Every periodic job, in the order of the configuration."""
    return [
        PeriodicView(
            name=each.what.name,
            schedule=each.what.schedule.expression,
            zone=each.what.schedule.zone,
            jobtype=(job := decode_pushed(each.what.job)).jobtype,
            queue=job.queue or DEFAULT_QUEUE,
            catch_up=each.what.catch_up,
            last_due=each.record.last or None,
            ran_at=each.record.ran_at or None,
            next_due=each.next_due if each.next_due < NEVER else None,
            runs=each.record.runs,
            refused=each.record.refused,
        )
        for each in state.periodic.entries
    ]
