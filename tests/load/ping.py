"""Someone else: a process that asks a server for little things, in an open loop, and says how long they took.

Two kinds are sent. A ping (QUEUE LATENCY of no queue) is answered at once, touches nothing and waits for no disk: its
time is what the event loop keeps everybody waiting. A PUSH is what a client does, with the sync that it waits for. It
is a process of its own, so that no work of whoever measures is taken for the server's.
"""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import uvloop

from load.disk import Disk
from load.figures import percentile
from load.probe import Probe
from load.wire import Wire

__all__ = ["Heard", "Pinger"]

PINGS_A_SECOND = 500
PUSHES_A_SECOND = 50


@dataclass(frozen=True)
class Heard:
    """What a pinger has measured since it was asked last, in milliseconds."""

    pings: int
    loop_p50: float
    loop_p999: float
    loop_max: float
    push_p50: float
    push_p99: float
    push_max: float
    own_p999: float  #: how late the pinger was itself: what the machine, not the server, adds
    errors: int
    disk_p50: float = 0.0  #: a few bytes written and synced beside the server; see `disk`
    disk_p99: float = 0.0

    def line(self) -> str:
        """For the report."""
        return (
            f"loop p50 {self.loop_p50:6.2f}  p99.9 {self.loop_p999:7.1f}  max {self.loop_max:7.1f} ms | "
            f"PUSH p50 {self.push_p50:5.1f}  p99 {self.push_p99:6.1f}  max {self.push_max:7.1f} ms | "
            f"pinger late p99.9 {self.own_p999:5.1f} ms | {self.pings} pings"
        ) + (f" | disk p50 {self.disk_p50:5.1f}  p99 {self.disk_p99:6.1f} ms" if self.disk_p50 else "")


class Pinger:
    """The process, while the `with` block lasts; with a directory it asks the disk there too."""

    def __init__(self, port: int, disk: Path | None = None) -> None:
        self.port = port
        self.disk = disk
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Begin to ping."""
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        command = [sys.executable, "-m", "load.ping", str(self.port), *([str(self.disk)] if self.disk else [])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End, and forget what was measured."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def take(self) -> Heard:
        """What was measured since the last call, or the start."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("take\n")
        self.process.stdin.flush()
        return Heard(**json.loads(self.process.stdout.readline()))


def _told(pings: Probe, pushes: Probe, disk: Disk | None) -> Heard:
    (loop, late), (taken, late_pushes) = pings.take(), pushes.take()
    own, syncs = late + late_pushes, disk.take() if disk else []
    return Heard(
        len(loop),
        percentile(loop, 50),
        percentile(loop, 99.9),
        max(loop, default=0.0),
        percentile(taken, 50),
        percentile(taken, 99),
        max(taken, default=0.0),
        percentile(own, 99.9),
        len(pings.failed) + len(pushes.failed),
        percentile(syncs, 50),
        percentile(syncs, 99),
    )


async def _ping(port: int, disk: Disk | None) -> None:
    job = '{"jid":"ping-%010d","jobtype":"Ping","args":[],"queue":"pinged"}'
    pings = Probe(await Wire.connect(port), lambda _: b"QUEUE LATENCY none", PINGS_A_SECOND)
    pushes = Probe(await Wire.connect(port), lambda number: f"PUSH {job % number}".encode(), PUSHES_A_SECOND)
    tasks = [asyncio.create_task(pings.run()), asyncio.create_task(pushes.run())]
    if disk:
        disk.start()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("ready", flush=True)
    while await reader.readline():
        print(json.dumps(_told(pings, pushes, disk).__dict__), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_ping(int(sys.argv[1]), Disk(Path(sys.argv[2])) if sys.argv[2:] else None))
