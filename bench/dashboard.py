"""The dashboard over a million jobs of each kind, ten times open: `make bench-dashboard`.

Two promises are measured. Pages answer within 100 ms (a search: with what it has found by then), while ten browsers
watch and the server works at half of what it can. And the work hardly notices: the p99 of a PUSH, of an open-loop load
at that half, grows by less than a fifth.

    fill       a million enqueued over 200 queues, scheduled, retries, dead (kept with --data, since it takes minutes)
    cost       what each page, the ten and a search take of the loop's time, whatever else the machine does
    maximum    closed loop: push, fetch, ack as fast as it goes
    half       open loop at half of it, nobody watching and ten watching in turn; the ratio of their p99s is judged
    search     the same load while one browser searches everything for what is nowhere: told, not judged
    pages      the same load and the ten, and one browser more asks for one page after the other

What browsers do is in `browsers`, the jobs in `millions`.
"""

import argparse
import http.client
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from browsers import EVERY_SECONDS, PAGE_LIMIT_MS, PAGES, SEARCHED, Asked, asking, at, dashboards, get, searching
from contestants import Lineshaft
from jobload import Load, LoadFailed, Measure, build_jobload, run_jobload
from machine import describe_machine
from millions import MILLION, fill
from servers import Server, free_port, stop_on_signals
from talk import ServerFailed

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"
DASHBOARDS = 10
#: So often a page is asked for to see what it costs.
COSTED = 5

#: What the server can do, and the load at half of it, as `make bench` has them: with 200 connections a job nearly
#: always finds an idle one, and waits for the server alone.
MAXIMUM = Load("maximum", "cycle", 50, {})
HALF = Load("half of it", "cycle", 200, {})

GROWTH_LIMIT = 1.2


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
            cost(server, options)
            kept = options.cost_only or measure(server, options)
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
    parser.add_argument("--cost-only", action="store_true", help="only what does not need a quiet machine")
    parser.add_argument("--check", action="store_true", help="exit 1 when a promise is broken")
    parser.add_argument("--results", type=Path, metavar="DIR", default=RESULTS, help="for the data meanwhile")
    return parser


def cost(server: Server, options: argparse.Namespace) -> None:
    """What pages, dashboards and a search cost the thread that serves everyone, whatever else the machine does."""
    port = Watched.web_port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for name, path in PAGES.items():
        get(connection, path)
        before = loop_seconds(server.pid)
        for _ in range(COSTED):
            get(connection, path)
        print(f"  {name:<28} {(loop_seconds(server.pid) - before) / COSTED * 1000:6.1f} ms of the loop")
    connection.close()
    with dashboards(port, options.dashboards):
        time.sleep(EVERY_SECONDS)
        share = _share(server.pid, options.seconds)
    print(f"  {options.dashboards} dashboards take {share:.1%} of the loop")
    with searching(port) as searched:
        share = _share(server.pid, options.seconds)
    print(
        f"  a search takes {share:.1%} of the loop ({searched.rows / options.seconds:,.0f} jobs looked at per second)"
    )


def _share(pid: int, seconds: float) -> float:
    """How much of the time the loop's thread runs."""
    before, began = loop_seconds(pid), time.perf_counter()
    time.sleep(seconds)
    return (loop_seconds(pid) - before) / (time.perf_counter() - began)


def loop_seconds(pid: int) -> float:
    """How long a process's first thread, which is that of its loop, has run on a processor."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def measure(server: Server, options: argparse.Namespace) -> bool:
    """Run everything, print it; whether the promises were kept."""
    fastest = run_jobload(MAXIMUM, jobs=10**8, port=server.port, pid=server.pid, limit_seconds=options.seconds / 2)
    rate = fastest.jobs_per_second / 2
    print(f"  maximum {fastest.jobs_per_second:,.0f} jobs/s; open loop at {rate:,.0f} jobs/s")
    alone: list[Measure] = []
    watched: list[Measure] = []
    for _ in range(options.rounds):
        alone.append(_half(server, rate, options.seconds))
        with dashboards(Watched.web_port, options.dashboards):
            watched.append(_half(server, rate, options.seconds))
    ratio = _report_load(alone, watched)
    with searching(Watched.web_port) as searched:
        told(f"one searches ({len(SEARCHED)} sets)", [_half(server, rate, options.seconds)])
    print(f"  searches that went through a set meanwhile: {searched.through}, {searched.rows:,} jobs looked at")
    asked = Asked()
    with dashboards(Watched.web_port, options.dashboards), asking(Watched.web_port, asked):
        told("they watch, one clicks", [_half(server, rate, 2 * options.seconds)])
    report_pages(asked)
    return ratio < GROWTH_LIMIT and asked.is_met


def _half(server: Server, rate: float, seconds: float) -> Measure:
    return run_jobload(HALF, jobs=10**8, port=server.port, pid=server.pid, per_second=rate, limit_seconds=seconds)


def _report_load(alone: list[Measure], watched: list[Measure]) -> float:
    told("nobody watches", alone)
    told("they watch", watched)
    ratio = statistics.median(run.latency_us["PUSH"][1] for run in watched) / statistics.median(
        run.latency_us["PUSH"][1] for run in alone
    )
    print(f"  growth of the p99: {ratio:.2f}, limit {GROWTH_LIMIT}   {'ok' if ratio < GROWTH_LIMIT else 'MISSED'}")
    return ratio


def told(name: str, runs: list[Measure]) -> None:
    """A line of what PUSHes took in some runs."""
    p50 = statistics.median(run.latency_us["PUSH"][0] for run in runs) / 1000
    p99s = [run.latency_us["PUSH"][1] / 1000 for run in runs]
    each = ", ".join(f"{p99:.2f}" for p99 in p99s)
    print(f"  PUSH, {name:<24} p50 {p50:7.2f} ms   p99 {statistics.median(p99s):7.2f} ms ({each})")


def report_pages(asked: Asked) -> None:
    """A line for each page."""
    for name, times in asked.ms.items():
        judged = "ok" if at(times, 0.95) <= PAGE_LIMIT_MS else "MISSED"
        print(
            f"  {name:<28} p50 {at(times, 0.5):6.1f} ms   p95 {at(times, 0.95):6.1f} ms   "
            f"max {max(times):6.1f} ms   n {len(times):<4} {judged}"
        )


if __name__ == "__main__":
    sys.exit(main())
