"""Connections by the thousand: idle producers, parked workers, storms, those that never read, no file left to open.

    make connections                          # ten thousand; some four minutes
    make connections ARGS="--count 1000 --seconds 3 --only idle parked"

The limits: an idle or parked connection costs the server less than 30 kB, ten thousand idle ones less than 2 % of a
core; ten thousand workers whose FETCHes wait, each with its own wid and a BEAT every 15 s, at most 1.5 times the
processor that they cost `bench/speed_reference.py`, a server without features. While a storm goes on, others have their
pushes answered within 50 ms (99 %).
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import uvloop

from load.figures import usage_of
from load.ping import Pinger
from load.wire import Wire
from processes import ServerProcess, free_port, stop_on_sigterm
from wire_client import WireClient, WireError

__all__ = ["Figure", "main", "measure"]

REFERENCE = Path(__file__).parents[2] / "bench" / "speed_reference.py"
CONFIG = "[server]\nconnections = 20000\n"

CONNECTION_BYTES = 30_000
IDLE_PER_CENT = 2.0
PARKED_RATIO = 1.5
PUSH_LIMIT_MS = 50.0
STORM_A_SECOND = 1000
BEAT_SECONDS = 15.0
#: Connections are opened so many at a time, which no backlog of a listening socket turns away.
AT_ONCE = 100


@dataclass(frozen=True)
class Figure:
    """One number, and the limit that it must not exceed, if it has one."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether it keeps its limit."""
        return self.limit is None or self.value <= self.limit

    def line(self) -> str:
        """For the report."""
        judged = "" if self.limit is None else f"   limit {self.limit:g}   {'ok' if self.is_met else 'MISSED'}"
        return f"{self.name:<58} {self.value:10,.2f} {self.unit:<14}{judged}"


Tell = Callable[[Figure], None]


class Client(asyncio.Protocol):
    """A client that is as small as can be; an idle producer unless it has a wid, then a worker whose FETCH waits."""

    def __init__(self, wid: str, ready: "asyncio.Future[None]", beat_at: float) -> None:
        hello = {"v": 2} | ({"wid": wid, "hostname": "load", "pid": 1, "labels": []} if wid else {})
        self.hello = b"HELLO " + json.dumps(hello).encode() + b"\r\n"
        self.beat = b'BEAT {"wid":"%b"}\r\n' % wid.encode() if wid else b""
        self.beat_at = beat_at
        self.ready = ready
        self.write: Callable[[bytes], None]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the greeting."""
        self.write = cast(asyncio.Transport, transport).write

    def data_received(self, data: bytes) -> None:
        """One reply, since it never asks for two things at once: ask for the next."""
        if data[:3] == b"+HI":
            self.write(self.hello)
            return
        if not self.ready.done():
            self.ready.set_result(None)
        if self.beat and self.beat_at < time.monotonic():
            self.beat_at += BEAT_SECONDS
            self.write(self.beat)
        elif self.beat:
            self.write(b"FETCH nothing\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        """None of these connections may end by itself."""
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionResetError())


async def _crowd(port: int, count: int, prefix: str = "") -> list[asyncio.BaseTransport]:
    """So many connections that have said HELLO; workers, if their wids have a prefix."""
    loop, transports = asyncio.get_running_loop(), []

    async def one(number: int) -> asyncio.BaseTransport:
        ready: asyncio.Future[None] = loop.create_future()
        wid, beat_at = f"{prefix}{number:05d}" if prefix else "", time.monotonic() + BEAT_SECONDS * number / count
        transport, _ = await loop.create_connection(lambda: Client(wid, ready, beat_at), "127.0.0.1", port)
        await ready
        return transport

    for start in range(0, count, AT_ONCE):
        transports += await asyncio.gather(*map(one, range(start, min(start + AT_ONCE, count))))
    return transports


async def _cost(port: int, pid: int, count: int, seconds: float, prefix: str = "") -> tuple[float, float]:
    """Bytes of each of a crowd's connections, and the server's processor in per cent of a core while it is there."""
    before = usage_of(pid)
    transports = await _crowd(port, count, prefix)
    await asyncio.sleep(min(seconds, 3))
    began, with_them = time.monotonic(), usage_of(pid)
    await asyncio.sleep(seconds)
    after, taken = usage_of(pid), time.monotonic() - began
    assert after.files >= count, "connections were lost meanwhile"
    for transport in transports:
        cast(asyncio.Transport, transport).abort()
    await asyncio.sleep(0.5)
    return (after.rss_bytes - before.rss_bytes) / count, 100 * (after.cpu_seconds - with_them.cpu_seconds) / taken


# The loads


async def idle(server: ServerProcess, count: int, seconds: float, tell: Tell) -> None:
    """Producers that have nothing to say."""
    size, busy = await _cost(server.port, _pid(server), count, seconds)
    tell(Figure(f"{count:,} idle producers: memory of each", size, "bytes", CONNECTION_BYTES))
    tell(Figure(f"{count:,} idle producers: processor", busy, "% of a core", IDLE_PER_CENT))


async def parked(server: ServerProcess, count: int, seconds: float, tell: Tell) -> None:
    """Workers for whom there is nothing to do, here and at the reference."""
    size, busy = await _cost(server.port, _pid(server), count, seconds, "w")
    with _reference(server.data.parent) as (port, pid):
        reference_size, reference = await _cost(port, pid, count, seconds, "w")
    tell(Figure(f"{count:,} parked workers: memory of each", size, "bytes", CONNECTION_BYTES))
    tell(Figure(f"{count:,} parked workers at the reference: memory of each", reference_size, "bytes"))
    tell(Figure(f"{count:,} parked workers: processor", busy, "% of a core"))
    tell(Figure(f"{count:,} parked workers at the reference: processor", reference, "% of a core"))
    tell(Figure("ratio to the reference", busy / max(reference, 0.1), "", PARKED_RATIO))


async def storm(server: ServerProcess, _: int, seconds: float, tell: Tell) -> None:
    """A thousand connects a second: HELLO, and gone."""
    with Pinger(server.port) as pinger:
        made, failed = await _storm(server.port, seconds)
        heard = pinger.take()
    tell(Figure(f"storm: connections a second for {seconds:g} s", made / seconds, "", None))
    tell(Figure("storm: connections that failed", failed, "", 0))
    tell(Figure("storm: PUSH of others, 99 %", heard.push_p99, "ms", PUSH_LIMIT_MS))
    tell(Figure("storm: pings of others, 99.9 %", heard.loop_p999, "ms"))
    tell(Figure("storm: errors of others", heard.errors, "", 0))


async def _storm(port: int, seconds: float) -> tuple[int, int]:
    """Open connections at a steady rate, whatever becomes of them; returns how many came through, and how many not."""
    loop, tasks, began = asyncio.get_running_loop(), [], time.monotonic()

    async def one(number: int) -> None:
        ready: asyncio.Future[None] = loop.create_future()
        # Each address of ours has ports of its own: one would run out of them.
        address = (f"127.0.0.{2 + number % 50}", 0)
        transport, _ = await loop.create_connection(lambda: Client("", ready, 0), "127.0.0.1", port, local_addr=address)
        try:
            await ready
        finally:
            transport.close()

    for number in range(int(seconds * STORM_A_SECOND)):
        await asyncio.sleep(max(began + number / STORM_A_SECOND - time.monotonic(), 0))
        tasks.append(asyncio.create_task(one(number)))
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    failed = sum(isinstance(each, BaseException) for each in ended)
    return len(ended) - failed, failed


async def deaf(server: ServerProcess, count: int, seconds: float, tell: Tell) -> None:
    """Clients that ask for large jobs and never read one."""
    count = min(count // 50, 200)
    wire = await Wire.connect(server.port)
    for number in range(count * 10):
        job = {"jid": f"large-{number:06d}", "jobtype": "T", "args": ["x" * 100_000], "queue": "large"}
        await wire.ask(b"PUSH " + json.dumps(job).encode())
    before = usage_of(_pid(server))
    wires = [await Wire.connect(server.port) for _ in range(count)]
    with Pinger(server.port) as pinger:
        for one in wires:
            assert one.transport is not None
            one.transport.pause_reading()
            for _ in range(1000):
                one.send(b"FETCH large")
        await asyncio.sleep(min(seconds, 10))
        heard, after = pinger.take(), usage_of(_pid(server))
    for one in [wire, *wires]:
        one.close(abort=True)
    await asyncio.sleep(0.5)
    tell(
        Figure(f"{count} that never read: memory of each", (after.rss_bytes - before.rss_bytes) / count / 1e6, "MB", 3)
    )
    tell(Figure("never read: PUSH of others, 99 %", heard.push_p99, "ms", PUSH_LIMIT_MS))
    tell(Figure("never read: errors of others", heard.errors, "", 0))


async def no_files(server: ServerProcess, _: int, seconds: float, tell: Tell) -> None:
    """A storm when the server can open no more than 50 files: who is there goes on, and later all can come again."""
    pid, seconds = _pid(server), min(seconds, 10)
    with Pinger(server.port) as pinger:
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        held = usage_of(pid).files + 50
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (held, limits[1]))
        wires: list[Wire] = []
        for _ in range(100):
            with suppress(OSError, WireError, TimeoutError):
                wires.append(await asyncio.wait_for(Wire.connect(server.port), 0.02))
        before, began = usage_of(pid), time.monotonic()
        with suppress(TimeoutError):
            await asyncio.wait_for(_storm(server.port, seconds), seconds)
        busy = 100 * (usage_of(pid).cpu_seconds - before.cpu_seconds) / (time.monotonic() - began)
        heard = pinger.take()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    for wire in wires:
        wire.close(abort=True)
    began = time.monotonic()
    while True:
        with suppress(OSError, EOFError), WireClient(server.port, timeout=1) as late:
            late.push("after-the-storm")
            break
        assert time.monotonic() < began + 30, "nobody can come any more"
    tell(Figure("no files: PUSH of those who are there, 99 %", heard.push_p99, "ms", PUSH_LIMIT_MS))
    tell(Figure("no files: errors of those who are there", heard.errors, "", 0))
    tell(Figure("no files: processor meanwhile", busy, "% of a core"))
    tell(Figure("no files: seconds until others can come again", time.monotonic() - began, "s", 10))


LOADS: dict[str, Callable[[ServerProcess, int, float, Tell], Awaitable[None]]] = {
    "idle": idle,
    "parked": parked,
    "storm": storm,
    "deaf": deaf,
    "no_files": no_files,
}


def _pid(server: ServerProcess) -> int:
    assert server.process is not None
    return server.process.pid


@contextmanager
def _reference(root: Path) -> Iterator[tuple[int, int]]:
    """The reference on a free port, and its process."""
    port = free_port()
    command = [sys.executable, str(REFERENCE), str(port), str(root / "reference"), "always"]
    process = subprocess.Popen(command)
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with suppress(OSError, EOFError), WireClient(port, timeout=1):
                break
            time.sleep(0.02)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


def measure(count: int, seconds: float, root: Path, only: Sequence[str], tell: Tell) -> None:
    """Each load on a server of its own, so that none finds memory that another has left."""
    wanted = count + 2000
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    for name in only:
        (root / name).mkdir()
        with ServerProcess(root / name, CONFIG) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(cast(Any, LOADS[name](server, count, seconds, tell)))
            assert server.stop() == 0
            assert "Traceback" not in server.log.read_text(), server.log.read_text()[-4000:]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30, help="how long each load lasts")
    parser.add_argument("--only", nargs="+", choices=LOADS, default=list(LOADS), metavar="NAME")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    stop_on_sigterm()
    figures: list[Figure] = []

    def tell(figure: Figure) -> None:
        figures.append(figure)
        print(figure.line(), flush=True)

    with tempfile.TemporaryDirectory(prefix="connections-") as scratch:
        measure(options.count, options.seconds, Path(scratch), options.only, tell)
    if options.json:
        options.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")
    return 1 if not all(figure.is_met for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
