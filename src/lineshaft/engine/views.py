"""Views: what the engine shows of itself. They read and change nothing."""

from typing import Any

from lineshaft.engine.state import State

__all__ = ["figures"]


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
