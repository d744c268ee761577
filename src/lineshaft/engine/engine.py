"""The engine: every verb as one method, and time as one more.

```
advance(now) ── verbs ... ── settle() ── commit() ─> durable when the store is synced
                tick()  does what is due and says when to come back
```

It is synchronous and deterministic: the same store, settings, instants and chances give the same bytes. It never
waits, reads no clock, and knows nothing of connections but the name of who holds a job. Each verb is one
transition: it happens whole, or raises and has changed nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MethodType
from typing import Any

from lineshaft.engine import finish
from lineshaft.engine.admin import control
from lineshaft.engine.admin.adopt import Adopted, Arrival, adopt
from lineshaft.engine.admin.mutate import begin_mutate, mutate_found, sought_by
from lineshaft.engine.admin.reschedule import reschedule
from lineshaft.engine.admin.stop import cancel
from lineshaft.engine.agenda.agenda import deadline, is_due_before, tick
from lineshaft.engine.agenda.run import run_now
from lineshaft.engine.damage import set_aside
from lineshaft.engine.features.batches import load_batches
from lineshaft.engine.features.batching import Wanted, batch_commit, batch_new, batch_open, batch_status
from lineshaft.engine.features.features import LISTENING
from lineshaft.engine.features.tracks import track_get, track_set
from lineshaft.engine.fetch import fetch
from lineshaft.engine.hooks import Hooks, fetch_hooked, push_bulk_hooked, push_hooked
from lineshaft.engine.leases import NEVER
from lineshaft.engine.periodic import SkippedRun
from lineshaft.engine.push import accept, push, push_bulk
from lineshaft.engine.reconcile import reconcile, still_unheld
from lineshaft.engine.retry import Report
from lineshaft.engine.search.filter import Filter
from lineshaft.engine.search.scan import Sought
from lineshaft.engine.settings import Settings
from lineshaft.engine.state import State
from lineshaft.engine.stats.notes import take_note
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.figures import figures
from lineshaft.engine.views.periodic import cron_list, cron_upcoming
from lineshaft.engine.views.views import Views
from lineshaft.engine.weights import Weighted
from lineshaft.engine.workers import Worker
from lineshaft.errors import Refusal
from lineshaft.job import Job
from lineshaft.lifecycle import WorkerState
from lineshaft.store.port import Store

__all__ = ["NEVER", "Engine"]


class Engine:
    """The whole of the rules over one store."""

    #: PUSH: accept a job. Raises Refusal.
    push: Callable[[Job], None]
    #: PUSHB: accept many jobs; returns jid to error text for those that were refused.
    push_bulk: Callable[[list[Job]], dict[str, str]]
    #: FETCH: lease the next job of the first named queue that has one; queues, holder. Raises StoreError.
    fetch: Callable[[Iterable[str], str], bytes | None]
    #: ACK: the job is done; jid, holder. False when there is no such lease.
    ack: Callable[[str, str], bool]
    #: Whether this turn brought something for `tick` to do before an instant; cheaper than `deadline`.
    is_due_before: Callable[[int], bool]

    def __init__(
        self, store: Store, settings: Settings, chance: Callable[[], float], now: int, hooks: Hooks | None = None
    ) -> None:
        self.hooks = hooks
        state = State(store, settings, chance, now)
        state.load()
        load_batches(state)
        self._bind(state)

    def _bind(self, state: State) -> None:
        """Work on this state. The verbs of the hot path are bound to it directly, without a method in between.

        Bound as methods are: the interpreter goes on into such a function, while a `partial` makes it begin anew.
        """
        self.state = state
        state.features, state.hooks = LISTENING, self.hooks
        hooks = self.hooks or Hooks()
        self.push = MethodType(push if state.settings.refuse_duplicate_jids else accept, state)
        self.push_bulk = MethodType(push_bulk, state)
        self.fetch = MethodType(fetch, state)
        self.ack = MethodType(finish.ack_in_full if state.settings.history_keep or hooks.ack else finish.ack, state)
        self.is_due_before = MethodType(is_due_before, state)
        if hooks.fetch:
            self.fetch = partial(fetch_hooked, state, hooks)
        if hooks.push:
            self.push = partial(push_hooked, state, hooks)
            self.push_bulk = partial(push_bulk_hooked, state, hooks)

    # Turns

    def advance(self, now: int) -> None:
        """Let it be `now`, in milliseconds; the first thing in every turn."""
        self.state.advance(now)

    def apply(self, settings: Settings) -> None:
        """Take other settings into effect; whether there is a jid index stays as it was at the start."""
        self.state.apply(settings)
        self._bind(self.state)

    def commit(self) -> bool:
        """End the turn with one commit; False when there was nothing to write. Raises StoreBusy, StoreError."""
        state = self.state
        turn = state.turn
        if turn.damaged:
            set_aside(state)
        state.settle()
        if not turn.changes and not turn.cleared:
            return False
        turn.commit()
        return True

    def reload(self, store: Store, now: int | None = None) -> None:
        """Throw the memory away and begin again from `store`, after a commit or a sync failed.

        `now` is the present where this engine had nothing to do for long, and this is a start; else time goes on from
        its last turn, and what was granted since the start may be on its way to its worker.

        Who is connected is not forgotten, nor what an operator or a reload of the configuration has set.
        Raises StoreError; the engine is then as unusable as before.
        """
        before = self.state
        state = State(store, before.settings, before.chance, before.now if now is None else now)
        state.workers.present = before.workers.present
        state.workers.expelled = before.workers.expelled
        state.push_refusal = before.push_refusal
        state.periodic.up_since = before.periodic.up_since
        state.load()
        load_batches(state)
        if now is None:
            state.leases.inherit(before.leases.first_group)
            state.unheld = still_unheld(state, before)
        # Whoever waits for a chore that was begun in a turn that is lost is told that it ended.
        state.chores.finished = [n for n in before.chores.active if n not in state.chores.active]
        self._bind(state)

    # Jobs

    def fail(self, jid: str, holder: str, report: Report) -> None:
        """FAIL: the job failed. Raises Refusal when `holder` has no such job."""
        finish.fail(self.state, jid, holder, report)

    def ack_with_result(self, jid: str, holder: str, result: bytes) -> bool:
        """ACK with a result, which is JSON. False when there is no such lease."""
        return finish.ack_in_full(self.state, jid, holder, result)

    def track_get(self, jid: str) -> dict[str, Any]:
        """TRACK GET: what is known of a job. Raises StoreError."""
        return track_get(self.state, jid)

    def track_set(
        self, jid: str, holder: str, *, percent: int | None, desc: str | None, reserve_until: int | None
    ) -> None:
        """TRACK SET: how far a job is, and until when its worker wants to hold it. Raises StoreError."""
        track_set(self.state, jid, holder, percent=percent, desc=desc, reserve_until=reserve_until)

    def batch_new(self, wanted: Wanted) -> str:
        """BATCH NEW: returns the bid. Raises Refusal, StoreError."""
        return batch_new(self.state, wanted)

    def batch_open(self, bid: str) -> None:
        """BATCH OPEN. Raises Refusal for a batch that is not known, StoreError."""
        batch_open(self.state, bid)

    def batch_commit(self, bid: str) -> None:
        """BATCH COMMIT. Raises Refusal for a batch that is not known, StoreError."""
        batch_commit(self.state, bid)

    def batch_status(self, bid: str) -> dict[str, Any]:
        """BATCH STATUS. Raises Refusal for a batch that is not known, StoreError."""
        return batch_status(self.state, bid)

    def requeue(self, jid: str, holder: str, wait: int | None) -> None:
        """REQUEUE: a worker gives a job back; `wait` in milliseconds, None for at once. Raises Refusal."""
        finish.requeue(self.state, jid, holder, wait)

    def cancel(self, jid: str) -> None:
        """CANCEL: remove the job, or flag it when a worker holds it. Raises Refusal, StoreError."""
        cancel(self.state, jid)

    def cancelled(self, holder: str) -> list[str]:
        """Some jids of jobs that this worker holds and is to stop."""
        return self.state.cancels.of(holder)

    def weigh(self, weights: Mapping[str, int]) -> Iterable[str]:
        """What `fetch` can be given to try queues in a random order, the heavier ones sooner."""
        return Weighted(weights, lambda: self.state)

    def give_back(self, jid: str, holder: str) -> None:
        """A fetched job never reached its worker: back to the head of its queue."""
        finish.give_back(self.state, jid, holder)

    def adopt(self, arrivals: dict[int, Arrival]) -> Adopted:
        """ADOPT: take jobs in that come from another server. Raises Refusal, StoreError."""
        return adopt(self.state, arrivals)

    def mutate(
        self,
        command: str,
        target: str,
        *,
        jids: list[str] | None = None,
        jobtype: str | None = None,
        regexp: str | None = None,
        chosen: Filter | None = None,
    ) -> int | None:
        """MUTATE: returns a chore's number while the work goes on, None when it is through. Raises Refusal."""
        return begin_mutate(self.state, command, target, jids=jids, jobtype=jobtype, regexp=regexp, chosen=chosen)

    def feed(self) -> int | None:
        """A chore that a process apart can look for, from now on left to it; None when there is none."""
        chores = self.state.chores
        for number, record in chores.active.items():
            if number not in chores.fed and sought_by(record) is not None:
                chores.fed.add(number)
                return number
        return None

    def sought_by(self, number: int) -> Sought | None:
        """What is to be looked for next for a chore that is fed; None when it is through."""
        record = self.state.chores.active.get(number)
        return sought_by(record) if record is not None and number in self.state.chores.fed else None

    def mutate_found(self, number: int, found: list[bytes], cursor: bytes) -> None:
        """The next slice of a chore that is fed. Raises StoreError."""
        mutate_found(self.state, number, found, cursor)

    def let_go(self, number: int) -> None:
        """A chore is fed no more: what is left of it is done by `tick`."""
        self.state.chores.fed.discard(number)

    def reschedule(self, name: SetName, jid: str, at: int) -> None:
        """Let the waiting jobs of a timed set with this jid run at another instant. Raises Refusal, StoreError."""
        reschedule(self.state, name, jid, at)

    # Queues

    def pause(self, names: list[str]) -> None:
        """QUEUE PAUSE. Raises Refusal."""
        control.pause(self.state, names)

    def resume(self, names: list[str]) -> None:
        """QUEUE RESUME. Raises Refusal."""
        control.resume(self.state, names)

    def remove(self, names: list[str]) -> None:
        """QUEUE REMOVE. Raises Refusal."""
        control.remove(self.state, names)

    def latency(self, names: list[str]) -> dict[str, float]:
        """QUEUE LATENCY: seconds by queue. Raises Refusal."""
        return control.latency(self.state, names)

    def is_blocked(self, names: list[str]) -> bool:
        """Whether a FETCH of these queues can only wait, since all of them are paused."""
        by_name = self.state.queues.by_name
        return all((queue := by_name.get(name)) is not None and queue.paused for name in names)

    def flush(self) -> None:
        """FLUSH: all job data is gone."""
        control.flush(self.state)

    def want(self, name: str, *, wanted: bool) -> None:
        """Say whether somebody waits for a job of a queue; `take_arrivals` then names it when one comes."""
        queue = self.state.queues.by_name.get(name)
        if queue is not None:
            queue.wanted = wanted
            if wanted and queue.gate is not None:
                self.state.throttles.watch(queue.gate, queue, self.state.now)

    def take_arrivals(self) -> list[str]:
        """The queues in which a job has become available since the last call."""
        arrivals, self.state.arrivals = self.state.arrivals, []
        return arrivals

    def holds_back(self, name: str, holder: str) -> bool:
        """Whether it is this holder's own limit that keeps it from a queue; others may find a job there."""
        queue = self.state.queues.by_name.get(name)
        return queue is not None and queue.gate is not None and queue.gate.holds_back(holder)

    def take_eased(self) -> list[tuple[str, str | None]]:
        """Queues and holders that were held back and may not be any more; None is every holder."""
        eased, self.state.throttles.eased = self.state.throttles.eased, []
        return eased

    # Periodic jobs

    def cron_list(self) -> list[dict[str, Any]]:
        """CRON LIST: every periodic job: what it is, when it ran last and runs next."""
        return cron_list(self.state)

    def cron_upcoming(self, name: str, count: int = 5) -> list[str]:
        """The next due times of a periodic job, as if it were not paused. Raises Refusal."""
        return cron_upcoming(self.state, name, count)

    def cron_run(self, name: str) -> str:
        """CRON RUN: push its job now, whatever the schedule says; returns the jid. Raises Refusal."""
        return run_now(self.state, self.push, name)

    def cron_pause(self, name: str) -> None:
        """CRON PAUSE: let its due times pass. Raises Refusal."""
        self.state.periodic.pause(name)

    def cron_resume(self, name: str) -> None:
        """CRON RESUME: let it run again, from now on. Raises Refusal."""
        self.state.periodic.resume(name, self.state.now)

    # Workers

    def connect(self, wid: str, hostname: str, pid: int, labels: tuple[str, ...]) -> Worker:
        """A worker's connection opened. Raises Refusal when too many workers are known."""
        return self.state.workers.connect(wid, hostname, pid, labels, self.state.now)

    def disconnect(self, worker: Worker) -> None:
        """A worker's connection closed."""
        self.state.workers.disconnect(worker, self.state.now)

    def beat(self, wid: str, rss_kb: int, state: WorkerState | None) -> WorkerState:
        """BEAT: returns the state that the worker is to be in. Raises Refusal for a wid that is not connected."""
        worker = self.state.workers.present.get(wid)
        if worker is None:
            raise Refusal(f"unknown worker {wid[:200]}")
        self.state.workers.beat(worker, rss_kb, state, self.state.now)
        return worker.state

    def reconcile(self, wid: str, holding: Iterable[str]) -> None:
        """A worker names all jobs that it has: others that it held at the start go back. Raises StoreError."""
        reconcile(self.state, wid, holding)

    def signal(self, wid: str, state: WorkerState) -> None:
        """Tell a worker, with its next BEAT, to go quiet or to terminate; `all` means every one."""
        for worker in self.state.workers.present.values():
            if wid in ("all", worker.wid):
                worker.state = max(worker.state, state)

    def take_expelled(self) -> list[str]:
        """The wids whose connections are to be closed, since they fell silent."""
        workers = self.state.workers
        expelled, workers.expelled = workers.expelled, []
        return expelled

    # Time

    def shift(self, milliseconds: int) -> None:
        """The clock was set by this much, which is no time that passed; before `advance`."""
        self.state.workers.shift(milliseconds)
        self.state.throttles.shift(milliseconds)

    def tick(self) -> int:
        """Do a slice of what is due now; returns the instant of the next call, now itself when there is more.

        Raises StoreError.
        """
        return tick(self.state, self.push)

    def deadline(self) -> int:
        """When `tick` has something to do, as far as is known; it may be early, never late."""
        return deadline(self.state)

    def take_note(self) -> bool:
        """Note the figures of the whole server, once a minute; False when this minute has its note."""
        return take_note(self.state)

    def take_set_aside(self) -> list[bytes]:
        """The keys of the damaged rows that were set aside since the last call."""
        taken, self.state.set_aside = self.state.set_aside, []
        return taken

    def take_finished(self) -> list[int]:
        """The chores that ended since the last call."""
        finished, self.state.chores.finished = self.state.chores.finished, []
        return finished

    def take_skipped_runs(self) -> list[SkippedRun]:
        """The runs of periodic jobs whose push was refused since the last call."""
        skipped, self.state.periodic.skipped = self.state.periodic.skipped, []
        return skipped

    def take_unknown_batches(self) -> list[tuple[str, str]]:
        """The jobs that named a batch which is not known since the last call, and its bid."""
        taken, self.state.unknown_batches = self.state.unknown_batches, []
        return taken

    # Views

    @property
    def views(self) -> Views:
        """Everything that can be looked at, as it is now; to be asked for anew in every turn."""
        return Views(self.state)

    def figures(self) -> dict[str, Any]:
        """The `faktory` part of INFO."""
        return figures(self.state)
