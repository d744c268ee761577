"""What a job costs as things grow: `make bench-scale`. Flat lines are wanted.

    backlog     how many jobs wait, up to ten million, with a real server under jobload: rates, memory, start
    queues      over how many queues the jobs are spread
    workers     over how many connected workers
    batches     over how many open batches

The last three are driven in this process as `guard_loop` does it, and the processor's time is counted: ten connections'
commands in a turn, the best of some rounds. Results go to a JSON file; `--page` writes the tables and charts of
docs/performance-scale.md (`scale_page`).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contestants import Lineshaft
from guard_loop import CONNECTIONS
from guard_loop import Lineshaft as InProcess
from jobload import LoadFailed, build_jobload
from machine import describe_machine
from scale_page import write_page
from servers import Server, memory_mb, stop_on_signals
from talk import ServerFailed, ask_info

from lineshaft.store.rocks import RocksStore

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"
MILLION = 1_000_000
#: A PUSH of such a job has 200 bytes, the verb not counted.
BODY = '"jobtype":"SomeJob","args":["' + "x" * 107 + '"]'
#: Of a backlog that is larger, so many are drained: it shows the rate, and the rest would take minutes.
MOST_DRAINED = 200_000
#: The limits of the issue, for the largest backlog.
MEMORY_LIMIT_MB = 300.0
START_LIMIT_SECONDS = 3.0
RATE_LIMIT = 0.8
#: Against the smallest measured, a job may cost so much more; what is measured scatters by a tenth.
FLAT_LIMIT = 1.25
ROUNDS = 5
JOBS = 3000

Figures = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write JSON and SVG; 1 when a limit was missed and `--check` given, or the server failed."""
    options = _parser().parse_args(arguments)
    stop_on_signals()
    options.results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scale-", dir=options.results))
    try:
        build_jobload()
        machine = describe_machine(scratch)
        backlog = [_measure_backlog(scratch / str(jobs), jobs) for jobs in _sizes(options.jobs)]
        spread = {
            name: _measure_spread(scratch, name, counts) for name, counts in SPREADS.items() if name in options.spread
        }
    except (LoadFailed, ServerFailed) as error:
        print(f"bench-scale: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    missed = _judge(backlog, spread)
    stamp = datetime.now(UTC)
    result = {
        "at": f"{stamp:%Y-%m-%dT%H:%M:%SZ}",
        "machine": machine,
        "backlog": backlog,
        "spread": spread,
        "missed": missed,
    }
    where = options.results / f"scale-{stamp:%Y%m%d-%H%M%S}.json"
    where.write_text(json.dumps(result, indent=2) + "\n")
    print(f"every figure: {where}")
    if options.page:
        write_page(result)
    for text in missed:
        print(f"MISSED: {text}")
    return 1 if options.check and missed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure what a job costs as backlog, queues, workers, batches grow.")
    parser.add_argument("--jobs", type=int, default=10 * MILLION, metavar="N", help="largest backlog (ten million; 0)")
    parser.add_argument("--spread", nargs="*", choices=list(SPREADS), default=list(SPREADS), help="which to measure")
    parser.add_argument("--page", action="store_true", help="write what was measured into docs/performance-scale.md")
    parser.add_argument("--check", action="store_true", help="exit 1 when a limit was missed")
    parser.add_argument("--results", type=Path, metavar="DIR", default=RESULTS, help="for the figures")
    return parser


# The backlog


def _sizes(largest: int) -> list[int]:
    return [jobs for jobs in (10_000, 100_000, MILLION, 10 * MILLION) if jobs < largest] + (
        [largest] if largest else []
    )


def _measure_backlog(directory: Path, jobs: int) -> Figures:
    """Push so many jobs, stop, start, drain; a small backlog several times, since it takes but a moment."""
    with Server(Lineshaft(), directory, sync="never") as server:
        rounds = max(1, 100_000 // jobs)
        # The first fill warms up; of a large one the start is no matter.
        rates = []
        for number in range(rounds + (rounds > 1)):
            pushed = _jobload(server, "push", jobs, {"-b": 100})
            if number < rounds - (rounds == 1):
                drained = _jobload(server, "drain", jobs, {"-k": 16})
                rates.append((pushed, drained))
        filled = memory_mb(server.pid)
        stop = server.stop()
        start = _timed_start(server, jobs)
        started = memory_mb(server.pid)
        drained = _jobload(server, "drain", min(jobs, MOST_DRAINED), {"-k": 16})
        rates = rates[1:] or [(pushed, drained)]
        emptied = memory_mb(server.pid)
        left = ask_info(server.port)["faktory"]["total_enqueued"]
    shutil.rmtree(directory, ignore_errors=True)
    if left != max(0, jobs - MOST_DRAINED):
        raise ServerFailed(f"{left} jobs were left of {jobs}")
    figures = {
        "jobs": jobs,
        "pushed_per_second": round(_mean([pushed[0] for pushed, _ in rates])),
        "drained_per_second": round(_mean([drained[0] for _, drained in rates])),
        "push_us": round(sum(pushed[1] for pushed, _ in rates) / len(rates), 1),
        "drain_us": round(sum(drained[1] for _, drained in rates) / len(rates), 1),
        "rss_mb_full": round(filled["rss"], 1),
        "rss_mb_peak": round(max(filled["peak"], emptied["peak"]), 1),
        "rss_mb_started": round(started["rss"], 1),
        "stop_seconds": round(stop, 2),
        "start_seconds": round(start, 2),
    }
    print(json.dumps(figures), flush=True)
    return figures


def _mean(rates: list[float]) -> float:
    """Of rates over equally many jobs: the harmonic mean."""
    return len(rates) / sum(1 / rate for rate in rates)


def _timed_start(server: Server, jobs: int) -> float:
    """Seconds from the start of the process to an INFO that counts every job. Raises ServerFailed."""
    began = time.perf_counter()
    server.start()
    counted = ask_info(server.port)["faktory"]["total_enqueued"]
    if counted != jobs:
        raise ServerFailed(f"{jobs:,} jobs were pushed, INFO says {counted:,}")
    return time.perf_counter() - began


def _jobload(server: Server, mode: str, jobs: int, flags: dict[str, int]) -> tuple[float, float]:
    """One run of the load tool with ten connections: jobs per second, and microseconds that the server's main thread
    took of the processor for each job: what bounds the rate where nobody else runs. Raises LoadFailed.
    """
    command = [str(build_jobload()), "-p", "faktory", "-j", "-P", str(server.port), "-m", mode, "-c", "10"]
    command += ["-n", str(jobs), "-d", "0", "--body", BODY]
    for flag, value in flags.items():
        command += [flag, str(value)]
    before = _main_thread_seconds(server.pid)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LoadFailed(f"jobload {mode}: {done.stderr.strip()} {done.stdout.strip()}")
    used = _main_thread_seconds(server.pid) - before
    return json.loads(done.stdout)["rate"], used * 1e6 / jobs


def _main_thread_seconds(pid: int) -> float:
    """User and system time of the thread that carries out the commands; RocksDB works in others."""
    fields = Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# Queues, workers, batches


class Sender:
    """Sends commands in turns, and counts the processor's time that the server takes for them."""

    def __init__(self, contestant: InProcess) -> None:
        self.contestant = contestant
        self.seconds = 0.0

    def cycle(
        self, who: list[tuple[Callable[[bytes], None], list[bytes]]], pushes: list[bytes], queues: list[bytes]
    ) -> None:
        """Each connection pushes its job, then fetches one, then acknowledges it."""
        for _, replies in who:
            replies.clear()
        self._turn(who, pushes)
        self._turn(who, [b"FETCH %b\r\n" % queue for queue in queues])
        jobs = [json.loads(replies[-1].split(b"\r\n")[1]) for _, replies in who]
        self._turn(who, [b'ACK {"jid":"%b"}\r\n' % job["jid"].encode() for job in jobs])
        assert all(replies[0] == replies[2] == b"+OK\r\n" for _, replies in who), "a command was refused"

    def _turn(self, who: list[tuple[Callable[[bytes], None], list[bytes]]], lines: list[bytes]) -> None:
        began = time.process_time()
        for (receive, _), line in zip(who, lines, strict=True):
            receive(line)
        self.contestant.end_turn()
        self.seconds += time.process_time() - began


def _measure_spread(scratch: Path, name: str, counts: list[int]) -> list[Figures]:
    found = []
    for count in counts:
        directory = scratch / f"{name}-{count}"
        store = RocksStore(directory)
        found.append({"count": count, "us_per_job": round(_cost(InProcess(store), name, count), 2)})
        store.close()
        shutil.rmtree(directory, ignore_errors=True)
        print(name, json.dumps(found[-1]), flush=True)
    return found


def _cost(contestant: InProcess, name: str, count: int) -> float:
    """Microseconds of the processor that a job costs from its PUSH to its ACK, when jobs are spread over so many."""
    connections = [contestant.connect(_wid(name, number)) for number in range(max(CONNECTIONS, _share(name, count)))]
    bids = [contestant.begin_batch() for _ in range(count)] if name == "batches" else []
    best = float("inf")
    numbers = iter(range(1 << 60))
    # Every one of what the jobs are spread over is there before anything is counted.
    for number in range(ROUNDS + 1):
        sender = Sender(contestant)
        jobs = max(JOBS, count) if number == 0 and name == "queues" else JOBS
        for each in _groups(numbers, jobs):
            who = [connections[one % len(connections)] for one in each]
            queues = [b"q%d" % (one % count) if name == "queues" else b"default" for one in each]
            custom = [f',"custom":{{"bid":"{bids[one % count]}"}}' if bids else "" for one in each]
            pushes = [
                f'PUSH {{"jid":"scale-{one:010}","queue":"{queue.decode()}",{BODY}{asked}}}\r\n'.encode()
                for one, queue, asked in zip(each, queues, custom, strict=True)
            ]
            sender.cycle(who, pushes, queues)
        if number:
            best = min(best, sender.seconds / jobs * 1e6)
    return best


def _groups(numbers: Iterator[int], jobs: int) -> Iterator[list[int]]:
    for _ in range(jobs // CONNECTIONS):
        yield [next(numbers) for _ in range(CONNECTIONS)]


def _wid(name: str, number: int) -> str:
    return f"worker-{number:06}" if name == "workers" else ""


def _share(name: str, count: int) -> int:
    return count if name == "workers" else 0


SPREADS = {
    "queues": [10, 100, 1000, 10_000],
    "workers": [10, 100, 1000, 5000],
    "batches": [10, 100, 1000, 10_000, 100_000],
}


# The verdict


def _judge(backlog: list[Figures], spread: dict[str, list[Figures]]) -> list[str]:
    """What missed its limit."""
    missed = []
    if backlog:
        small, large = backlog[0], backlog[-1]
        missed += [
            f"{what}: {large[what]:,} with {large['jobs']:,} jobs, {small[what]:,} with {small['jobs']:,}"
            for what in ("pushed_per_second", "drained_per_second")
            if large[what] < RATE_LIMIT * small[what]
        ]
        if large["rss_mb_peak"] >= MEMORY_LIMIT_MB:
            missed.append(f"memory: {large['rss_mb_peak']} MB, limit {MEMORY_LIMIT_MB:g}")
        if large["start_seconds"] >= START_LIMIT_SECONDS:
            missed.append(f"start: {large['start_seconds']} s, limit {START_LIMIT_SECONDS:g}")
    for name, found in spread.items():
        least, last = found[0]["us_per_job"], found[-1]["us_per_job"]
        if last > FLAT_LIMIT * least:
            missed.append(
                f"{name}: {last} us for a job with {found[-1]['count']:,}, {least} with {found[0]['count']:,}"
            )
    return missed


if __name__ == "__main__":
    sys.exit(main())
