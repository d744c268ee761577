"""The load tool: building `jobload.c`, the loads that count, and what one run of it measured."""

import json
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["LOADS", "PLAIN", "Load", "LoadFailed", "Measure", "build_jobload", "run_jobload"]

SOURCE = Path(__file__).resolve().parent / "jobload.c"
PROGRAM = SOURCE.with_suffix("")

#: jobload stops issuing new jobs after this long, so that a slow server costs a minute and not an evening.
RUN_LIMIT_SECONDS = 60


class LoadFailed(Exception):
    """jobload cannot be built here, or a server answered it with errors."""


@dataclass(frozen=True)
class Load:
    """One way to load a server, and how close the server must come to a yardstick under it.

    The yardstick is the reference under the same load; where `plain` names another load, it is the same server under
    that one, in the same round: what a feature costs the jobs that use it.
    """

    name: str
    mode: str
    connections: int
    #: Jobs of a full run by sync mode; about three seconds each on a quiet two-core machine.
    jobs: dict[str, int]
    #: Least ratio to the yardstick; without the jid index, every load has the same one to the reference.
    target: float
    in_flight: int = 1
    bulk: int = 1
    #: The fields of every job but jid and queue, as jobload takes them; `%J` is the job's jid, `%B` the run's batch.
    body: str | None = None
    plain: "Load | None" = None

    @property
    def has_batch(self) -> bool:
        """Whether all jobs of a run belong to one batch, which must have begun before."""
        return self.body is not None and "%B" in self.body


def _asking(name: str, plain: Load, body: str) -> Load:
    """The load of `plain` with jobs that ask for a feature; such jobs must have half the speed at least."""
    jobs = {sync: count // 2 for sync, count in plain.jobs.items()}
    return Load(name, plain.mode, plain.connections, jobs, 0.5, plain.in_flight, plain.bulk, body, plain)


CYCLE = Load("cycle, 50 connections", "cycle", 50, {"never": 100_000, "always": 60_000}, 0.85)
PLAIN = Load("cycle, 10 x 16 in flight", "cycle", 10, {"never": 300_000, "always": 200_000}, 0.7, in_flight=16)

LOADS = (
    Load("cycle, 10 connections", "cycle", 10, {"never": 80_000, "always": 30_000}, 0.85),
    CYCLE,
    PLAIN,
    Load("PUSHB of 100", "push", 10, {"never": 800_000, "always": 500_000}, 0.6, bulk=100),
    # A feature is a job body here; a new row needs no more.
    *(
        _asking(f"{name}, {plain.name.removeprefix('cycle, ')}", plain, body)
        for plain in (CYCLE, PLAIN)
        for name, body in {
            "unique": '"jobtype":"SomeJob","args":["%J"],"custom":{"unique_for":600}',
            "tracked": '"jobtype":"SomeJob","args":[1,"string",3],"custom":{"track":1}',
            "batched": '"jobtype":"SomeJob","args":[1,"string",3],"custom":{"bid":"%B"}',
        }.items()
    ),
)


@dataclass(frozen=True)
class Measure:
    """What one run showed."""

    jobs: int
    jobs_per_second: float
    #: Per verb that the load sends: p50 and p99 in microseconds, from its write to its reply.
    latency_us: dict[str, tuple[float, float]]
    rss_mb: float
    #: User and system time of the server.
    cpu_seconds_per_100k_jobs: float
    #: Processor time that neither the server nor jobload used, in seconds: a large one spoils the sample.
    foreign_cpu_seconds: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


def build_jobload() -> Path:
    """Compile jobload unless it is newer than its source. Raises LoadFailed with the compiler's words."""
    if not sys.platform.startswith("linux"):
        raise LoadFailed("jobload needs epoll and /proc: the bench runs on Linux only")
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > SOURCE.stat().st_mtime:
        return PROGRAM
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise LoadFailed("no C compiler: the load tool jobload is written in C (apt install gcc libc6-dev)")
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-o", str(PROGRAM), str(SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LoadFailed(f"{compiler} cannot build jobload:\n{done.stderr}")
    return PROGRAM


def run_jobload(
    load: Load, *, jobs: int, port: int, pid: int, bid: str = "", rate: float = 0, seconds: float = RUN_LIMIT_SECONDS
) -> Measure:
    """Load the server on `port` with `jobs` jobs, of the batch `bid` if the load has one, for so long at most.

    With a rate so many jobs begin per second, whether earlier ones are through or not (an open loop), and PUSH is timed
    from the instant at which it was due.

    Raises LoadFailed when a reply is an error or missing.
    """
    arguments = {"-m": load.mode, "-c": load.connections, "-k": load.in_flight, "-b": load.bulk, "-n": jobs}
    command = [str(PROGRAM), "-p", "faktory", "-j", "-P", str(port), "-d", str(seconds)]
    for flag, value in arguments.items():
        command += [flag, str(value)]
    if rate:
        command += ["--open", str(rate)]
    if load.body is not None:
        command += ["--body", load.body.replace("%B", bid)]
    try:
        done = subprocess.run(
            [*command, "--pids", str(pid)],
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_SECONDS + 30,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{load.name}: jobload did not end {error.timeout:.0f} s after its start") from error
    if done.returncode != 0:
        raise LoadFailed(f"{load.name}: jobload failed: {done.stderr.strip()} {done.stdout.strip()}")
    return _measure(json.loads(done.stdout))


def _measure(report: dict[str, Any]) -> Measure:
    server = report["srv"][0]
    verbs = [verb for verb in ("PUSH", "FETCH", "ACK") if verb in report]
    return Measure(
        jobs=report["jobs"],
        jobs_per_second=report["rate"],
        latency_us={verb: (report[verb]["p50"], report[verb]["p99"]) for verb in verbs},
        rss_mb=server["rss_kb"] / 1024,
        cpu_seconds_per_100k_jobs=(server["user"] + server["sys"]) * 100_000 / report["jobs"],
        foreign_cpu_seconds=report["foreign_cpu"],
        seconds=report["secs"],
    )
