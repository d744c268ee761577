"""Runs the jobs of a server in memory, one after the other, as a worker would: arguments, middleware, verdicts."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from lineshaft.client.lines import line, words
from lineshaft.errors import UsageError
from lineshaft.protocol.connection import Answered, ClientConnection
from lineshaft.protocol.handshake import Hello
from lineshaft.protocol.resp import Reply
from lineshaft.testing.memory import MemoryServer, MemoryStream
from lineshaft.worker.execute import Executor
from lineshaft.worker.jobs import Jobs
from lineshaft.worker.middleware import CallNext, Middleware
from lineshaft.worker.outcome import Done, Outcome, report
from lineshaft.worker.running import Fetched, RunningJob

__all__ = ["Run", "drain"]


class Run(Struct, frozen=True):
    """A job that has run, and what came of it."""

    jid: str
    jobtype: str
    queue: str
    outcome: Outcome
    error: BaseException | None = None

    @property
    def result(self) -> Any:
        """What the function returned. Raises what it raised instead."""
        if self.error is not None:
            raise self.error
        assert isinstance(self.outcome, Done)
        return self.outcome.result


class _Worker:
    """A connection that answers at once, or has nothing."""

    def __init__(self, server: MemoryServer) -> None:
        self._stream: MemoryStream = server.connect()
        self._connection = ClientConnection(hello=Hello(wid="in-memory"))
        self._connection.receive(self._stream.ask(b""))
        self._connection.receive(self._stream.ask(self._connection.take_outgoing()))

    def ask(self, *commands: bytes) -> list[Reply]:
        for command in commands:
            self._connection.send(command)
        events = self._connection.receive(self._stream.ask(self._connection.take_outgoing()))
        return [event.reply for event in events if isinstance(event, Answered)]

    def close(self) -> None:
        self._stream.close()


async def drain(
    server: MemoryServer, jobs: Sequence[Jobs], queues: Sequence[str], middleware: Sequence[Middleware], limit: int
) -> list[Run]:
    """Run what is ready in these queues, and what follows from it, until nothing is; returns what has run.

    Raises UsageError when that are more than `limit` jobs: jobs that push themselves would run for ever.
    """
    functions = {name: function for one in jobs for name, function in one.functions.items()}
    errors: dict[int, BaseException] = {}

    async def keep_error(job: RunningJob, call_next: CallNext) -> Any:
        try:
            return await call_next(job)
        except BaseException as error:
            errors[id(job)] = error
            raise

    def tell(told: dict[str, Any]) -> None:
        worker.ask(line(b"TRACK SET", **told))

    executor = Executor(functions, [keep_error, *middleware], 1, processes=False)
    worker = _Worker(server)
    runs: list[Run] = []
    try:
        # A FETCH that finds nothing would wait for two seconds; to leave instead is as good.
        while (replies := worker.ask(b"FETCH " + words(queues))) and isinstance(replies[0], bytes):
            if len(runs) == limit:
                raise UsageError(f"{limit} jobs have run, and there are more: do they push themselves?")
            job = RunningJob(msgspec.json.decode(replies[0], type=Fetched), tell, server.clock)
            outcome = await executor.run(job)
            keeps = executor.keeps_result(job.jobtype)
            worker.ask(*report(job.jid, outcome, keep_result=keeps, is_last_try=job.is_last_attempt))
            runs.append(Run(job.jid, job.jobtype, job.queue, outcome, errors.pop(id(job), None)))
    finally:
        worker.close()
        executor.close()
    return runs
