"""`lineshaft top`: a server as it is now, again and again, until it is interrupted.

Rates are what was counted between two looks. A server that goes away is waited for, and the screen says so.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, Final

from cyclopts import Parameter
from msgspec import Struct, field
from msgspec import json as msgspec_json
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from lineshaft.cli.flag import Flag
from lineshaft.cli.looking import Row, look, table_of
from lineshaft.cli.reach import Unreachable, reach
from lineshaft.cli.words import in_seconds
from lineshaft.cli.workers import COLUMNS, worker_cells
from lineshaft.client import Client
from lineshaft.errors import PeerError, UsageError

__all__ = ["Sample", "draw", "top"]

#: Beyond these nobody can read along.
MOST_QUEUES: Final = 1000
MOST_WORKERS: Final = 100


class Sample(Struct):
    """What one look has shown; also a line of `--json`."""

    at: str
    server: dict[str, Any]
    sets: dict[str, int]
    processed: int
    failed: int
    enqueued: int
    #: Per second, since the look before; None at the first.
    processed_rate: float | None
    failed_rate: float | None
    pushed_rate: float | None
    queues: list[Row] = field(default_factory=list)
    workers: list[Row] = field(default_factory=list)


def top(
    *,
    every: Annotated[float, Parameter(name=["--every", "-n"], metavar="SECONDS")] = 1.0,
    count: Annotated[int | None, Parameter(name=["--count", "-c"])] = None,
    json: Flag = False,
) -> int:
    """Watch a server: rates, queues, sets and workers. FAKTORY_URL says which [default: tcp://localhost:7419].

    Parameters
    ----------
    every
        Seconds between two looks.
    count
        Stop after so many [default: when it is interrupted].
    json
        Print a line of JSON per look.
    """
    if not 0.1 <= every <= 3600:
        raise UsageError(f"--every must be from 0.1 to 3600 seconds, not {every:g}")
    samples = islice(_samples(every), count)
    if json:
        for sample in samples:
            if isinstance(sample, Sample):
                print(msgspec_json.encode(sample).decode(), flush=True)
        return 0
    console = Console()
    if not console.is_terminal:
        for sample in samples:
            console.print(draw(sample, console.height))
        return 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for sample in samples:
            live.update(draw(sample, console.height), refresh=True)
    return 0


def _samples(every: float) -> Iterator[Sample | str]:
    """A look every so often, or why there is none."""
    before: Sample | None = None
    while True:
        try:
            with reach() as client:
                while True:
                    before = _sample(client, before, every)
                    yield before
                    time.sleep(every)
        except (Unreachable, PeerError) as error:
            if before is None:
                raise
            yield str(error)
            time.sleep(every)


def _sample(client: Client, before: Sample | None, every: float) -> Sample:
    info = client.info()
    jobs = info["faktory"]
    queues = list(islice(look(client, "queues"), MOST_QUEUES))
    workers = list(islice(look(client, "workers"), MOST_WORKERS))
    sample = Sample(
        at=info["now"],
        server=info["server"],
        sets=jobs["sets"],
        processed=jobs["total_processed"],
        failed=jobs["total_failures"],
        enqueued=jobs["total_enqueued"],
        processed_rate=None,
        failed_rate=None,
        pushed_rate=None,
        queues=sorted(queues, key=lambda row: (-row["size"], row["name"])),
        workers=workers,
    )
    if before is not None:
        pushed = _pushed(sample) - _pushed(before)
        sample.processed_rate = max(sample.processed - before.processed, 0) / every
        sample.failed_rate = max(sample.failed - before.failed, 0) / every
        sample.pushed_rate = max(pushed, 0) / every
    return sample


def _pushed(sample: Sample) -> int:
    return sum(int(row["pushed"]) for row in sample.queues)


def draw(sample: Sample | str, height: int) -> RenderableType:
    """The screen; what does not fit into `height` lines is counted."""
    if isinstance(sample, str):
        return Text(f"{sample}\n\ntrying again; Ctrl-C ends it", style="bold")
    room = max((height - 14) // 2, 3)
    queues = [_queue_cells(row) for row in sample.queues[:room]]
    workers = [worker_cells(row) for row in sample.workers[:room]]
    return Group(
        Text(_head(sample), style="bold"),
        Text(_rates(sample)),
        Text(_sets(sample)),
        table_of(_title("Queues", len(queues), len(sample.queues)), QUEUE_COLUMNS, queues),
        table_of(_title("Workers", len(workers), len(sample.workers)), COLUMNS, workers),
    )


QUEUE_COLUMNS: Final = ("queue", ">jobs", ">oldest", "state", ">pushed", ">processed", ">failed")


def _head(sample: Sample) -> str:
    server = sample.server
    up = in_seconds(server.get("uptime", 0))
    return (
        f"{server.get('description', '')} {server.get('lineshaft_version', '')}   up {up}   "
        f"{server.get('connections', 0):,} connections   {server.get('used_memory_mb', 0):,} MB   {sample.at}"
    )


def _rates(sample: Sample) -> str:
    rates = [
        (name, rate)
        for name, rate in (
            ("pushed", sample.pushed_rate),
            ("processed", sample.processed_rate),
            ("failed", sample.failed_rate),
        )
    ]
    return "per second: " + "   ".join(f"{name} {'-' if rate is None else f'{rate:,.1f}'}" for name, rate in rates)


def _sets(sample: Sample) -> str:
    counts = {"enqueued": sample.enqueued, **sample.sets}
    return "jobs: " + "   ".join(f"{name} {count:,}" for name, count in counts.items()) + "\n"


def _title(name: str, shown: int, found: int) -> str:
    return name if shown == found else f"{name} ({shown:,} of {found:,})"


def _queue_cells(row: Row) -> tuple[object, ...]:
    oldest = in_seconds(row["latency"]) if row["size"] else ""
    state = "paused" if row["paused"] else ""
    return row["name"], row["size"], oldest, state, row["pushed"], row["processed"], row["failed"]
