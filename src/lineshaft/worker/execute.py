"""Runs a job's function where it belongs: on the loop, in a thread, or in a child process; and stops it there.

| runs | is stopped by | which takes effect |
| --- | --- | --- |
| async, on the loop | cancelling it | at its next await |
| in a thread | raising `Interrupted` inside of it | at its next line of Python |
| in a process | killing the process | at once |

However it is stopped, the run ends with `Interrupted` and the reason. A function that is stopped may clean up, and
should not go on: what it returns after that is taken for its result.
"""

import asyncio
import ctypes
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from lineshaft.worker.children import Children
from lineshaft.worker.jobs import JobFunction
from lineshaft.worker.middleware import Middleware, compose
from lineshaft.worker.outcome import Done, Failed, Interrupted, Outcome, outcome_of
from lineshaft.worker.running import RunningJob, current_job
from lineshaft.worker.threads import Threads

__all__ = ["Executor", "UnknownJobType"]


class UnknownJobType(Exception):
    """No function of this worker has the job's type: it fails, and is tried again, perhaps by a newer worker."""


class Executor:
    """Runs jobs; at most `concurrency` of them leave the loop at a time. Close it at the end.

    Without `processes` what would run in a process runs in a thread.
    """

    def __init__(
        self,
        functions: dict[str, JobFunction[..., Any, Any]],
        middleware: Sequence[Middleware],
        concurrency: int,
        *,
        processes: bool = True,
    ) -> None:
        self._processes = processes
        self._functions = functions
        self._threads = Threads(concurrency)
        self._children = Children()
        # Composed once, for each function.
        self._chains = {
            name: compose([*middleware, *function.middleware], self._call) for name, function in functions.items()
        }
        self._chain_of_unknown = compose(middleware, self._call)

    def keeps_result(self, jobtype: str) -> bool:
        """Whether what a job returns is handed to the server."""
        return jobtype in self._functions and self._functions[jobtype].keep_result

    async def run(self, job: RunningJob) -> Outcome:
        """Run a job to its end, whatever that is; raises nothing but its own cancellation."""
        token = current_job.set(job)
        try:
            return Done(await self._chains.get(job.jobtype, self._chain_of_unknown)(job))
        except asyncio.CancelledError:
            if job.interrupted is None:
                raise
            return outcome_of(Interrupted(job.interrupted))
        except Interrupted as interrupted:
            # What was raised inside of a thread came without words.
            return outcome_of(Interrupted(job.interrupted) if job.interrupted else interrupted)
        except UnknownJobType as error:
            # Where in here that was noticed tells nobody anything.
            return Failed(type(error).__name__, str(error), [])
        except (Exception, SystemExit) as error:  # the boundary of a job
            return outcome_of(error)
        finally:
            current_job.reset(token)

    async def _call(self, job: RunningJob) -> Any:
        job.check()
        function = self._functions.get(job.jobtype)
        if function is None:
            raise UnknownJobType(f"no function of this worker is named {job.jobtype}")
        if function.timeout_seconds is None:
            return await self._dispatch(job, function)
        reason = f"ran longer than {function.timeout_seconds:g} s"
        timer = asyncio.get_running_loop().call_later(function.timeout_seconds, job.interrupt, reason)
        try:
            return await self._dispatch(job, function)
        finally:
            timer.cancel()

    async def _dispatch(self, job: RunningJob, function: JobFunction[..., Any, Any]) -> Any:
        if function.is_async:
            return await self._on_the_loop(job, function)
        if function.run == "process" and self._processes:
            return await self._in_a_process(job, function)
        thread = _Thread()
        job.on_interrupt(thread.interrupt)
        try:
            return await self._threads.run(thread.run, function, *function.arguments.call(job.fetched.args))
        finally:
            job.on_interrupt(None)

    async def _in_a_process(self, job: RunningJob, function: JobFunction[..., Any, Any]) -> Any:
        child = self._children.take()
        job.on_interrupt(lambda _: child.kill())
        try:
            return await self._threads.run(child.run, job, function)
        finally:
            job.on_interrupt(None)
            self._children.give_back(child)

    async def _on_the_loop(self, job: RunningJob, function: JobFunction[..., Any, Any]) -> Any:
        args, kwargs = function.arguments.call(job.fetched.args)
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        job.on_interrupt(lambda _: _cancel(task))
        try:
            return await function.function(*args, **kwargs)
        except asyncio.CancelledError:
            if job.interrupted is None:
                raise
            raise Interrupted(job.interrupted) from None
        finally:
            job.on_interrupt(None)
            if task.cancelling() > cancelling and job.interrupted is not None:
                # The cancellation was for the function alone; the task goes on, with the next job.
                task.uncancel()

    def close(self) -> None:
        """Let nothing new begin, and end the children. Threads that go on are left alone."""
        self._threads.close()
        self._children.close()


def _cancel(task: "asyncio.Task[Any]") -> None:
    task.cancel()


class _Thread:
    """One call in a thread, which another thread can interrupt: inside of the call, never after it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ident: int | None = None
        self._reason: str | None = None

    def run(self, function: JobFunction[..., Any, Any], args: Any, kwargs: Any) -> Any:
        with self._lock:
            if self._reason is not None:
                raise Interrupted(self._reason)
            self._ident = threading.get_ident()
        try:
            return function.function(*args, **kwargs)
        finally:
            with self._lock:
                self._ident = None
            if self._reason is not None:
                _absorb()

    def interrupt(self, reason: str) -> None:
        with self._lock:
            self._reason = reason
            if self._ident is not None:
                _raise_in(self._ident, Interrupted)


def _raise_in(ident: int, kind: type[BaseException]) -> None:
    """CPython's way to have a thread raise at its next line."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))


def _absorb() -> None:
    """Let it be raised here if it was not yet, so that it does not hit what this thread does next.

    To take it back with a NULL leaves the interpreter (3.11) looking for it at every turn, in all threads.
    """
    with suppress(Interrupted):
        for _ in range(1000):
            pass
