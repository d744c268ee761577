"""The client program of PyPI's `faktory`; ../README.md says what it must do.

The library can push one job at a time and work; it has no bulk push and no administration.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import faktory

URL = os.environ["FAKTORY_URL"]


def say(**fields: Any) -> None:
    os.write(1, json.dumps(fields).encode() + b"\n")


#: What the server reads in a job's `custom`; the library has no methods for it.
WISHES = ("unique_for", "unique_until", "expires_in", "track")


def wish(job: dict[str, Any]) -> dict[str, Any]:
    """The job with its wishes where they are sent."""
    wishes = {name: job.pop(name) for name in WISHES if name in job}
    return {**job, "custom": {**job.get("custom", {}), **wishes}} if wishes else job


def note(jid: str, *args: Any) -> None:
    say(ran=jid, jobtype="note", args=args)


def boom(jid: str, *args: Any) -> None:
    say(ran=jid, jobtype="boom", args=args)
    raise ValueError("boom")


def flaky(jid: str, *args: Any) -> None:
    say(ran=jid, jobtype="flaky", args=args)
    marker = Path(args[0])
    if not marker.exists():
        marker.touch()
        raise ValueError("the first try")


def push(wanted: dict[str, Any]) -> None:
    with faktory.connection(URL) as client:
        for job in map(wish, wanted["jobs"]):
            if not client.queue(job.pop("jobtype"), **job):
                sys.exit(f"the server did not take {job['jid']}")
    say(pushed=len(wanted["jobs"]))


class Worker(faktory.Worker):
    """With a heartbeat every second; the library's README changes this attribute too."""

    send_heartbeat_every = 1


def work(wanted: dict[str, Any]) -> None:
    worker = Worker(URL, queues=wanted["queues"], concurrency=1, use_threads=True, worker_id=wanted["wid"])
    for handler in (note, boom, flaky):
        worker.register(handler.__name__, handler, bind=True)
    try:
        worker.run()
    except SystemExit:
        say(stopped=True)


if __name__ == "__main__":
    {"push": push, "work": work}[sys.argv[1]](json.loads(sys.argv[2]))
