"""Views: what the engine shows of itself to those who look. They read and change nothing.

Whoever shows pages holds no part of the state: he asks for a slice, gets records, and a cursor for what follows. What
is true of every call: it reads at most `limit` rows and a few megabytes, wherever in ten million jobs it begins; a row
that cannot be read is left out and counted, and who works with it next sets it aside.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from heapq import nlargest, nsmallest
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from lineshaft.engine import keys
from lineshaft.engine.admin.control import queue_latency
from lineshaft.engine.admin.mutate import describe
from lineshaft.engine.features.batching import batch_view, batches_page, count_batches
from lineshaft.engine.features.tracks import track_get
from lineshaft.engine.ready import Queue
from lineshaft.engine.records import NoteRecord
from lineshaft.engine.search.filter import EVERYTHING, Filter
from lineshaft.engine.search.scan import Sought
from lineshaft.engine.state import State
from lineshaft.engine.stats.groups import OTHERS, hours_until
from lineshaft.engine.stats.history import find_finished, page
from lineshaft.engine.timed import SetName
from lineshaft.engine.views import jobs, lanes, workers
from lineshaft.engine.views.figures import Overview, overview
from lineshaft.engine.views.jobs import JobView, Slice
from lineshaft.engine.views.lanes import LanesView, LaneView
from lineshaft.engine.views.periodic import cron_page
from lineshaft.engine.views.workers import HeldView, WorkerView
from lineshaft.lifecycle import WorkerState

__all__ = [
    "ChoreView",
    "GroupView",
    "HeldView",
    "JobView",
    "LaneView",
    "LanesView",
    "Overview",
    "QueueView",
    "Slice",
    "Views",
    "WorkerView",
]

#: A page of queues; each costs a look at its oldest job.
MOST_QUEUES: Final = 200

#: So much of the damaged rows is read to count them.
ASIDE_BYTES: Final = 4 << 20


class QueueView(Struct, frozen=True):
    """A queue's figures and switches."""

    name: str
    size: int
    paused: bool
    latency_seconds: float
    pushed: int
    processed: int
    failed: int
    max_jobs: int | None
    created_at: int


class GroupView(Struct, frozen=True):
    """Jobs of a set that failed in the same way."""

    group: str  #: as a Filter names it; empty for all that are in no group of their own
    errtype: str
    jobtype: str
    shape: str
    count: int
    first_at: int
    last_at: int
    hours: list[int]  #: how many came in each hour of the last day, this one the last


class ChoreView(Struct, frozen=True):
    """Long work in progress."""

    number: int
    what: str
    done: int


class Views:
    """Everything that can be looked at, as it is in this turn."""

    def __init__(self, state: State) -> None:
        self._state = state

    def overview(self) -> Overview:
        """The figures of the whole server."""
        return overview(self._state)

    def counts(self, first: Iterable[str], most: int) -> dict[str, tuple[int, int]]:
        """Size and processed of at most so many queues: those that are named, and then the longest."""
        queues = self._state.queues
        chosen = {name: queue for name in first if (queue := queues.by_name.get(name)) is not None}
        if len(chosen) < most:
            chosen |= {queue.name: queue for queue in nlargest(most, queues, key=lambda queue: queue.size)}
        return {name: (queue.size, queue.processed) for name, queue in islice(chosen.items(), most)}

    def days(self, limit: int) -> list[tuple[str, int, int]]:
        """The last days, the newest first: day, processed, failed. Raises StoreError."""
        return self._state.days(limit)

    def notes(self, since: int) -> list[tuple[int, NoteRecord]]:
        """The figures of once a minute from an instant on, the oldest first (see `notes`). Raises StoreError."""
        return self._state.notes.since(since, self._state.now)

    # Queues

    def queue(self, name: str) -> QueueView | None:
        """One queue; None when there is none of that name. Raises StoreError."""
        queue = self._state.queues.by_name.get(name)
        return None if queue is None else self._queue(queue)

    def queues(self, *, after: str = "", limit: int = 50) -> tuple[list[QueueView], bool]:
        """Queues in the order of their names, from behind `after` on, and whether there are more. Raises StoreError."""
        limit = min(limit, MOST_QUEUES)
        names = nsmallest(limit + 1, (name for name in self._state.queues.by_name if name > after))
        views = [self._queue(self._state.queues.by_name[name]) for name in names[:limit]]
        return views, len(names) > limit

    def queue_sizes(self, text: str = "") -> list[tuple[str, int]]:
        """Names and sizes of all queues with a text in their names, whatever its case; in no order."""
        sought = text.casefold()
        return [(queue.name, queue.size) for queue in self._state.queues if sought in queue.name.casefold()]

    def foremost_queues(self, limit: int) -> list[QueueView]:
        """The queues that say most about the server: those that are paused, then the longest. Raises StoreError."""
        queues = nlargest(limit, self._state.queues, key=lambda queue: (queue.paused, queue.size))
        return [self._queue(queue) for queue in queues]

    def lanes(self, name: str, *, after: str = "", limit: int = 50) -> LanesView | None:
        """Some lanes of a queue, shorter names first; None for a queue without. Raises StoreError."""
        return lanes.lanes(self._state, name, after, limit)

    def queue_names(self, limit: int) -> list[str]:
        """Some names of queues, in order, for a list to choose from."""
        return nsmallest(limit, self._state.queues.by_name)

    def _queue(self, queue: Queue) -> QueueView:
        return QueueView(
            name=queue.name,
            size=queue.size,
            paused=queue.paused,
            latency_seconds=queue_latency(self._state, queue.name),
            pushed=queue.pushed,
            processed=queue.processed,
            failed=queue.failed,
            max_jobs=queue.max_jobs,
            created_at=queue.created_at,
        )

    # Jobs

    def enqueued(self, name: str, *, cursor: str = "", limit: int = 50, filter: Filter = EVERYTHING) -> Slice:
        """Jobs that wait in a queue, the next to run first. Raises Refusal for a bad cursor, StoreError."""
        return jobs.enqueued(self._state, name, cursor, limit, filter)

    def timed(
        self, name: SetName, *, cursor: str = "", limit: int = 50, filter: Filter = EVERYTHING, newest: bool = False
    ) -> Slice:
        """Jobs of a timed set, the earliest first, or the latest. Raises Refusal for a bad cursor, StoreError."""
        return jobs.timed(self._state, name, cursor, limit, filter, newest=newest)

    def sought_in_queue(self, name: str, *, cursor: str, limit: int, filter: Filter) -> Sought:
        """What a process apart is to look for, to go on where `enqueued` stopped. Raises Refusal for a bad cursor."""
        return jobs.sought_in_queue(self._state, name, cursor, limit, filter)

    def sought_in_set(self, name: SetName, *, cursor: str, limit: int, filter: Filter, newest: bool) -> Sought:
        """What a process apart is to look for, to go on where `timed` stopped. Raises Refusal for a bad cursor."""
        return jobs.sought_in_set(self._state, name, cursor, limit, filter, newest=newest)

    def confirm(self, found: list[bytes], filter: Filter) -> list[JobView]:
        """Those of the jobs that it found that are still there, and match. Raises StoreError."""
        return jobs.confirm(self._state, found, filter)

    def find(self, jid: str) -> list[JobView]:
        """The live jobs with a jid, wherever they are, the oldest first. Raises StoreError."""
        return jobs.find(self._state, jid)

    def find_at(self, name: SetName, due: int, jid: str) -> JobView | None:
        """The job of a timed set with this jid, that of this instant if there are several. Raises StoreError."""
        return jobs.find_at(self._state, name, due, jid)

    def track(self, jid: str) -> dict[str, Any]:
        """What TRACK GET gives. Raises StoreError."""
        return track_get(self._state, jid)

    def finished(self, jid: str) -> list[dict[str, Any]]:
        """The finished jobs with a jid, the newest first. Raises StoreError."""
        return find_finished(self._state, jid)

    def history(self, *, cursor: str = "", limit: int = 50) -> tuple[list[dict[str, Any]], str, int]:
        """Finished jobs, the newest first, the next page's cursor, and how many rows there cannot be read.

        Raises Refusal, StoreError.
        """
        return page(self._state, cursor, limit)

    def groups(self, name: SetName, limit: int = 20) -> tuple[list[GroupView], int]:
        """What went wrong with the jobs of a set, the most frequent first; and how many groups there are."""
        state = self._state
        code = state.sets[name].code
        found = [(record.count, key) for key, record in state.groups.by_key.items() if key[1:2] == code]
        return [self._group(key) for _, key in nlargest(limit, found)], len(found)

    def _group(self, key: bytes) -> GroupView:
        record = self._state.groups.by_key[key]
        digest = "" if key[2:] == OTHERS else key[2:].hex()
        return GroupView(
            digest,
            record.errtype,
            record.jobtype,
            record.shape,
            record.count,
            record.first_at,
            record.last_at,
            hours_until(record, self._state.now),
        )

    def outcomes(self, names: Iterable[str], limit: int) -> list[tuple[str, str, str, int]]:
        """Queue, job type, outcome and count of what became of jobs in these queues since the start; some of it."""
        by_name = self._state.queues.by_name
        found = (
            (name, *counted)
            for name in names
            if (queue := by_name.get(name)) is not None
            for counted in queue.outcomes.all()
        )
        return list(islice(found, limit))

    # Workers

    def workers(self, *, limit: int = 100, first: int = 0, wid: str = "") -> list[WorkerView]:
        """The connected worker processes, the longest silent first, from that place on; or the one of a wid."""
        return workers.workers(self._state, limit, first, wid)

    def worker_states(self) -> dict[WorkerState, int]:
        """How many worker processes are in each state."""
        return Counter(worker.state for worker in self._state.workers.present.values())

    def held(self, *, after: int = 0, limit: int = 50, holder: str = "") -> tuple[list[HeldView], int]:
        """Jobs in workers' hands, the longest held first, and where the next page begins, 0 at the end.

        Raises StoreError.
        """
        return workers.held(self._state, after, limit, holder)

    # Batches and periodic jobs

    def batches(self, *, cursor: str = "", limit: int = 50) -> tuple[list[dict[str, Any]], str, list[str]]:
        """Batches, the newest first, the next page's cursor, empty at the end, and the bids of damaged ones.

        Raises StoreError.
        """
        return batches_page(self._state, cursor, limit)

    def batch_count(self, most: int) -> int:
        """How many batches there are, counted no further than `most`. Raises StoreError."""
        return count_batches(self._state, most)

    def batch(self, bid: str) -> dict[str, Any]:
        """One batch, as `batches` gives it. Raises Refusal for one that is not known, StoreError."""
        return batch_view(self._state, bid)

    def periodic(self, *, first: int = 0, limit: int = 50) -> tuple[list[dict[str, Any]], int]:
        """Periodic jobs in the order of the configuration, from that place on; and how many there are in all."""
        return cron_page(self._state, first, limit), len(self._state.periodic.entries)

    def throttles(self) -> Iterator[dict[str, Any]]:
        """The throttled queues by name: their limits, and what is taken of them."""
        return self._state.throttles.views(self._state.now)

    # Damage

    def set_aside(self, most: int) -> tuple[int, bool]:
        """How many damaged rows were set aside, and whether there are more: counted up to `most`, or some MB of them.

        Raises StoreError.
        """
        scan = self._state.turn.scan
        start, end = keys.prefix_range(keys.aside_key(b""))
        rows = scan(start, end, limit=most, limit_bytes=ASIDE_BYTES)
        return len(rows), bool(rows and scan(keys.after(rows[-1][0]), end, limit=1))

    # Long work

    def ended(self, number: int) -> tuple[bool, int | None]:
        """Whether some long work has ended, and how many jobs it dealt with, where that is still known."""
        chores = self._state.chores
        return number not in chores.active, chores.ended.get(number)

    def chores(self, limit: int = 20) -> list[ChoreView]:
        """Long work in progress."""
        active = islice(self._state.chores.active.items(), limit)
        return [ChoreView(number, describe(record), record.done) for number, record in active]
