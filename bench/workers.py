"""How many jobs the workers of each library get through, on this machine: Lineshaft, Celery, RQ, Dramatiq, arq.

    python bench/workers.py [--rounds 3] [--scale 1.0] [--only lineshaft,celery] [--json FILE]
                            [--python arq=/tmp/arq/bin/python]

A library is measured when it is installed; where two cannot be in one environment (Celery and arq want different
versions of redis), `--python` names that of one. Those on Redis need a `redis-server` on the path; it is started here
on a port of its own, with nothing written to disk. Lineshaft's server runs as it comes: every push synced to disk.

What is measured: worker processes started on a queue that is full, and nothing else. Each job adds a byte to a file, so
that the jobs of all processes are counted alike; the clock runs from the first count to the last. What a job is, and
how each library is pushed to and run, in which settings, is in `python_workers`; a library is judged by the best of
each column. Rounds alternate, the tables show medians. Numbers of two machines cannot be compared, nor those of a busy
one.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from python_workers import KINDS, SYSTEMS, Setting, is_ours
from servers import free_port

__all__ = ["available", "await_count", "measure", "running"]

PYTHON_WORKERS: Final = Path(__file__).resolve().parent / "python_workers.py"
WAIT_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.004


@contextmanager
def serving(command: list[str], port: int) -> Iterator[None]:
    """A server, until the block ends."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"did not start: {' '.join(command)}") from None
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def broker(name: str, folder: Path) -> Iterator[str]:
    """The server of a library, fresh, and its URL."""
    port = free_port()
    if is_ours(name):
        (folder / "config").mkdir()
        command = [sys.executable, "-m", "lineshaft", "serve", "-b", f"127.0.0.1:{port}", "-w", ":0"]
        command += ["-d", str(folder / "data"), "-c", str(folder / "config"), "-e", "development"]
        with serving(command, port):
            yield f"tcp://127.0.0.1:{port}"
    else:
        with serving(["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"], port):
            yield f"redis://127.0.0.1:{port}/0"


def measure(name: str, setting: Setting, kind: str, jobs: int, python: str) -> float:
    """One round: jobs per second from the first that is counted to the last."""
    with tempfile.TemporaryDirectory() as place, broker(name, Path(place)) as url:
        count = Path(place) / "count"
        count.touch()
        push(python, name, url, kind, jobs)
        number = SYSTEMS[name].settings.index(setting)
        command = [python, str(PYTHON_WORKERS), "work", name, url, str(number)]
        with running(command, setting.processes, {**os.environ, "BENCH_COUNT": str(count)}) as workers:
            begun = await_count(count, 1, workers)
            ended = await_count(count, jobs, workers)
    return (ended[0] - begun[0]) / (ended[1] - begun[1])


@contextmanager
def running(
    command: list[str], processes: int, environment: dict[str, str]
) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """Worker processes, until the block ends; with what they have started."""
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    workers = [subprocess.Popen(command, env=environment, **quiet) for _ in range(processes)]
    try:
        yield workers
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def await_count(count: Path, jobs: int, workers: "list[subprocess.Popen[bytes]]") -> tuple[int, float]:
    """How many are counted once it is as many as these, and when that was. Raises SystemExit."""
    end = time.monotonic() + WAIT_SECONDS
    while (counted := count.stat().st_size) < jobs:
        if any(worker.poll() is not None for worker in workers) or time.monotonic() > end:
            raise SystemExit(f"a worker ended, or takes too long, after {counted} jobs: {workers[0].args!r}")
        time.sleep(LOOK_SECONDS)
    return counted, time.monotonic()


def push(python: str, name: str, url: str, kind: str, count: int) -> None:
    """Push, in a process of its own."""
    command = [python, str(PYTHON_WORKERS), "push", name, url, kind, str(count)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, timeout=WAIT_SECONDS)


def available(only: list[str], pythons: dict[str, str]) -> dict[str, str]:
    """The libraries that are installed, among those that are asked for, and the interpreter of each."""
    has_redis = shutil.which("redis-server") is not None
    found = {}
    for name, system in SYSTEMS.items():
        if only and not any(name.startswith(one) for one in only):
            continue
        python = pythons.get(system.package, sys.executable)
        probe = subprocess.run([python, "-c", f"import {system.package}"], check=False, capture_output=True)
        if probe.returncode or not (has_redis or system.package == "lineshaft"):
            print(f"{name}: not installed for {python}, or no redis-server", file=sys.stderr)
        else:
            found[name] = python
    return found


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of jobs")
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--python", action="append", default=[], metavar="LIBRARY=PATH")
    parser.add_argument("--json", type=Path)
    compare(parser.parse_args())


Rates = dict[tuple[str, Setting, str], list[float]]
"""By library, setting and kind of job."""


def compare(options: argparse.Namespace) -> None:
    """All rounds of all settings, in alternation."""
    pythons = available(options.only, dict(one.split("=", 1) for one in options.python))
    rates: Rates = {}
    for _ in range(options.rounds):
        for name, python in pythons.items():
            for setting in SYSTEMS[name].settings:
                for kind in KINDS:
                    rate = measure(name, setting, kind, max(100, round(setting.jobs * options.scale)), python)
                    rates.setdefault((name, setting, kind), []).append(rate)
                    print(f"{name}, {setting}, {kind}: {rate:,.0f} jobs/s", file=sys.stderr, flush=True)
    print_settings(rates)
    print_best(rates)
    if options.json:
        options.json.write_text(
            json.dumps([[name, str(how), kind, found] for (name, how, kind), found in rates.items()])
        )


def print_settings(rates: Rates) -> None:
    """Every setting's medians."""
    print("| Worker | processes x jobs at a time | noop, jobs/s | 1 ms, jobs/s |\n| --- | --- | --- | --- |")
    for name, setting in dict.fromkeys((name, setting) for name, setting, _ in rates):
        medians = [statistics.median(rates[name, setting, kind]) for kind in KINDS]
        print(f"| {name} | {setting} | {medians[0]:,.0f} | {medians[1]:,.0f} |")


def print_best(rates: Rates) -> None:
    """The best setting of each, and how many times as many the best of ours does."""
    best: dict[str, dict[str, float]] = {}
    for (name, _, kind), found in rates.items():
        kinds = best.setdefault(name, dict.fromkeys(KINDS, 0.0))
        kinds[kind] = max(kinds[kind], statistics.median(found))
    ours = {kind: max([all_[kind] for name, all_ in best.items() if is_ours(name)], default=0.0) for kind in KINDS}
    print("\n| At its best | noop, jobs/s | ours to it | 1 ms, jobs/s | ours to it |\n| --- | --- | --- | --- | --- |")
    for name, kinds in best.items():
        cells = [f"{kinds[kind]:,.0f} | {ours[kind] / kinds[kind]:.1f}" for kind in KINDS]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
