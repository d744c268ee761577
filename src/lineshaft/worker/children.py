"""Child processes that run functions: one job at a time in each, kept for the next, killed to stop a job.

A child is a fresh interpreter, not a fork: a fork of a process with threads and connections inherits locks that nobody
will ever open. It imports the module of each function that it is to run.
"""

import multiprocessing
import os
import pickle
import signal
from multiprocessing.connection import Connection
from typing import Any

from lineshaft.worker.frameworks import set_up_frameworks
from lineshaft.worker.jobs import JobFunction
from lineshaft.worker.outcome import (
    Dead,
    Discard,
    Interrupted,
    RemoteError,
    Requeue,
    Retry,
    backtrace_of,
    message_of,
)
from lineshaft.worker.running import Fetched, RunningJob, current_job

__all__ = ["Child", "Children"]

#: What a job raises to say what is to become of it crosses over as it is; everything else, in words.
_VERDICTS = (Retry, Discard, Dead, Requeue)


class Children:
    """The children that have nothing to do, newest last."""

    def __init__(self) -> None:
        self._idle: list[Child] = []

    def take(self) -> "Child":
        """A child for one job."""
        return self._idle.pop() if self._idle else Child()

    def give_back(self, child: "Child") -> None:
        """Keep a child that still lives."""
        if child.is_alive():
            self._idle.append(child)

    def close(self) -> None:
        """End those that have nothing to do."""
        while self._idle:
            self._idle.pop().kill()


class Child:
    """A process, started with its first job."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._killed = False

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, os.getpid()), daemon=True)
        process.start()
        # Not before: `kill` may come at any time, and what has not begun cannot be killed. `run` looks after this.
        self._process = process
        theirs.close()
        return self._pipe

    def run(self, job: RunningJob, function: JobFunction[..., Any, Any]) -> Any:
        """Run a job in the child and wait for it; called in a thread. Raises what the function raised."""
        pipe = self._pipe or self._start()
        try:
            if self._killed:
                raise EOFError
            pipe.send((function, job.fetched))
            while True:
                kind, value = pipe.recv()
                if kind == "tell":
                    job.tell(value)
                elif kind == "returned":
                    return value
                else:
                    raise value
        except (EOFError, ConnectionError):
            self.kill()
            if job.interrupted is not None:
                raise Interrupted(job.interrupted) from None
            raise RemoteError("ProcessDied", f"the process of the job ended: {self._exit()}", []) from None

    def _exit(self) -> str:
        assert self._process is not None
        self._process.join()
        code = self._process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def is_alive(self) -> bool:
        """Whether it can take another job."""
        return not self._killed and self._process is not None and self._process.is_alive()

    def kill(self) -> None:
        """End it now; idempotent, from any thread."""
        self._killed = True
        if self._process is not None:
            self._process.kill()


def _serve(pipe: Connection, parent: int) -> None:
    """The child: one job after the other, until the parent ends."""
    # Ctrl-C and Ctrl-Z in a terminal, and systemd's stop, reach all processes; what becomes of the jobs, the parent
    # decides.
    for number in (signal.SIGINT, signal.SIGTSTP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    set_up_frameworks()
    while True:
        try:
            function, fetched = pipe.recv()
        except EOFError:
            return
        if os.getppid() != parent:
            return
        pipe.send(_answer(pipe, function, fetched))


def _answer(pipe: Connection, function: JobFunction[..., Any, Any], fetched: Fetched) -> tuple[str, Any]:
    current_job.set(RunningJob(fetched, lambda told: pipe.send(("tell", told))))
    try:
        args, kwargs = function.arguments.call(fetched.args)
        result = function.function(*args, **kwargs)
        if not function.keep_result:
            return "returned", None
        pickle.dumps(result)
        return "returned", result
    except _VERDICTS as verdict:
        return "raised", verdict
    except Exception as error:  # the boundary of a job
        return "raised", RemoteError(type(error).__name__, message_of(error), backtrace_of(error))
