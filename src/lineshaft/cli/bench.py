"""`lineshaft bench`: a quick load on a running server, to see what it can do from here.

Connections push, fetch and acknowledge jobs of a queue of their own for some seconds. It says what this machine, its
network and one process of Python can ask for; the server's own limits need the load tool of `bench/` in the sources.
"""

import secrets
import statistics
import sys
import threading
import time
from typing import Annotated, Final

from cyclopts import Parameter
from msgspec import Struct
from msgspec import json as msgspec_json
from rich.console import Console

from lineshaft.cli.flag import Flag
from lineshaft.cli.reach import reach
from lineshaft.client import Client
from lineshaft.errors import UsageError
from lineshaft.protocol.resp import ErrorReply, Reply

__all__ = ["Figures", "bench"]

#: Commands that one connection sends before it reads their replies.
MOST_IN_FLIGHT: Final = 1000


class Figures(Struct):
    """What came out; also what `--json` prints."""

    connections: int
    in_flight: int
    seconds: float
    #: Jobs that were pushed, fetched and acknowledged, all of it.
    jobs: int
    jobs_per_second: float
    #: From a push to its reply, with one command in flight; else of the whole flight.
    push_ms_median: float
    push_ms_99: float


class _Load:
    """What all connections share."""

    def __init__(self, seconds: float, in_flight: int, size: int) -> None:
        self.queue = f"bench-{secrets.token_hex(4)}"
        self.in_flight = in_flight
        self.args = ["x" * size]
        self.until = time.monotonic() + seconds
        self.lock = threading.Lock()
        self.jobs = 0
        self.waits: list[float] = []
        self.errors: list[BaseException] = []


def bench(
    *,
    connections: Annotated[int, Parameter(name=["--connections", "-c"])] = 10,
    in_flight: Annotated[int, Parameter(name=["--in-flight", "-p"])] = 1,
    seconds: Annotated[float, Parameter(name=["--seconds", "-s"])] = 5.0,
    size: int = 100,
    json: Flag = False,
) -> int:
    """Load a running server for some seconds, in a queue of its own. FAKTORY_URL says which.

    Parameters
    ----------
    connections
        How many at once.
    in_flight
        Commands that each sends at once.
    seconds
        How long.
    size
        Bytes of each job's argument.
    json
        Print one line of JSON instead of text.
    """
    if not (1 <= connections <= 1000 and 1 <= in_flight <= MOST_IN_FLIGHT and 0.1 <= seconds <= 3600):
        raise UsageError("--connections and --in-flight go from 1 to 1000, --seconds from 0.1 to 3600")
    if not 0 <= size <= 1_000_000:
        raise UsageError(f"--size goes from 0 to 1000000 bytes, not {size}")
    with Console(stderr=True).status("loading"):
        load, passed = _run(connections, in_flight, seconds, size)
    if load.errors:
        raise load.errors[0]
    figures = _figures(load, passed, connections)
    if json:
        sys.stdout.write(msgspec_json.encode(figures).decode() + "\n")
        return 0
    print(f"{figures.jobs_per_second:,.0f} jobs/s: {figures.jobs:,} pushed, fetched and acknowledged", end=" ")
    print(f"in {figures.seconds:.1f} s over {connections} connections, {in_flight} in flight")
    print(f"push: {figures.push_ms_median:.2f} ms (median), {figures.push_ms_99:.2f} ms (99 %)")
    return 0


def _run(connections: int, in_flight: int, seconds: float, size: int) -> tuple[_Load, float]:
    with reach() as client:
        load = _Load(seconds, in_flight, size)
        began = time.monotonic()
        threads = [threading.Thread(target=_work, args=(load,)) for _ in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        passed = time.monotonic() - began
        client.queue("remove", load.queue)
    return load, passed


def _work(load: _Load) -> None:
    try:
        with reach(timeout_seconds=60) as client:
            while time.monotonic() < load.until:
                _round(client, load)
    except Exception as error:
        # The boundary of a thread: whoever joins it raises the first of these.
        with load.lock:
            load.errors.append(error)


def _round(client: Client, load: _Load) -> None:
    """Push, fetch and acknowledge as many jobs as are in flight."""
    jobs = [
        {"jid": secrets.token_hex(12), "jobtype": "bench", "queue": load.queue, "args": load.args}
        for _ in range(load.in_flight)
    ]
    began = time.monotonic()
    _all_well(client.pipeline([b"PUSH " + msgspec_json.encode(job) for job in jobs]))
    wait = time.monotonic() - began
    fetch = b"FETCH " + load.queue.encode()
    fetched = _all_well(client.pipeline([fetch] * load.in_flight))
    jids = [msgspec_json.decode(payload)["jid"] for payload in fetched if isinstance(payload, bytes)]
    _all_well(client.pipeline([b"ACK " + msgspec_json.encode({"jid": jid}) for jid in jids]))
    with load.lock:
        load.jobs += len(jids)
        load.waits.append(wait * 1000)


def _all_well(replies: list[Reply]) -> list[Reply]:
    for reply in replies:
        if isinstance(reply, ErrorReply):
            raise reply.refusal()
    return replies


def _figures(load: _Load, passed: float, connections: int) -> Figures:
    waits = sorted(load.waits) or [0.0]
    return Figures(
        connections=connections,
        in_flight=load.in_flight,
        seconds=round(passed, 3),
        jobs=load.jobs,
        jobs_per_second=round(load.jobs / passed, 1),
        push_ms_median=round(statistics.median(waits), 3),
        push_ms_99=round(waits[min(len(waits) - 1, len(waits) * 99 // 100)], 3),
    )
