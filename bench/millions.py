"""A million jobs of each kind: enqueued over many queues, scheduled, retries, dead.

They are adopted, a thousand at a time, which takes minutes. What is there already is left, so a directory that was
filled once can be used again.
"""

import json
import socket
import time
from typing import Any

from talk import ServerFailed, ask_info

__all__ = ["MILLION", "fill"]

MILLION = 1_000_000
QUEUES = 200
AT_ONCE = 1000
DAY = 86_400.0


def fill(port: int, jobs: int) -> None:
    """Push what is not there yet."""
    figures = ask_info(port)["faktory"]
    tasks = figures["tasks"]
    there = {
        "ready": figures["total_enqueued"],
        "scheduled": tasks["Scheduled"]["size"],
        "retries": tasks["Retries"]["size"],
        "dead": tasks["Dead"]["size"],
    }
    for place, count in there.items():
        if count < jobs:
            _push(port, place, count, jobs)


def _push(port: int, place: str, first: int, jobs: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        stream = connection.makefile("rwb")
        stream.readline()
        stream.write(b'HELLO {"v":2}\r\n')
        stream.flush()
        stream.readline()
        for start in range(first, jobs, AT_ONCE):
            arrivals = [_arrival(place, number) for number in range(start, min(start + AT_ONCE, jobs))]
            stream.write(b"ADOPT " + json.dumps(arrivals).encode() + b"\r\n")
            stream.flush()
            head = stream.readline()
            if not head.startswith(b"$"):
                raise ServerFailed(f"ADOPT was answered with {head.decode(errors='replace')}")
            outcome = json.loads(stream.read(int(head[1:]) + 2))
            if outcome["refused"]:
                raise ServerFailed(f"jobs were refused: {next(iter(outcome['refused'].values()))}")


def _arrival(place: str, number: int) -> dict[str, Any]:
    job: dict[str, Any] = {
        "jid": f"{place}-{number:016}",
        "jobtype": ("SyncUserJob", "Mailer::Welcome", "ReportJob", "charge")[number % 4],
        "queue": f"queue-{number % QUEUES:03}",
        "args": [number, {"customer": f"customer-{number}", "locale": "es", "full": number % 2 == 0}],
    }
    arrival: dict[str, Any] = {"job": job, "place": place}
    if place != "ready":
        # Not so long ago that they would be swept out, and not so soon that they would begin to run.
        instant = time.time() - DAY + number / 20 if place == "dead" else time.time() + DAY + number
        arrival["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(instant))
    if place in ("retries", "dead"):
        job["failure"] = {
            "retry_count": number % 25,
            "failed_at": "2026-11-01T10:00:00Z",
            "message": f"connection to 10.0.{number % 256}.7 refused after {number % 30} s",
            "errtype": f"Errno{number % 700}",
            "backtrace": ["app/jobs/sync.rb:41:in `perform'", "lib/net/http.rb:88:in `connect'"],
        }
    return arrival
