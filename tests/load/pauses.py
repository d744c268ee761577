"""Long operations, and the worst pause that each causes to everybody else.

    make pauses                              # a million jobs each; some ten minutes
    make pauses ARGS="--jobs 100000 --only due"
    make pauses ARGS="--only due --disk"     # what the disk takes meanwhile for a few bytes of another program
    make pauses ARGS="--only due --sync never"  # without waiting for the disk: what is left is the server's

While one client has something large done, another process pings the server in an open loop (`ping`): 500 times a second
for the delay of the event loop, and 50 times with a PUSH. A row fails when 99.9 % of the pings did not come within
20 ms, or 99 % of the pushes not within 50 ms, and a few when the operation itself takes too long. The first row is the
server with nothing to do: what the machine itself contributes. RocksDB compacts whenever it wants to, beside all of
this: each row says how often, and for how many seconds.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvloop

from load.compactions import Compactions
from load.figures import usage_of
from load.ping import Heard, Pinger
from load.visitors import get_page
from load.wire import Wire, instant
from processes import ServerProcess, stop_on_sigterm

__all__ = ["Row", "main", "measure"]

LOOP_LIMIT_MS = 20.0
PUSH_LIMIT_MS = 50.0
#: A million jobs that are due at once are in their queue after this long.
DUE_LIMIT_SECONDS = 10.0

START_LIMIT_SECONDS = 3.0
SEARCH_SECONDS = 15.0
#: A server that takes less than this much of the processor in half a second only answers pings.
CALM_SECONDS = 0.15

#: All dead jobs are kept here, or most would be pruned while they are killed.
CONFIG = '[retention]\ndead_max = 2000000\n[storage]\nsync = "{sync}"\n'

CHUNK = 500  #: jobs in a PUSHB of ours: what a careful producer sends, a few milliseconds of work


@dataclass(frozen=True)
class Row:
    """One operation: how long it took, and what others had of it."""

    name: str
    seconds: float
    limit_seconds: float | None
    heard: Heard
    compactions: Compactions

    def missed(self) -> list[str]:
        """The limits that it did not keep."""
        found = []
        if self.heard.loop_p999 > LOOP_LIMIT_MS:
            found.append(f"loop p99.9 over {LOOP_LIMIT_MS:g} ms")
        if self.heard.push_p99 > PUSH_LIMIT_MS:
            found.append(f"PUSH p99 over {PUSH_LIMIT_MS:g} ms")
        if self.limit_seconds is not None and self.seconds > self.limit_seconds:
            found.append(f"took longer than {self.limit_seconds:g} s")
        return found

    def line(self) -> str:
        """For the report."""
        missed = "; ".join(self.missed())
        return (
            f"{self.name:<34} {self.seconds:7.2f} s | {self.heard.line()} | "
            f"{self.compactions.count:3} compactions of {self.compactions.seconds:4.1f} s"
        ) + (f" | MISSED: {missed}" if missed else "")


class Bench:
    """A server, someone who pings it, and a client that has large things done."""

    def __init__(self, server: ServerProcess, jobs: int, pinger: Pinger, tell: Callable[[Row], None]) -> None:
        self.server = server
        self.jobs = jobs
        self.pinger = pinger
        self.tell = tell
        self.wire: Wire

    @property
    def settling(self) -> float:
        """So many seconds after an operation the next begins."""
        return min(1, self.jobs / 100_000)

    async def timed(self, name: str, work: Any, *, limit: float | None = None) -> None:
        """Do it, and tell what it cost others."""
        await asyncio.sleep(self.settling)
        before = Compactions.of(self.server.data)
        self.pinger.take()
        began = time.monotonic()
        await work
        seconds = time.monotonic() - began
        # What comes in the very last moment is answered a little later.
        await asyncio.sleep(0.3)
        heard = self.pinger.take()
        self.tell(Row(name, seconds, limit, heard, Compactions.of(self.server.data).since(before)))

    async def ask(self, line: str) -> Any:
        """A command of the client that has large things done."""
        return await self.wire.ask(line.encode())

    async def fill(self, prefix: str, **fields: Any) -> None:
        """Push the jobs, in PUSHBs of CHUNK."""
        for start in range(0, self.jobs, CHUNK):
            chunk = range(start, min(start + CHUNK, self.jobs))
            await self.push({"jid": f"{prefix}-{number:08d}", "args": [number], **fields} for number in chunk)

    async def push(self, jobs: Iterable[dict[str, Any]]) -> None:
        """One PUSHB, of which nothing is refused."""
        line = json.dumps([{"jobtype": "Load", **job} for job in jobs], separators=(",", ":"))
        assert await self.ask(f"PUSHB {line}") == b"{}"

    async def figure(self, *path: str) -> int:
        """A number out of INFO."""
        found = (await self.wire.ask_json(b"INFO"))["faktory"]
        for key in path:
            found = found.get(key, 0) if isinstance(found, dict) else 0
        return int(found)

    async def until(self, value: int, *path: str) -> None:
        """Wait until a figure of INFO is no more than this."""
        while await self.figure(*path) > value:
            await asyncio.sleep(0.05)

    async def calm(self) -> None:
        """Wait until the server has nothing left to do but to answer the pings."""
        assert self.server.process is not None
        pid, before, busy = self.server.process.pid, 0.0, True
        while busy:
            now = usage_of(pid).cpu_seconds
            busy, before = before == 0 or now - before > CALM_SECONDS, now
            await asyncio.sleep(0.5)


# The operations


async def idle(bench: Bench) -> None:
    """Nothing at all: what the machine contributes."""
    await bench.timed("(nothing)", asyncio.sleep(5))


async def large_set(bench: Bench) -> None:
    """What is done to a large set, and to the large queue that comes of it."""
    at = instant(86_400)
    await bench.timed("fill the scheduled set", bench.fill("far", queue="far", at=at))
    await bench.timed("requeue all of it", bench.ask('MUTATE {"cmd":"requeue","target":"scheduled"}'))
    copy = bench.server.data.parent / "copy"
    await bench.timed("backup", bench.ask(f'BACKUP {{"dir":"{copy}"}}'))
    shutil.rmtree(copy)
    await bench.timed("search the queue in the browser", _search(bench, "far"))
    await bench.timed("remove the queue", _then_calm(bench, "QUEUE REMOVE far"))


async def large_queue(bench: Bench) -> None:
    """A queue that is filled, emptied and flushed."""
    await bench.timed("fill a queue", bench.fill("full", queue="full"))
    await bench.timed("kill all of it", bench.ask('MUTATE {"cmd":"kill","target":"queue:full"}'))
    await bench.timed("clear the dead", bench.ask('MUTATE {"cmd":"clear","target":"dead"}'))
    await bench.fill("again", queue="again")
    await bench.timed("FLUSH", _then_calm(bench, "FLUSH"))


async def due(bench: Bench) -> None:
    """All jobs are due in the same second."""
    fill = await _time_to_fill(bench, {})
    await _let_them_come_due(bench, "due", time.monotonic() + fill, {}, limit=DUE_LIMIT_SECONDS)
    await bench.timed("clear the queue", bench.ask('MUTATE {"cmd":"clear","target":"queue:due"}'))


async def locks(bench: Bench) -> None:
    """Unique jobs are due in the same second, and later the locks of all of them end in the same second."""
    fill = await _time_to_fill(bench, {"unique_for": 60})
    held, due_at = fill + bench.jobs / 8_000, time.monotonic() + fill
    await _let_them_come_due(bench, "unique", due_at, {"unique_for": held})
    await asyncio.sleep(max(due_at + held - time.monotonic() - 1.5, 0))
    await bench.timed("locks ending in the same second", _locks(bench, due_at + held))
    await bench.timed("clear the queue of unique ones", bench.ask('MUTATE {"cmd":"clear","target":"queue:unique"}'))


async def _let_them_come_due(
    bench: Bench, name: str, at: float, custom: dict[str, Any], *, limit: float | None = None
) -> None:
    """Fill the scheduled set with jobs that are due at an instant of the monotonic clock, and wait for it."""
    filling = bench.fill(name, queue=name, at=instant(at - time.monotonic()), custom=custom)
    await bench.timed(f"fill the scheduled set: {name}", filling)
    if (left := at - bench.settling - time.monotonic()) < 0:
        raise SystemExit("the jobs were due before the last of them was pushed: this machine is too busy")
    await asyncio.sleep(left)
    await bench.timed(f"in the same second: {name}", _due(bench, at), limit=limit)


async def _time_to_fill(bench: Bench, custom: dict[str, Any]) -> float:
    """How long the pushes may take here: twice what they would at the pace of some of them."""
    jobs, bench.jobs, began = bench.jobs, bench.jobs // 50, time.monotonic()
    await bench.fill("pace", queue="pace", at=instant(86_400), custom=custom)
    taken, bench.jobs = time.monotonic() - began, jobs
    await bench.ask('MUTATE {"cmd":"clear","target":"scheduled"}')
    return 5 + 2 * 50 * taken


async def _due(bench: Bench, at: float) -> None:
    await asyncio.sleep(max(at - time.monotonic(), 0))
    await bench.until(0, "sets", "scheduled")


async def _locks(bench: Bench, at: float) -> None:
    await asyncio.sleep(max(at + 0.5 - time.monotonic(), 0))
    await bench.calm()


async def batch(bench: Bench) -> None:
    """A batch of 100,000 (or a tenth of the jobs), whose jobs are all cleared away."""
    bid = (await bench.ask('BATCH NEW {"complete":{"jobtype":"Done","args":[],"queue":"done"}}')).decode()
    jobs, bench.jobs = bench.jobs, bench.jobs // 10
    await bench.timed("fill a batch of a tenth as many", bench.fill("batched", queue="batched", custom={"bid": bid}))
    await bench.ask(f"BATCH COMMIT {bid}")
    await bench.timed("clear its jobs", bench.ask('MUTATE {"cmd":"clear","target":"queue:batched"}'))
    assert await bench.figure("queues", "done") == 1
    bench.jobs = jobs


async def start(bench: Bench) -> None:
    """A start on all the jobs, after a SIGKILL: the time until the first reply."""
    await bench.fill("kept", queue="kept")
    bench.pinger.stop()
    bench.server.kill()
    began = time.monotonic()
    bench.server.start()
    bench.wire = await Wire.connect(bench.server.port)
    assert await bench.figure("queues", "kept") == bench.jobs
    seconds = time.monotonic() - began
    bench.pinger.start()
    await asyncio.sleep(min(2, bench.jobs / 100_000))
    heard = bench.pinger.take()
    bench.tell(Row("start after SIGKILL, and then", seconds, START_LIMIT_SECONDS, heard, Compactions(0, 0.0)))


async def _then_calm(bench: Bench, line: str) -> None:
    await bench.ask(line)
    await bench.calm()


async def _search(bench: Bench, queue: str) -> None:
    """Three browsers look for what is not there, each to the end or for a quarter of a minute."""
    end = time.monotonic() + SEARCH_SECONDS

    async def browse() -> None:
        cursor, path = "", f"/api/v1/queues/{queue}/jobs?text=nothing-like-this"
        while time.monotonic() < end:
            head, body = await get_page(bench.server.web_port, f"{path}&cursor={quote(cursor)}")
            assert head.startswith(b"HTTP/1.1 200"), (head, body)
            if not (cursor := json.loads(body)["next"]):
                return

    await asyncio.gather(browse(), browse(), browse())


OPERATIONS = {
    "idle": idle,
    "set": large_set,
    "queue": large_queue,
    "due": due,
    "locks": locks,
    "batch": batch,
    "start": start,
}


def measure(
    jobs: int,
    root: Path,
    only: Sequence[str],
    tell: Callable[[Row], None],
    *,
    sync: str = "always",
    asks_disk: bool = False,
) -> None:
    """Carry the operations out, one after the other on one server."""
    server = ServerProcess(root, CONFIG.format(sync=sync), web=True)
    with server, Pinger(server.port, root if asks_disk else None) as pinger:

        async def run() -> None:
            bench = Bench(server, jobs, pinger, tell)
            bench.wire = await Wire.connect(server.port)
            for name in only:
                await OPERATIONS[name](bench)
            bench.wire.close()
            await asyncio.sleep(0.1)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run())
        assert "Traceback" not in server.log.read_text()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=OPERATIONS, default=list(OPERATIONS), metavar="NAME")
    parser.add_argument("--sync", choices=["always", "interval", "never"], default="always")
    parser.add_argument("--disk", action="store_true", help="say how long a sync of a small file takes beside it")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args(arguments)
    stop_on_sigterm()
    rows: list[Row] = []

    def tell(row: Row) -> None:
        rows.append(row)
        print(row.line(), flush=True)

    with tempfile.TemporaryDirectory(prefix="pauses-") as scratch:
        measure(options.jobs, Path(scratch), options.only, tell, sync=options.sync, asks_disk=options.disk)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 1 if any(row.missed() for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
