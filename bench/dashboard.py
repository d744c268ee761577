"""The dashboard over a million jobs of each kind, ten times open: `make bench-dashboard`.

Two promises are measured. Pages answer within 100 ms (a search: with what it has found by then), while ten browsers
watch and the server works at half of what it can. And the work hardly notices: the p99 of a PUSH, of an open-loop load
at that half, grows by less than a fifth.

    fill       a million enqueued over 200 queues, scheduled, retries, dead (kept with --data, since it takes minutes)
    maximum    closed loop: push, fetch, ack as fast as it goes
    half       open loop at half of it, nobody watching and ten watching in turn; the ratio of their p99s is judged
    pages      one browser more asks for one page after the other meanwhile

A dashboard is what a browser does: it holds the stream of `/live` and asks for its page again every two seconds.
"""

import argparse
import http.client
import json
import shutil
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contestants import Lineshaft
from jobload import Load, LoadFailed, Measure, build_jobload, run_jobload
from machine import describe_machine
from servers import Server, free_port, stop_on_signals
from talk import ServerFailed, ask_info

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"
MILLION = 1_000_000
QUEUES = 200
AT_ONCE = 1000
DASHBOARDS = 10
EVERY_SECONDS = 2.0

CYCLE = Load("cycle, 10 x 16 in flight", "cycle", 10, {}, in_flight=16)

PAGE_LIMIT_MS = 100.0
GROWTH_LIMIT = 1.2

#: Beyond these the promises say nothing: a page of the whole menu, and searches that find much, little and nothing.
PAGES = {
    "home": "/",
    "queues": "/queues",
    "a queue": "/queues/queue-007",
    "retries": "/retries",
    "scheduled": "/scheduled",
    "dead": "/morgue",
    "dead, oldest first": "/morgue?order=oldest",
    "busy": "/busy",
    "batches": "/batches",
    "periodic": "/periodic",
    "server": "/server",
    "metrics": "/metrics",
    "retries by error type": "/retries?errtype=Errno7",
    "search that finds much": "/retries?text=customer",
    "search that finds little": "/retries?text=customer-999983",
    "search that finds nothing": "/morgue?text=nowhere-to-be-found",
    "search of a queue": "/queues/queue-007?text=nowhere",
    "count before a bulk action": "/retries?confirm=retry&text=customer-99",
    "api, retries": "/api/v1/retries?text=customer-999983",
}
#: What the ten look at.
WATCHED = (
    "/",
    "/",
    "/queues",
    "/queues/queue-003",
    "/retries",
    "/morgue",
    "/scheduled",
    "/busy",
    "/server",
    "/retries",
)


class Watched(Lineshaft):
    """Our server with its pages, and room for a million dead jobs."""

    web_port = 0

    def command(self, port: int, directory: Path, sync: str) -> list[str]:
        """As usual, but with the pages."""
        command = super().command(port, directory, sync)
        settings = directory / "config" / "conf.d" / "bench.toml"
        settings.write_text(settings.read_text() + "\n[retention]\ndead_max = 100000000\n")
        self.__class__.web_port = free_port()
        return [f"127.0.0.1:{self.web_port}" if word == ":0" else word for word in command]


@dataclass
class Asked:
    """How long pages took, in milliseconds, by name."""

    ms: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, milliseconds: float) -> None:
        """It took so long."""
        self.ms.setdefault(name, []).append(milliseconds)

    @property
    def is_met(self) -> bool:
        """Whether nearly every answer came in time; one in twenty may meet a hiccup of a shared machine."""
        return all(at(times, 0.95) <= PAGE_LIMIT_MS for times in self.ms.values())


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 if `--check` was given and a promise was broken, or if the server failed."""
    options = _parser().parse_args(arguments)
    stop_on_signals()
    options.results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="dashboard-", dir=options.results))
    home = scratch if options.data is None else options.data
    try:
        build_jobload()
        print(f"{options.jobs:,} jobs each enqueued, scheduled, in retries and dead; {options.dashboards} dashboards")
        with Server(Watched(), home, sync=options.sync) as server:
            fill(server.port, options.jobs)
            if options.fill_only:
                return 0
            kept = measure(server, options)
        machine = describe_machine(scratch)
    except (LoadFailed, ServerFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print("Machine")
    for label, text in machine.items():
        print(f"  {label:<10} {text}")
    return 1 if options.check and not kept else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure the dashboard over a million jobs of each kind.")
    parser.add_argument("--jobs", type=int, default=MILLION, metavar="N", help="jobs of each kind (a million)")
    parser.add_argument("--dashboards", type=int, default=DASHBOARDS, metavar="N", help="how many watch (10)")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="length of each open-loop run (10)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs with and without dashboards (3)")
    parser.add_argument("--sync", default="always", choices=("always", "never"), help="as [storage] sync (always)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="fill this once, and use it again")
    parser.add_argument("--fill-only", action="store_true", help="only make what --data names")
    parser.add_argument("--check", action="store_true", help="exit 1 when a promise is broken")
    parser.add_argument("--results", type=Path, metavar="DIR", default=RESULTS, help="for the data meanwhile")
    return parser


def measure(server: Server, options: argparse.Namespace) -> bool:
    """Run everything, print it; whether the promises were kept."""
    fastest = run_jobload(CYCLE, jobs=10**8, port=server.port, pid=server.pid, limit_seconds=options.seconds / 2)
    rate = fastest.jobs_per_second / 2
    print(f"  maximum {fastest.jobs_per_second:,.0f} jobs/s; open loop at {rate:,.0f} jobs/s")
    alone: list[Measure] = []
    watched: list[Measure] = []
    asked = Asked()
    for _ in range(options.rounds):
        alone.append(_half(server, rate, options.seconds))
        with dashboards(Watched.web_port, options.dashboards), asking(Watched.web_port, asked):
            watched.append(_half(server, rate, options.seconds))
    ratio = _report_load(alone, watched)
    report_pages(asked)
    return ratio < GROWTH_LIMIT and asked.is_met


def _half(server: Server, rate: float, seconds: float) -> Measure:
    return run_jobload(CYCLE, jobs=10**8, port=server.port, pid=server.pid, per_second=rate, limit_seconds=seconds)


def _report_load(alone: list[Measure], watched: list[Measure]) -> float:
    for name, runs in (("nobody watches", alone), ("they watch", watched)):
        p50 = statistics.median(run.latency_us["PUSH"][0] for run in runs) / 1000
        p99s = [run.latency_us["PUSH"][1] / 1000 for run in runs]
        told = ", ".join(f"{p99:.2f}" for p99 in p99s)
        print(f"  PUSH, {name:<16} p50 {p50:7.2f} ms   p99 {statistics.median(p99s):7.2f} ms ({told})")
    ratio = statistics.median(run.latency_us["PUSH"][1] for run in watched) / statistics.median(
        run.latency_us["PUSH"][1] for run in alone
    )
    print(f"  growth of the p99: {ratio:.2f}, limit {GROWTH_LIMIT}   {'ok' if ratio < GROWTH_LIMIT else 'MISSED'}")
    return ratio


def report_pages(asked: Asked) -> None:
    """A line for each page."""
    for name, times in asked.ms.items():
        judged = "ok" if at(times, 0.95) <= PAGE_LIMIT_MS else "MISSED"
        print(
            f"  {name:<28} p50 {at(times, 0.5):6.1f} ms   p95 {at(times, 0.95):6.1f} ms   "
            f"max {max(times):6.1f} ms   n {len(times):<4} {judged}"
        )


def at(times: list[float], share: float) -> float:
    """The time within which that share came."""
    ordered = sorted(times)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


# What a browser does


@contextmanager
def dashboards(port: int, count: int) -> Iterator[None]:
    """So many dashboards are open until the block ends."""
    closing = threading.Event()
    threads = []
    for number in range(count):
        path = WATCHED[number % len(WATCHED)]
        threads.append(threading.Thread(target=_hold_stream, args=(port, closing), daemon=True))
        threads.append(threading.Thread(target=_look_again, args=(port, path, closing, number / count), daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        closing.set()
        for thread in threads:
            thread.join()


def _hold_stream(port: int, closing: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    connection.request("GET", "/live")
    stream = connection.getresponse()
    while not closing.is_set():
        stream.readline()
    connection.close()


def _look_again(port: int, path: str, closing: threading.Event, phase: float) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    closing.wait(phase * EVERY_SECONDS)
    while not closing.is_set():
        get(connection, path, **{"X-Live": "1"})
        closing.wait(EVERY_SECONDS)
    connection.close()


@contextmanager
def asking(port: int, asked: Asked) -> Iterator[None]:
    """One browser asks for each page in turn, until the block ends."""
    closing = threading.Event()

    def ask_all() -> None:
        while not closing.is_set():
            ask_each(port, asked, closing)

    thread = threading.Thread(target=ask_all, daemon=True)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


def ask_each(port: int, asked: Asked, closing: threading.Event | None = None) -> None:
    """Ask for each page once."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for name, path in PAGES.items():
        if closing is not None and closing.is_set():
            break
        began = time.perf_counter()
        get(connection, path)
        asked.add(name, (time.perf_counter() - began) * 1000)
        if closing is not None:
            # Somebody who clicks quickly, not a load test.
            closing.wait(0.05)
    connection.close()


def get(connection: http.client.HTTPConnection, path: str, **headers: str) -> bytes:
    """A page, whole. Raises ServerFailed when it is none."""
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise ServerFailed(f"GET {path} was answered with {answer.status}: {body[:200].decode(errors='replace')}")
    return body


# A million of each


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
    minute, second = number // 60 % 60, number % 60
    arrival: dict[str, Any] = {"job": job, "place": place}
    if place != "ready":
        year = 2026 if place == "dead" else 2031
        arrival["at"] = f"{year}-01-{1 + number % 20:02}T{number // 3600 % 24:02}:{minute:02}:{second:02}Z"
    if place in ("retries", "dead"):
        job["failure"] = {
            "retry_count": number % 25,
            "failed_at": "2026-11-01T10:00:00Z",
            "message": f"connection to 10.0.{number % 256}.7 refused after {number % 30} s",
            "errtype": f"Errno{number % 700}",
            "backtrace": ["app/jobs/sync.rb:41:in `perform'", "lib/net/http.rb:88:in `connect'"],
        }
    return arrival


if __name__ == "__main__":
    sys.exit(main())
