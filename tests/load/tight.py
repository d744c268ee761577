"""A backlog much larger than the memory that the server is allowed.

    make tight                               # 2 GB of jobs in 256 MB
    make tight ARGS="--megabytes 200 --allowed 128"

The server runs in a control group of its own, which counts all memory: the process's own, and the page cache of its
files. What exceeds the limit is taken from the cache, and where that is not enough, the process is killed, which fails
the run. Where no control group can be made (that takes root), the process's own memory is measured instead and must
stay under the limit; the report says which of the two it was. Arguments are random, so compression makes little of them
smaller.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import uvloop

from load.figures import percentile, usage_of
from load.wire import Wire
from processes import ServerProcess, stop_on_sigterm

__all__ = ["main", "measure"]

ARGS_BYTES = 2000
CHUNK = 100
DRAINED = 20_000
START_LIMIT_SECONDS = 10.0

GROUPS = Path("/sys/fs/cgroup")


class Allowance:
    """The control group, of either version; None of both where none can be made."""

    def __init__(self, allowed_bytes: int) -> None:
        name = f"lineshaft-tight-{os.getpid()}"
        self.old = (GROUPS / "memory").is_dir()
        self.path: Path | None = (GROUPS / "memory" if self.old else GROUPS) / name
        try:
            self.path.mkdir()
            limit = "memory.limit_in_bytes" if self.old else "memory.max"
            (self.path / limit).write_text(str(allowed_bytes))
        except OSError:
            if self.path.is_dir():
                self.path.rmdir()
            self.path = None

    def take(self, pid: int) -> None:
        """Have a process count here from now on."""
        if self.path is not None:
            (self.path / "cgroup.procs").write_text(str(pid))

    def peak_bytes(self) -> int | None:
        """The most that was counted at once; None where the kernel does not say."""
        peak = None if self.path is None else self.path / ("memory.max_usage_in_bytes" if self.old else "memory.peak")
        return int(peak.read_text()) if peak is not None and peak.exists() else None

    def close(self) -> None:
        """Take it away; the processes in it have ended."""
        if self.path is not None:
            self.path.rmdir()


@contextmanager
def _allowance(allowed_bytes: int) -> Iterator[Allowance]:
    allowance = Allowance(allowed_bytes)
    try:
        yield allowance
    finally:
        allowance.close()


class Run:
    """One run on one server."""

    def __init__(self, server: ServerProcess, allowance: Allowance, allowed_bytes: int) -> None:
        self.server, self.allowance, self.allowed_bytes = server, allowance, allowed_bytes
        self.lines: list[str] = []
        self.faults: list[str] = []

    def start(self) -> float:
        """Start the server in its group; returns the seconds until it answers."""
        began = time.monotonic()
        self.server.start()
        assert self.server.process is not None
        self.allowance.take(self.server.process.pid)
        return time.monotonic() - began

    def note(self, what: str, figures: str) -> None:
        """A line of the report, with the memory at that moment."""
        assert self.server.process is not None
        usage = usage_of(self.server.process.pid)
        own = usage.anonymous_bytes
        if own > self.allowed_bytes:
            self.faults.append(f"{what}: {own / 1e6:.0f} MB of its own")
        self.lines.append(f"{what:<22} {figures:<62} rss {usage.rss_bytes / 1e6:5.0f} MB, its own {own / 1e6:5.0f} MB")

    async def fill(self, jobs: int) -> None:
        """Push the backlog; how long each PUSHB of CHUNK takes is told for the first and the last tenth."""
        wire, chance, taken = await Wire.connect(self.server.port), random.Random(2026), []
        began = time.monotonic()
        for start in range(0, jobs, CHUNK):
            chunk = [
                {
                    "jid": f"tight-{number:08d}",
                    "jobtype": "T",
                    "args": [base64.b64encode(chance.randbytes(ARGS_BYTES * 3 // 4)).decode()],
                }
                for number in range(start, min(start + CHUNK, jobs))
            ]
            line = b"PUSHB " + json.dumps(chunk).encode()
            sent = time.monotonic()
            assert await wire.ask(line) == b"{}"
            taken.append((time.monotonic() - sent) * 1000)
        rate, tenth = jobs / (time.monotonic() - began), max(len(taken) // 10, 1)
        first, last = percentile(taken[:tenth], 50), percentile(taken[-tenth:], 50)
        self.note("fill", f"{rate:,.0f} jobs/s; a PUSHB of {CHUNK}: {first:.1f} ms at first, {last:.1f} ms at the end")
        wire.close()

    async def use(self, what: str, drained: int) -> None:
        """Push, fetch and acknowledge, one after the other, on the whole backlog."""
        wire, pushed, worked = await Wire.connect(self.server.port), [], []
        began = time.monotonic()
        for number in range(drained):
            sent = time.monotonic()
            job = await wire.ask_json(b"FETCH default")
            await wire.ask(b"ACK " + json.dumps({"jid": job["jid"]}).encode())
            worked.append((time.monotonic() - sent) * 1000)
            if number % 20 == 0:
                sent = time.monotonic()
                await wire.ask(b'PUSH {"jid":"more-%06d","jobtype":"T","args":[]}' % number)
                pushed.append((time.monotonic() - sent) * 1000)
        rate = drained / (time.monotonic() - began)
        times = f"p99 {percentile(worked, 99):.1f} ms; PUSH p99 {percentile(pushed, 99):.1f} ms"
        self.note(what, f"{rate:,.0f} FETCH and ACK/s, {times}")
        wire.close()

    async def count(self) -> int:
        """How many jobs INFO counts."""
        wire = await Wire.connect(self.server.port)
        counted: int = (await wire.ask_json(b"INFO"))["faktory"]["total_enqueued"]
        wire.close()
        return counted

    async def run(self, jobs: int) -> None:
        """Fill, use, kill, start, use again."""
        drained = min(DRAINED, jobs // 4)
        await self.fill(jobs)
        await self.use("use", drained)
        before = await self.count()
        self.server.kill()
        seconds = self.start()
        if seconds > START_LIMIT_SECONDS:
            self.faults.append(f"the start took {seconds:.1f} s")
        after = await self.count()
        self.note("start after SIGKILL", f"{seconds:.2f} s, {after:,} jobs")
        if after != before:
            self.faults.append(f"{before:,} jobs before, {after:,} after")
        await self.use("use after the start", drained)


def measure(megabytes: int, allowed: int, root: Path) -> tuple[list[str], list[str]]:
    """The report, and what was wrong."""
    jobs, server = megabytes * 1_000_000 // ARGS_BYTES, ServerProcess(root)
    with _allowance(allowed << 20) as allowance:
        run = Run(server, allowance, allowed << 20)
        try:
            run.start()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(run.run(jobs))
            if server.stop() != 0:
                run.faults.append("the stop failed")
        finally:
            if server.process is not None and server.process.poll() is None:
                server.kill()
        peak = allowance.peak_bytes()
    disk = sum(path.stat().st_size for path in server.data.iterdir() if path.is_file()) / 1e6
    how = "its own memory as measured" if allowance.path is None else "enforced by a control group, page cache included"
    head = f"{jobs:,} jobs, {megabytes:,} MB of arguments, {disk:,.0f} MB on disk; {allowed} MiB allowed, {how}"
    told = [] if peak is None else [f"the most that the group has counted: {peak >> 20} MiB"]
    return [head, *run.lines, *told], run.faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--allowed", type=int, default=256)
    parser.add_argument("--under", type=Path, help="where the data lies meanwhile")
    options = parser.parse_args(arguments)
    stop_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="tight-", dir=options.under) as scratch:
        lines, faults = measure(options.megabytes, options.allowed, Path(scratch))
    print("\n".join([*lines, *[f"FAULT: {fault}" for fault in faults]]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
