"""The worker: functions become jobs, and a process runs them.

>>> from lineshaft.worker import Jobs
>>> jobs = Jobs()
>>> @jobs.job(queue="mail")
... def greet(name: str, *, loudly: bool = False) -> str:
...     return name.upper() if loudly else name
>>> greet("world")
'world'
>>> greet.job("world", loudly=True).queue
'mail'

`lineshaft work myapp.jobs --queues mail,default:3 --concurrency 20` runs them; `Worker` does, inside of a program.
"""

from typing import TYPE_CHECKING, Any

from lineshaft.worker.jobs import JobFunction, Jobs
from lineshaft.worker.middleware import CallNext, Middleware
from lineshaft.worker.outcome import Dead, Discard, Interrupted, Requeue, Retry
from lineshaft.worker.running import RunningJob, this_job

if TYPE_CHECKING:
    from lineshaft.worker.worker import Worker

__all__ = [
    "CallNext",
    "Dead",
    "Discard",
    "Interrupted",
    "JobFunction",
    "Jobs",
    "Middleware",
    "Requeue",
    "Retry",
    "RunningJob",
    "Worker",
    "this_job",
]


def __getattr__(name: str) -> Any:
    # A program that only pushes imports its job functions, and needs no event loop for that.
    if name == "Worker":
        from lineshaft.worker.worker import Worker  # noqa: PLC0415

        return Worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
