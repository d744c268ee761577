"""Lineshaft: a language-agnostic background job server. One engine, every machine.

>>> from lineshaft import Client, Jobs
>>> jobs = Jobs()
>>> @jobs.job
... def greet(name: str) -> None:
...     print("hello", name)
>>> with Client() as client:  # doctest: +SKIP
...     client.push(greet.job("world"))

What stands here is imported when it is first asked for: `import lineshaft` is cheap, and needs nothing of the server.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lineshaft.client import AsyncClient, Client, Job, JobFailed, Track, job_of
    from lineshaft.errors import LineshaftError, PeerError, Refusal, UsageError
    from lineshaft.worker import Dead, Discard, Jobs, Requeue, Retry, RunningJob, Worker, this_job

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "Client",
    "Dead",
    "Discard",
    "Job",
    "JobFailed",
    "Jobs",
    "LineshaftError",
    "PeerError",
    "Refusal",
    "Requeue",
    "Retry",
    "RunningJob",
    "Track",
    "UsageError",
    "Worker",
    "__version__",
    "job_of",
    "this_job",
]

_PLACES = {
    **dict.fromkeys(("AsyncClient", "Client", "Job", "JobFailed", "Track", "job_of"), "lineshaft.client"),
    **dict.fromkeys(("LineshaftError", "PeerError", "Refusal", "UsageError"), "lineshaft.errors"),
    **dict.fromkeys(
        ("Dead", "Discard", "Jobs", "Requeue", "Retry", "RunningJob", "Worker", "this_job"), "lineshaft.worker"
    ),
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(place), name)
