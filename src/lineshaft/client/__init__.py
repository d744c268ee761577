"""The client: for threads, and for asyncio. It needs neither the store nor anything else of the server.

>>> from lineshaft.client import Client, job_of
>>> with Client("tcp://localhost:7419") as client:  # doctest: +SKIP
...     client.push(job_of("send_mail", 42))
"""

from typing import TYPE_CHECKING, Any

from lineshaft.client.client import Batch, Client, PushedJob
from lineshaft.client.job import Job, job_of
from lineshaft.client.records import BatchStatus, JobFailed, Track
from lineshaft.client.url import Address, find_address, parse_url

if TYPE_CHECKING:
    from lineshaft.client.aio import AsyncBatch, AsyncClient, AsyncPushedJob

__all__ = [
    "Address",
    "AsyncBatch",
    "AsyncClient",
    "AsyncPushedJob",
    "Batch",
    "BatchStatus",
    "Client",
    "Job",
    "JobFailed",
    "PushedJob",
    "Track",
    "find_address",
    "job_of",
    "parse_url",
]


def __getattr__(name: str) -> Any:
    # Whoever blocks need not wait for asyncio to be imported.
    if name in ("AsyncBatch", "AsyncClient", "AsyncPushedJob"):
        from lineshaft.client import aio  # noqa: PLC0415

        return getattr(aio, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
