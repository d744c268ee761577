"""The load tool: building `jobload.c`, what a load is, and what one run of it measured."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Load", "LoadFailed", "Measure", "build_jobload", "has_tls", "run_jobload"]

SOURCE = Path(__file__).resolve().parent / "jobload.c"
PROGRAM = SOURCE.with_suffix("")
#: TLS and passwords are measured where OpenSSL's headers are; everything else needs a C compiler alone.
TLS_FLAGS = ["-DWITH_TLS", "-lssl", "-lcrypto"]

#: jobload stops issuing new jobs after this long, so that a slow server costs a minute and not an evening.
RUN_LIMIT_SECONDS = 60.0
#: Of a core: where others used more, on a machine of two, they had a part in what was measured.
MUCH = 0.5


class LoadFailed(Exception):
    """jobload cannot be built here, or a server answered it with errors."""


@dataclass(frozen=True)
class Load:
    """One way to load a server, and how close the server must come to a yardstick under it.

    The yardsticks are the reference and beanstalkd under the same load; where `plain` names another load, it is the
    same server under that one, in the same round: what a feature costs the jobs that use it.
    """

    name: str
    mode: str
    connections: int
    #: Jobs of a full run by sync mode; about three seconds each on a quiet two-core machine.
    jobs: dict[str, int]
    #: Least ratio to the reference, or to the plain load; 0 where none is asked for.
    target: float = 0.0
    #: The sync modes in which that target is the bench's own aim; in the others it was set before the server was built.
    own_aims: tuple[str, ...] = ()
    in_flight: int = 1
    bulk: int = 1
    #: The fields of every job but jid and queue, as jobload takes them; `%J` is the job's jid, `%B` the run's batch,
    #: `%P` a priority.
    body: str | None = None
    plain: "Load | None" = None
    #: Length of the JSON of `args`; 0 is jobload's own, of 14 bytes.
    args_bytes: int = 0
    queues: int = 1
    per_fetch: int = 1
    #: `tls` or `password`: what the connections do that those of `plain` do not.
    secured: str = ""
    #: By sync mode, the least ratio to beanstalkd, 0 where none is asked for; without the sync mode, it does not run.
    beanstalkd: dict[str, float] = field(default_factory=dict)
    #: Whether the server without its jid index, and with sync = "interval", runs beside the others.
    has_variants: bool = False
    #: Open loop: cycles begin at this share of what the same server just did in a closed loop; 0 is a closed one.
    open_share: float = 0.0
    #: By sync mode, what the p99 of every command must stay under, in milliseconds.
    p99_limit_ms: dict[str, float] = field(default_factory=dict)
    #: Part of the short run that every change makes.
    is_quick: bool = False

    @property
    def has_batch(self) -> bool:
        """Whether all jobs of a run belong to one batch, which must have begun before."""
        return self.body is not None and "%B" in self.body


@dataclass(frozen=True)
class Measure:
    """What one run showed."""

    jobs: int
    jobs_per_second: float
    #: Per verb that the load sends: p50, p99, p99.9 and the longest in microseconds, from its write to its reply. In an
    #: open loop PUSH, and CYCLE (the three verbs of a job), count from the instant that was meant; LATE is how much of
    #: that was the load tool's.
    latency_us: dict[str, tuple[float, ...]]
    rss_mb: float
    #: User and system time of the server.
    cpu_seconds_per_100k_jobs: float
    #: Processor time that neither the server nor jobload used, in seconds: a large one spoils the sample.
    foreign_cpu_seconds: float
    seconds: float
    #: What the server had written to files, in whole pages as the kernel counts; None where the kernel does not tell.
    written_bytes_per_job: float | None = None

    @property
    def foreign_share(self) -> float:
        """How much of a core others used meanwhile."""
        return self.foreign_cpu_seconds / self.seconds

    @property
    def is_quiet(self) -> bool:
        """Whether others left it alone."""
        return self.foreign_share < MUCH

    def as_dict(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


def build_jobload() -> Path:
    """Compile jobload unless it is newer than its source and knows TLS. Raises LoadFailed with the compiler's words."""
    if not sys.platform.startswith("linux"):
        raise LoadFailed("jobload needs epoll and /proc: the bench runs on Linux only")
    if PROGRAM.exists() and PROGRAM.stat().st_mtime > SOURCE.stat().st_mtime and has_tls():
        return PROGRAM
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise LoadFailed("no C compiler: the load tool jobload is written in C (apt install gcc libc6-dev)")
    said = ""
    # Put in its place when it is whole: somebody else may be building it, or run it, at the same time.
    fresh = PROGRAM.with_name(f"{PROGRAM.name}.{os.getpid()}")
    for flags in (TLS_FLAGS, []):
        done = subprocess.run(
            [compiler, "-O2", "-Wall", "-o", str(fresh), str(SOURCE), *flags, "-lm"],
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stderr
        if done.returncode == 0:
            fresh.replace(PROGRAM)
            return PROGRAM
    raise LoadFailed(f"{compiler} cannot build jobload:\n{said}")


def has_tls() -> bool:
    """Whether the jobload that was built can speak TLS and knows passwords."""
    command = [str(PROGRAM), "-p", "faktory", "-m", "push", "-P", "1", "-n", "1", "--tls"]
    return subprocess.run(command, capture_output=True, check=False).returncode != 2


def run_jobload(
    load: Load,
    *,
    jobs: int,
    port: int,
    pid: int,
    bid: str = "",
    protocol: str = "faktory",
    password: str = "",
    per_second: float = 0.0,
    limit_seconds: float = RUN_LIMIT_SECONDS,
) -> Measure:
    """Load the server on `port` with `jobs` jobs, of the batch `bid` if the load has one.

    After `limit_seconds` no new job is sent, and what was done until then counts. With `per_second`, an open loop.
    Raises LoadFailed when a reply is an error or missing.
    """
    command = [str(PROGRAM), "-j", "-p", protocol, "-P", str(port), "-n", str(jobs), "-d", f"{limit_seconds:.3f}"]
    command += _shape(load, protocol)
    if load.body is not None:
        command += ["--body", load.body.replace("%B", bid)]
    if load.secured == "tls":
        command += ["--tls"]
    if password:
        command += ["--password", password]
    if per_second:
        command += ["--rate", f"{per_second:.1f}"]
    before = _written_bytes(pid)
    try:
        done = subprocess.run(
            [*command, "--pids", str(pid)],
            capture_output=True,
            text=True,
            timeout=limit_seconds + 30,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{load.name}: jobload did not end {error.timeout:.0f} s after its start") from error
    if done.returncode != 0:
        raise LoadFailed(f"{load.name}: jobload failed: {done.stderr.strip()} {done.stdout.strip()}")
    after = _written_bytes(pid)
    return _measure(json.loads(done.stdout), None if before is None or after is None else after - before)


def _shape(load: Load, protocol: str) -> list[str]:
    """beanstalkd has no command for many jobs; it gets as many at once on their way instead."""
    in_flight, bulk = (load.in_flight, load.bulk) if protocol == "faktory" else (load.in_flight * load.bulk, 1)
    numbers = {"-c": load.connections, "-k": in_flight, "-b": bulk, "-Q": load.queues, "-F": load.per_fetch}
    if load.args_bytes:
        numbers["-a"] = load.args_bytes
    return ["-m", load.mode, *(word for flag, number in numbers.items() for word in (flag, str(number)))]


def _written_bytes(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes:")), None)


def _measure(report: dict[str, Any], written_bytes: int | None) -> Measure:
    server = report["srv"][0]
    names = {"put": "PUSH", "reserve": "FETCH", "delete": "ACK"}
    verbs = ("PUSH", "FETCH", "ACK", "CYCLE", "LATE")
    found = {names.get(key, key): value for key, value in report.items() if names.get(key, key) in verbs}
    return Measure(
        jobs=report["jobs"],
        jobs_per_second=report["rate"],
        latency_us={
            verb: tuple(found[verb][key] for key in ("p50", "p99", "p999", "max")) for verb in verbs if verb in found
        },
        rss_mb=server["rss_kb"] / 1024,
        cpu_seconds_per_100k_jobs=(server["user"] + server["sys"]) * 100_000 / report["jobs"],
        foreign_cpu_seconds=report["foreign_cpu"],
        seconds=report["secs"],
        written_bytes_per_job=None if written_bytes is None else written_bytes / report["jobs"],
    )
