"""The worker: pullers that fetch, run and report, a heartbeat beside them, and an end in order.

```
            ┌──────────── ACK of the last job and FETCH of the next, in one packet ────────────┐
            ▼                                                                                  │
  running ──FETCH──> a job ──a free slot──> Executor ──outcome──> ACK, FAIL, REQUEUE ──────────┘
  quiet     no FETCH any more; what runs goes on          (SIGTSTP, or the server's BEAT says so)
  terminate the same, and the end when nothing runs       (SIGTERM, SIGINT, or BEAT)
```

There is a puller for each job that may run, and for each that may be prefetched. What is true of each puller: it
holds one job at most, and fetches the next only in, or after, the packet that reports the last. Pullers that have
something to say at the same time share a packet (`worker.exchange`), if the server is ours; no report ever waits
behind a FETCH.

When the time to stop has passed, jobs that still run are interrupted and given back, so that another worker has them at
once and no try is burned; a server without REQUEUE is told that they failed. A worker that is killed instead reports
nothing: the server notices, and gives its jobs to others. After a break the server is told which jobs are held here
(`worker.scout`).
"""

import asyncio
import logging
import random
import secrets
import ssl
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from lineshaft.client.aio import AsyncClient
from lineshaft.client.commands import Heard
from lineshaft.errors import LineshaftError, UsageError
from lineshaft.lifecycle import WorkerState
from lineshaft.worker.exchange import Exchange
from lineshaft.worker.execute import Executor
from lineshaft.worker.jobs import Jobs, merged
from lineshaft.worker.logs import log_outcome
from lineshaft.worker.memory import resident_kb
from lineshaft.worker.middleware import Middleware
from lineshaft.worker.outcome import Failed, GivenBack, Outcome, report_any
from lineshaft.worker.queues import Queues
from lineshaft.worker.replies import (
    check_replies,
    fail_instead,
    fail_unreadable,
    is_lasting,
    is_lineshaft,
    is_unknown,
    jid_in,
    payload_of,
)
from lineshaft.worker.running import Fetched, RunningJob
from lineshaft.worker.scout import Scout
from lineshaft.worker.telling import Teller

__all__ = ["Worker"]

log = logging.getLogger("lineshaft.worker")

#: A server that does not answer, or is away, is tried again after about as long.
PAUSE_SECONDS: Final = 1.0

#: A FETCH that does not have to wait is answered within this.
ANSWER_SECONDS: Final = 0.2

#: Jobs that were interrupted at the end have as long to notice.
LAST_SECONDS: Final = 3.0

#: Why jobs are interrupted.
_STOPPED: Final = "the worker stops"
_CANCELLED: Final = "cancelled"

_decode_fetched: Final = msgspec.json.Decoder(Fetched).decode


class Worker:
    """Runs the functions of `jobs`, at most `concurrency` at a time.

    `queues` as in `worker.queues`: strictly in order, or by weight. `prefetch` is how many jobs are fetched ahead:
    worth it when jobs are short and the server is far. `stop_seconds` is how long running jobs have at the end.
    `middleware` stands around every job, the first outermost. What else there is, is as for a client.
    """

    def __init__(
        self,
        *jobs: Jobs,
        queues: Sequence[str] = ("default",),
        concurrency: int = 10,
        prefetch: int = 0,
        middleware: Sequence[Middleware] = (),
        stop_seconds: float = 25,
        beat_seconds: float = 10,
        wid: str | None = None,
        labels: Sequence[str] | None = None,
        url: str | None = None,
        environment: Mapping[str, str] | None = None,
        timeout_seconds: float = 10,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        if concurrency < 1 or prefetch < 0:
            raise UsageError("concurrency is 1 or more, prefetch 0 or more")
        # What it does.
        self.functions = merged(jobs)
        self.queues = Queues(queues)
        self.concurrency = concurrency
        self.wid = wid or secrets.token_hex(8)
        self._prefetch = prefetch
        self._middleware = middleware
        self._stop_seconds = stop_seconds
        self._beat_seconds = beat_seconds
        self.client = AsyncClient(
            url,
            environment=environment,
            timeout_seconds=timeout_seconds,
            wid=self.wid,
            labels=labels,
            features=["cancel"],
            ssl_context=ssl_context,
        )
        # What it is doing.
        self.state = WorkerState.RUNNING
        self.running: set[RunningJob] = set()
        #: The jids of those that could not be stopped, after the end.
        self.left_behind: list[str] = []
        #: What each puller has to report.
        self._outstanding: list[list[bytes]] = []
        self._fetching: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._moved = asyncio.Event()
        #: Set unless the scout is looking for the way to the server.
        self._way = asyncio.Event()
        self._way.set()
        #: What the server says of itself, once it has been asked: whether it is one of ours.
        self._is_lineshaft = False
        self._is_away = False
        self._failure: BaseException | None = None

    # From outside

    def quiet(self) -> None:
        """Fetch no more; what runs goes on. There is no way back."""
        self._move(WorkerState.QUIET)

    def stop(self) -> None:
        """End: fetch no more, and finish what runs. A second call does not wait for it."""
        if self.state is WorkerState.TERMINATE:
            self._stop_seconds = 0
        self._move(WorkerState.TERMINATE)
        self._stopping.set()

    def _move(self, state: WorkerState) -> None:
        if state > self.state:
            log.info("worker %s: %s", self.wid, "stopping" if state is WorkerState.TERMINATE else state.word)
            self.state = state
            self._moved.set()
            self._way.set()

    async def serve(self) -> None:
        """Work until it is stopped. A cancellation ends it at once, and leaves its jobs to the server.

        Raises Refusal or UsageError when the server wants another password; one that is away is waited for.
        """
        for function in self.functions.values():
            function.arguments.prepare()
        self._executor = Executor(self.functions, self._middleware, self.concurrency + self._prefetch)
        self._slots = asyncio.Semaphore(self.concurrency)
        self._teller = Teller(self.client)
        self._server = Exchange(self.client._talker)
        self._scout = Scout(self._server, self.client._talker, self._way, held=self._held, hear=self._hear)
        beating = asyncio.create_task(self._beat())
        pullers = [asyncio.create_task(self._pull()) for _ in range(self.concurrency + self._prefetch)]
        for puller in pullers:
            puller.add_done_callback(self._puller_ended)
        try:
            await self._stopping.wait()
            await self._finish(pullers)
            await self._teller.finish()
            if self._failure is not None:
                raise self._failure
        finally:
            for task in (beating, *pullers):
                task.cancel()
            await asyncio.gather(beating, *pullers, return_exceptions=True)
            self._executor.close()
            await self._server.close()
            await self._scout.close()
            self.client.close()
            # The loop says good-bye in its next turn.
            await asyncio.sleep(0)

    def _puller_ended(self, puller: "asyncio.Task[None]") -> None:
        """A puller that fails would go missing without a word: so the worker ends, and says why."""
        if not puller.cancelled() and (failure := puller.exception()) is not None:
            self._failure = failure
            self.stop()

    async def _finish(self, pullers: "list[asyncio.Task[None]]") -> None:
        """Wait for what runs, interrupt what takes too long, and give up on what cannot be interrupted."""
        end = time.monotonic() + self._stop_seconds
        if self._is_lineshaft and self._fetching:
            # A FETCH that finds something has found it by then. Those that wait can be cut off, since a job whose
            # reply finds nobody goes back to its queue. Other servers' are waited for: two seconds at most.
            await asyncio.wait(pullers, timeout=ANSWER_SECONDS)
            for task in list(self._fetching):
                task.cancel()
        while (left := min(end - time.monotonic(), self._stop_seconds)) > 0:
            _, waiting = await asyncio.wait(pullers, timeout=min(left, 0.1))
            if not waiting:
                return
        for job in list(self.running):
            job.interrupt(_STOPPED)
        await asyncio.wait(pullers, timeout=LAST_SECONDS)
        self.left_behind = [job.jid for job in self.running]
        if self.left_behind:
            log.error("still running, and left behind: %s", ", ".join(self.left_behind))

    # The pullers

    async def _pull(self) -> None:
        """Fetch, run, report, until there is nothing to report and nothing is to be fetched."""
        reports: list[bytes] = []
        self._outstanding.append(reports)
        while (fetching := self.state is WorkerState.RUNNING) or reports:
            try:
                payload = await self._exchange(reports, fetching)
            except (LineshaftError, OSError) as failure:
                if is_lasting(failure):
                    raise
                await self._pause(failure)
                continue
            if payload is not None:
                reports += await self._work(payload)

    async def _exchange(self, reports: list[bytes], fetching: bool) -> bytes | None:
        """Report and fetch, in one packet if that can be; returns the job that came. Clears what was reported."""
        if reports and not (fetching and len(reports) == 1 and reports[0].startswith(b"ACK ")):
            # What does harm when it is repeated is not sent with a FETCH, which may be cut off while it waits.
            await self._settle(reports)
        if not fetching:
            return None
        task = asyncio.current_task()
        assert task is not None
        self._fetching.add(task)
        try:
            command = self.queues.fetch_command(knows_weights=self._is_lineshaft)
            replies = await self._server.ask(reports, command, alone=not self._is_lineshaft)
        except asyncio.CancelledError:
            if self.state is not WorkerState.TERMINATE:
                raise
            # It is to stop. What is reported here and now is reported again, without a FETCH.
            task.uncancel()
            return None
        finally:
            self._fetching.discard(task)
        self._note_reached()
        check_replies(reports, replies)
        reports.clear()
        return payload_of(replies[-1])

    async def _settle(self, reports: list[bytes]) -> None:
        if not reports:
            return
        replies = await self._server.ask(reports)
        self._note_reached()
        check_replies(reports, replies)
        refused = [one for one, reply in zip(reports, replies, strict=True) if is_unknown(one, reply)]
        reports.clear()
        if refused:
            await self._server.ask([fail_instead(one) for one in refused])

    async def _pause(self, failure: Exception) -> None:
        """The server is away, or cannot do its work at the moment: say so once, and wait a little."""
        if not self._is_away:
            self._is_away = True
            log.warning("the server does not answer, trying on: %s", failure or type(failure).__name__)
        await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1))
        if self.state is WorkerState.RUNNING:
            await self._way.wait()

    def _note_reached(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("the server answers again")

    def _held(self) -> list[str]:
        """The jobs that run here or wait to, and those whose end the server has not confirmed."""
        reported = {jid_in(reports[0]) for reports in self._outstanding if reports}
        return sorted(reported | {job.jid for job in self.running})

    # One job

    async def _work(self, payload: bytes) -> list[bytes]:
        """Run a job; returns the commands that report how it ended."""
        try:
            fetched = _decode_fetched(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return fail_unreadable(payload, error)
        job = RunningJob(fetched, self._teller.tell)
        self.running.add(job)
        try:
            async with self._slots:
                outcome = await self._run(job)
        finally:
            self.running.discard(job)
        keep_result = self._executor.keeps_result(job.jobtype)
        return report_any(job.jid, job.jobtype, outcome, keep_result=keep_result, is_last_try=job.is_last_attempt)

    async def _run(self, job: RunningJob) -> Outcome:
        if self.state is WorkerState.TERMINATE and self._is_lineshaft:
            return GivenBack()
        started = time.monotonic()
        outcome = await self._executor.run(job)
        if job.interrupted == _STOPPED and isinstance(outcome, Failed):
            outcome = GivenBack()
        log_outcome(job, outcome, time.monotonic() - started)
        return outcome

    # The heartbeat

    async def _beat(self) -> None:
        """Say that the worker lives, and hear what it is to do."""
        while True:
            self._moved.clear()
            try:
                if not self._is_lineshaft:
                    self._is_lineshaft = is_lineshaft(await self.client.command(b"INFO", again=True))
                state = None if self.state is WorkerState.RUNNING else self.state.word
                self._hear(await self.client.beat(rss_kb=resident_kb(), current_state=state))
            except (LineshaftError, OSError) as failure:
                log.debug("no heartbeat: %s", failure)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_seconds):
                    await self._moved.wait()

    def _hear(self, heard: Heard) -> None:
        if heard.state == "terminate" and self.state is not WorkerState.TERMINATE:
            self.stop()
        elif heard.state == "quiet":
            self.quiet()
        for job in list(self.running):
            if job.jid in heard.cancelled:
                job.interrupt(_CANCELLED)
