"""Views of periodic jobs: what they are, when they ran, when they will."""

from collections.abc import Callable
from functools import cache
from itertools import islice
from typing import Any

from lineshaft.clock import format_instant
from lineshaft.engine.leases import NEVER
from lineshaft.engine.periodic import UNKNOWN, Entry, following
from lineshaft.engine.state import State

__all__ = ["cron_list", "cron_page", "cron_upcoming"]


def cron_list(state: State) -> list[dict[str, Any]]:
    """Every periodic job, in the order of the configuration; instants are RFC 3339, None for never."""
    # Ten thousand entries have few due times, and those are most of the work.
    shown = cache(format_instant)
    return [_periodic_shown(entry, shown) for entry in state.periodic.entries.values()]


def cron_page(state: State, first: int, limit: int) -> list[dict[str, Any]]:
    """Some periodic jobs, from that place in the configuration on; the due times of all would take too long."""
    shown = cache(format_instant)
    return [_periodic_shown(entry, shown) for entry in islice(state.periodic.entries.values(), first, first + limit)]


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
