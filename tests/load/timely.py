"""Scheduled jobs start at their time, while the server is busy and a million others wait.

    make timely                              # five minutes, a million waiting, 10,000 cycles a second asked for
    make timely ARGS="--jobs 20000 --seconds 20 --rate 2000"

The set is filled with jobs for tomorrow; 278 jobs a second (a million in an hour) are due over the next minutes, each
at an instant of its own; `bench/jobload` asks for so many PUSH, FETCH and ACK a second in an open loop, over ten
connections with up to 16 cycles under way on each. Workers fetch what is due and compare the clock with the instant
that stands in the job's arguments. The limit is 100 ms late (99 %), while the load that was asked for runs: where the
machine did not carry it, that is missed too, and said in a line of its own, since jobs that start in time beside a
smaller load prove less.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from jobload import build_jobload

from load.figures import percentile, usage_of
from load.wire import Wire, instant
from processes import ServerProcess, stop_on_sigterm

__all__ = ["judge", "main", "measure"]

A_SECOND = 278
LATE_LIMIT_MS = 100.0
#: Of the cycles that were asked for, so many must have been carried out: they come at random instants.
RATE_LIMIT = 0.98
CHUNK = 500
WORKERS = 10


async def _push(wire: Wire, jobs: list[dict[str, object]]) -> None:
    assert await wire.ask(b"PUSHB " + json.dumps(jobs, separators=(",", ":")).encode()) == b"{}"


async def _fill(port: int, count: int) -> None:
    """What waits until tomorrow."""
    wire, at = await Wire.connect(port), instant(86_400)
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        await _push(wire, [{"jid": f"wait-{n:08d}", "jobtype": "T", "args": [n], "at": at} for n in numbers])
    wire.close()


async def _schedule(port: int, seconds: int) -> float:
    """What is due in the time to come, evenly; returns when the first is."""
    wire, begin = await Wire.connect(port), time.time() + 5 + seconds * A_SECOND / 20_000
    for second in range(seconds):
        dues = [begin + second + n / A_SECOND for n in range(A_SECOND)]
        jobs: list[dict[str, object]] = [
            {"jid": f"due-{due:.6f}", "jobtype": "T", "args": [due], "queue": "due", "at": instant(due - time.time())}
            for due in dues
        ]
        await _push(wire, jobs)
    wire.close()
    return begin


async def _work(port: int, count: int, late: list[float]) -> None:
    """One connection of the worker: how late each job came to it, in milliseconds, until there were so many."""
    wire = await Wire.connect(port, {"v": 2, "wid": "timely", "hostname": "h", "pid": 1, "labels": []})
    while len(late) < count:
        job = await wire.ask_json(b"FETCH due")
        if job is not None:
            late.append((time.time() - job["args"][0]) * 1000)
            await wire.ask(b"ACK " + json.dumps({"jid": job["jid"]}).encode())
    wire.close()


async def _measure(server: ServerProcess, jobs: int, seconds: int, rate: int) -> tuple[list[float], dict[str, object]]:
    assert server.process is not None
    jobload = str(build_jobload())
    await _fill(server.port, jobs)
    begin = await _schedule(server.port, seconds)
    await asyncio.sleep(max(begin - 1 - time.time(), 0))
    command = [jobload, "-j", "-p", "faktory", "-m", "cycle", "-c", "10", "-k", "16", "-P", str(server.port)]
    command += ["-n", str(rate * seconds), "-d", str(seconds), "--rate", str(rate)]
    before, began = usage_of(server.process.pid), time.monotonic()
    load = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    late: list[float] = []
    await asyncio.gather(*[_work(server.port, seconds * A_SECOND, late) for _ in range(WORKERS)])
    said, _ = await load.communicate()
    busy = (usage_of(server.process.pid).cpu_seconds - before.cpu_seconds) / (time.monotonic() - began)
    return late, {**json.loads(said), "busy": busy}


def measure(jobs: int, seconds: int, rate: int, root: Path, *, sync: str = "always") -> tuple[bool, str]:
    """Whether the limits were kept, and the report."""
    with ServerProcess(root, f'[storage]\nsync = "{sync}"\n') as server:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            late, load = runner.run(_measure(server, jobs, seconds, rate))
        assert server.stop() == 0
    text = (
        f"{len(late):,} scheduled jobs over {seconds} s, {jobs:,} others waiting, sync {sync}\n"
        f"late: p50 {percentile(late, 50):.1f}  p99 {percentile(late, 99):.1f}  max {max(late):.1f} ms\n"
        f"load meanwhile: {load['rate']:,.0f} cycles a second of {rate:,} asked for; "
        f"server {100 * float(str(load['busy'])):.0f} % of a core"
    )
    missed = judge(late, float(str(load["rate"])), rate)
    return not missed, "\n".join([text, *(f"MISSED: {one}" for one in missed)])


def judge(late: Sequence[float], reached: float, asked: int) -> list[str]:
    """What was missed: that jobs start in time, and that they do so beside the load that was asked for."""
    missed = []
    if (worst := percentile(late, 99)) >= LATE_LIMIT_MS:
        missed.append(f"99 % of the jobs within {worst:.1f} ms of their time, limit {LATE_LIMIT_MS:g}")
    if reached < RATE_LIMIT * asked:
        missed.append(f"only {reached:,.0f} cycles a second, {asked:,} asked for")
    return missed


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when a limit was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--sync", choices=["always", "interval", "never"], default="always")
    options = parser.parse_args(arguments)
    stop_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="timely-") as scratch:
        is_met, text = measure(options.jobs, options.seconds, options.rate, Path(scratch), sync=options.sync)
    print(text)
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
