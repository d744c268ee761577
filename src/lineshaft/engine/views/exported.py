"""Exported: jobs as lines of JSON, which `lineshaft import` takes, whether a command or a page writes them.

    {"export":1,"lineshaft":"0.1.0","at":"2026-11-25T13:00:00.000Z"}
    {"place":"retries","at":"2026-11-25T14:00:00.000Z","job":{...}}
    {"end":{"retries":1}}

The last line tells that nothing is missing. A job stands there as a worker gets it, with its `priority` where it is
not the usual one; `at` is when it is due, or died; a leased job names its `worker`.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import DecodeError
from msgspec import json as msgspec_json

from lineshaft.clock import format_instant
from lineshaft.job import DEFAULT_PRIORITY
from lineshaft.lifecycle import Place

__all__ = ["EXPORT_VERSION", "first_line", "job_line", "last_line"]

EXPORT_VERSION: Final = 1


def first_line(now: int, version: str) -> bytes:
    """What an export begins with; `version` is the program's."""
    return msgspec_json.encode({"export": EXPORT_VERSION, "lineshaft": version, "at": format_instant(now)})


def last_line(counts: Mapping[Place, int]) -> bytes:
    """What it ends with: how many jobs of each place stand in it."""
    return msgspec_json.encode({"end": {place.value: count for place, count in counts.items()}})


def job_line(place: Place, payload: bytes, priority: int, *, at: int | None = None, worker: str = "") -> bytes:
    """A job. Raises DecodeError for what is none."""
    if not payload.startswith(b"{"):
        raise DecodeError("it is no job")
    # Workers are not shown it.
    job = payload if priority == DEFAULT_PRIORITY else b'{"priority":%d,%b' % (priority, payload[1:])
    due = b"" if at is None else b'"at":%b,' % msgspec_json.encode(format_instant(at))
    held = b'"worker":%b,' % msgspec_json.encode(worker) if worker else b""
    return b'{"place":"%b",%b%b"job":%b}' % (place.encode(), due, held, job)
