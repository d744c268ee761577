"""A million enqueued jobs: what they cost in memory, and in a start: `make bench-backlog`.

Memory must follow the work in hand, not the backlog, and a start must not read the backlog. So this
enqueues a million jobs with the default settings (sync always, jid index on), reads the server's
memory, and times two starts on that data until the server answers HELLO and INFO counts every job:
one after a clean stop, one after SIGKILL.
"""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from contestants import Lineshaft
from jobload import Load, LoadFailed, build_jobload, run_jobload
from machine import describe_machine
from servers import Server, memory_mb, stop_on_signals
from talk import ServerFailed, ask_info

__all__ = ["main"]

RESULTS = Path(__file__).resolve().parent / "results"
MILLION = 1_000_000
MEMORY_LIMIT_MB = 200.0
START_LIMIT_SECONDS = 2.0


class WrongCount(Exception):
    """INFO does not count the jobs that were pushed."""


@dataclass(frozen=True)
class Finding:
    """One number, and the limit that it must stay under, if it has one."""

    label: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def is_met(self) -> bool:
        """Whether the value stays under its limit."""
        return self.limit is None or self.value < self.limit

    def line(self) -> str:
        """For the report."""
        judged = "" if self.limit is None else f"   limit {self.limit:g}   {'ok' if self.is_met else 'MISSED'}"
        return f"  {self.label:<40} {self.value:>9,.2f} {self.unit:<7}{judged}"


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 if `--check` was given and a limit was missed, or if the server failed."""
    options = _parser().parse_args(arguments)
    stop_on_signals()
    options.results.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=options.results))
    try:
        build_jobload()
        machine = describe_machine(scratch)
        findings = _measure(scratch, jobs=options.jobs)
    except (LoadFailed, ServerFailed, WrongCount) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{options.jobs:,} enqueued jobs")
    for finding in findings:
        print(finding.line())
    print("Machine")
    for label, text in machine.items():
        print(f"  {label:<10} {text}")
    return 1 if options.check and not all(finding.is_met for finding in findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure memory and start with a backlog of enqueued jobs.")
    parser.add_argument("--jobs", type=int, default=MILLION, metavar="N", help="jobs to enqueue (a million)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a limit is missed")
    parser.add_argument("--results", type=Path, metavar="DIR", default=RESULTS, help="for the data meanwhile")
    return parser


def _measure(scratch: Path, *, jobs: int) -> list[Finding]:
    fill = Load("PUSHB of 100", "push", 10, {}, target=0, bulk=100)
    server = Server(Lineshaft(), scratch, sync="always")
    with server:
        pushed = run_jobload(fill, jobs=jobs, port=server.port, pid=server.pid)
        _expect(server, jobs)
        full = memory_mb(server.pid)
        stop = server.stop()
        after_stop = _timed_start(server, jobs)
        idle = memory_mb(server.pid)
        server.kill()
        after_kill = _timed_start(server, jobs)
    return [
        Finding("push rate", pushed.jobs_per_second, "jobs/s"),
        Finding("memory after the last push", full["rss"], "MB", MEMORY_LIMIT_MB),
        Finding("memory at its peak", full["peak"], "MB", MEMORY_LIMIT_MB),
        Finding("clean stop", stop, "s"),
        Finding("start after a clean stop", after_stop, "s", START_LIMIT_SECONDS),
        Finding("memory after that start", idle["rss"], "MB", MEMORY_LIMIT_MB),
        Finding("start after SIGKILL", after_kill, "s", START_LIMIT_SECONDS),
    ]


def _timed_start(server: Server, jobs: int) -> float:
    """Seconds from the start of the process to an INFO that counts every job."""
    began = time.perf_counter()
    server.start()
    _expect(server, jobs)
    return time.perf_counter() - began


def _expect(server: Server, jobs: int) -> None:
    counted = ask_info(server.port)["faktory"]["total_enqueued"]
    if counted != jobs:
        raise WrongCount(f"{jobs:,} jobs were pushed, INFO says {counted:,}; the log:\n{server.log_tail()}")


if __name__ == "__main__":
    sys.exit(main())
