"""Views: what the engine shows of itself. They read and change nothing."""

from collections.abc import Callable
from functools import cache
from typing import Any

from lineshaft.clock import format_instant
from lineshaft.engine.leases import NEVER
from lineshaft.engine.periodic import UNKNOWN, Entry, following
from lineshaft.engine.state import State

__all__ = ["cron_list", "cron_upcoming", "figures"]


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


def cron_list(state: State) -> list[dict[str, Any]]:
    """Every periodic job, in the order of the configuration; instants are RFC 3339, None for never."""
    # Ten thousand entries have few due times, and those are most of the work.
    shown = cache(format_instant)
    return [_periodic_shown(entry, shown) for entry in state.periodic.entries.values()]


def _periodic_shown(entry: Entry, shown: Callable[[int], str]) -> dict[str, Any]:
    what, record = entry.what, entry.record
    next_due = following(what, entry.floor) if entry.next_due == UNKNOWN else entry.next_due
    return {
        "name": what.name,
        "schedule": what.schedule.expression,
        "tz": what.schedule.zone,
        "catch_up": "once" if what.catch_up else "skip",
        "jobtype": what.jobtype,
        "queue": what.queue,
        "paused": record.paused,
        "last_due": shown(record.last) if record.last else None,
        "last_run": shown(record.ran_at) if record.ran_at else None,
        "last_jid": record.last_jid or None,
        "outcome": record.outcome or None,
        "next_run": shown(next_due) if next_due < NEVER else None,
        "runs": record.runs,
        "skipped": record.skipped,
    }


def cron_upcoming(state: State, name: str, count: int) -> list[str]:
    """The next due times of a periodic job, as if it were not paused. Raises Refusal."""
    entry = state.periodic.get(name)
    due, found = max(entry.floor, state.now) if entry.record.paused else entry.floor, []
    for _ in range(count):
        due = following(entry.what, due)
        if due == NEVER:
            break
        found.append(format_instant(due))
    return found
