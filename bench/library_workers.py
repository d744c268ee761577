"""Jobs done by the workers of a library, end to end: what people would pick instead, and ours beside it.

The libraries for Python are those of `python_workers.py`, which also says how each is run. Node is measured here:
BullMQ, and the client and worker `faktory-worker` on our server, since there is no Node library of our own. How much of
Redis reaches the disk is what each row of BullMQ says: nothing, what its documentation asks for (a log that is synced
every second), or every command before its answer. Ours runs with sync = always, where a push waits for the disk, and an
acknowledgement does not.

Workers start on a full queue, in one process and in two; the clock runs from the first job that is counted to the last.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contestants import Contestant, Lineshaft, Redis
from python_workers import KINDS, SYSTEMS, Setting
from results import Results
from servers import Server
from talk import ServerFailed
from workers import available, await_count, measure, running

__all__ = ["lacking_libraries", "measure_libraries"]

BENCH = Path(__file__).resolve().parent
NODE = BENCH / "libraries"
#: Made by `make bench-libraries`.
PYTHON = BENCH.parent / "build" / "libraries" / "bin" / "python"
#: Where it is not there, workers.py looks for them beside the bench's own Python.
PYTHON_LIBRARIES = ("celery", "rq", "dramatiq")
#: No round has fewer, whatever the scale: the first jobs are slower.
FEWEST_JOBS = 300
#: The push of all jobs of a round.
PUSH_SECONDS = 120.0


@dataclass(frozen=True)
class NodeWorker:
    """A library for Node, and the server that its jobs lie on."""

    label: str
    library: str
    scheme: str
    contestant: Contestant
    sync: str


NODE_WORKERS = (
    NodeWorker("faktory-worker, sync always", "faktory-worker", "tcp", Lineshaft(), "always"),
    NodeWorker("faktory-worker, sync never", "faktory-worker", "tcp", Lineshaft(), "never"),
    NodeWorker("BullMQ, Redis syncs each write", "bullmq", "redis", Redis("always"), "always"),
    NodeWorker("BullMQ, Redis syncs every second", "bullmq", "redis", Redis("everysec"), "never"),
    NodeWorker("BullMQ, Redis in memory", "bullmq", "redis", Redis("off"), "never"),
)
NODE_SETTINGS = (Setting(50, jobs=50_000), Setting(50, 2, jobs=50_000))


@dataclass(frozen=True)
class Turn:
    """One library in one setting with one kind of jobs, which may be measured any number of times."""

    worker: str
    setting: Setting
    kind: str
    #: Jobs per second with so many jobs.
    measure: Callable[[int], float]


def lacking_libraries() -> list[str]:
    """What is not installed, with how to install it."""
    texts = []
    if shutil.which("redis-server") is None:
        texts.append("redis-server is not installed, the libraries on it are left out: apt install redis-server")
    if shutil.which("node") is None:
        texts.append("node is not installed, its libraries are left out: apt install nodejs npm")
    elif not (NODE / "node_modules").is_dir():
        texts.append("BullMQ and faktory-worker are not installed and are left out: make bench-libraries")
    if not PYTHON.exists():
        texts.append("Celery, RQ and Dramatiq are left out where they are not installed: make bench-libraries")
    return texts


def measure_libraries(results: Results, number: int, *, scale: float, until: float, scratch: Path) -> None:
    """Round `number` of all libraries, in turn; what the results have of it already is passed over."""
    turns = [*_python_turns(), *_node_turns(scratch)]
    first = number % max(1, len(turns))
    for turn in [*turns[first:], *turns[:first]]:
        key = (turn.worker, str(turn.setting), turn.kind)
        if sum((one["worker"], one["setting"], one["kind"]) == key for one in results.workers) > number:
            continue
        if time.monotonic() > until:
            return
        jobs = max(FEWEST_JOBS, round(turn.setting.jobs * scale))
        _note(results, turn, jobs, turn.measure(jobs), number)


def _note(results: Results, turn: Turn, jobs: int, rate: float, number: int) -> None:
    text = f"  round {number + 1}  {turn.worker:<34} {turn.setting!s:<24} {turn.kind:<5} {rate:>9,.0f} jobs/s"
    print(text, file=sys.stderr, flush=True)
    record = {"worker": turn.worker, "setting": str(turn.setting), "kind": turn.kind, "jobs_per_second": rate}
    results.workers.append({**record, "jobs": jobs, "at": datetime.now(UTC).isoformat(timespec="seconds")})
    results.write()


def _python_turns() -> Iterator[Turn]:
    """Those that are installed; ours runs in the environment of the bench."""
    pythons = dict.fromkeys(PYTHON_LIBRARIES, str(PYTHON)) if PYTHON.exists() else {}
    found = available(["lineshaft", *PYTHON_LIBRARIES], pythons)
    for name, python in found.items():
        for setting in SYSTEMS[name].settings:
            for kind in KINDS:

                def measured(jobs: int, of: tuple[str, Setting, str, str] = (name, setting, kind, python)) -> float:
                    return measure(of[0], of[1], of[2], jobs, of[3])

                yield Turn(name, setting, kind, measured)


def _node_turns(scratch: Path) -> Iterator[Turn]:
    if shutil.which("node") is None or not (NODE / "node_modules").is_dir():
        return
    for worker in NODE_WORKERS:
        if worker.scheme == "redis" and shutil.which("redis-server") is None:
            continue
        for setting in NODE_SETTINGS:
            for kind in KINDS:

                def measured(jobs: int, of: tuple[NodeWorker, Setting, str] = (worker, setting, kind)) -> float:
                    return _node_round(*of, jobs, scratch)

                yield Turn(worker.label, setting, kind, measured)


def _node_round(worker: NodeWorker, setting: Setting, kind: str, jobs: int, scratch: Path) -> float:
    """Jobs per second from the first that is counted to the last. Raises ServerFailed, SystemExit."""
    with (
        tempfile.TemporaryDirectory(dir=scratch) as place,
        Server(worker.contestant, Path(place) / "server", sync=worker.sync) as server,
    ):
        url = f"{worker.scheme}://127.0.0.1:{server.port}"
        program, more = ["node", str(NODE / "workers.js")], [worker.library, url]
        push = [*program, "push", *more, kind, str(jobs)]
        pushed = subprocess.run(push, capture_output=True, text=True, check=False, timeout=PUSH_SECONDS)
        if pushed.returncode != 0:
            raise ServerFailed(f"{worker.label}: the push failed: {pushed.stderr}\nits log:\n{server.log_tail()}")
        count = Path(place) / "count"
        count.touch()
        command = [*program, "work", *more, str(setting.concurrency)]
        with running(command, setting.processes, {**os.environ, "BENCH_COUNT": str(count)}) as workers:
            begun = await_count(count, 1, workers)
            ended = await_count(count, jobs, workers)
    return (ended[0] - begun[0]) / (ended[1] - begun[1])
