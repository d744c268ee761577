"""The demo: real work by workers in two languages, on a server that was started for it. `make demo`.

What plays:

```
 this program ── PUSH, one job per file ──> lineshaft serve ──> Python worker (PyPI pyfaktory)
                                                            └─> Node worker   (npm faktory-worker)
```

The work is to compute the SHA-256 and count the lines of every `.py` file of the running Python's standard library.
Both workers fetch from the same queue, and leave their results as JSON lines in a temporary directory. One job in 50
fails on its first try. The protocol retries such a job after 15 seconds or more; so as not to wait, this program does
what an operator would do, and asks the server to requeue the set of retries at once.

At the end every result is held against a direct computation here, and the counts against the server's own: the exit
code is 0 only if every file was done exactly once and right. Without Node a second Python worker takes its place; in
CI (CI=true) that is a failure instead.
"""

import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cast import Process, node_problem, start_node_worker, start_python_worker, start_server
from pyfaktory import Client, Job, MutateOperation, Producer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from verdict import Findings, judge, read_results

__all__ = ["main"]

#: One job in so many fails on its first try.
FAILING_EVERY = 50
#: The whole run takes seconds, on a busy machine a minute; something is stuck when it has not ended by now.
DEADLINE_SECONDS = 240.0
LOOK_SECONDS = 0.2
#: How many faults are worth reading.
FAULTS_SHOWN = 10

console = Console(highlight=False, soft_wrap=True)


@dataclass
class Run:
    """A run as far as it has come."""

    files: list[Path]
    client: Client
    crew: list[Process]
    pushed: dict[str, float] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    requeues: int = 0
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def push_all(self) -> Iterator[None]:
        """Push a job for every file, and pause now and then so that somebody can look."""
        producer = Producer(client=self.client)
        for number, path in enumerate(self.files, start=1):
            file, fails_first = str(path), number % FAILING_EVERY == 0
            if fails_first:
                self.failing.add(file)
            self.pushed[file] = time.time()
            producer.push(Job(jobtype="Summarize", args=[file, fails_first], queue="files"))
            if number % 25 == 0:
                yield
        yield

    def wait_done(self) -> Iterator[None]:
        """Look after the jobs until none is left."""
        while not self.is_done():
            if time.monotonic() - self.began > DEADLINE_SECONDS:
                raise SystemExit(f"not done within {DEADLINE_SECONDS:g} s: {self.figures()}")
            for process in self.crew:
                if not process.is_alive():
                    raise SystemExit(f"the {process.name} has ended:\n{process.last_words()}")
            time.sleep(LOOK_SECONDS)
            yield
        self.seconds = time.monotonic() - self.began

    def figures(self) -> dict[str, Any]:
        """The server's own counts."""
        found: dict[str, Any] = self.client.info()["faktory"]
        return found

    def is_done(self) -> bool:
        """Has the server nothing left? Requeues what waits to be retried, as an operator would."""
        figures = self.figures()
        if figures["sets"]["retries"]:
            self.requeues += 1
            self.client.mutate(MutateOperation(cmd="requeue", target="retries"))
            return False
        return self.done(figures) == len(self.files) and figures["sets"]["working"] == 0

    def done(self, figures: dict[str, Any]) -> int:
        """How many jobs have succeeded."""
        return int(figures["total_processed"] - figures["total_failures"])


def main() -> int:
    """Play it; 0 if everything matches."""
    files = sorted(
        path for path in Path(sysconfig.get_path("stdlib")).rglob("*.py") if "site-packages" not in path.parts
    )
    with tempfile.TemporaryDirectory(prefix="lineshaft-demo-") as name, ExitStack() as stack:
        directory = Path(name)
        (directory / "results").mkdir()
        server, url = stack.enter_context(start_server(directory))
        console.print(f"server    {url}, its data in {directory / 'data'}")
        workers = stack.enter_context(hire(url, directory))
        with Client(faktory_url=url, role="producer") as client:
            await_workers(client, workers)
            console.print(f"producer  pushes {len(files)} jobs, one per .py file of Python's standard library")
            run = Run(files, client, [server, *workers])
            watch(run)
            figures = run.figures()
        findings = judge(run.pushed, run.failing, read_results(directory / "results"))
        findings.faults += check_counts(run, figures)
        findings.faults += dismiss(server, workers)
    report(run, findings)
    return 1 if findings.faults else 0


@contextmanager
def hire(url: str, directory: Path) -> Iterator[list[Process]]:
    """The two workers."""
    with ExitStack() as stack:
        workers = [stack.enter_context(start_python_worker("python", url, directory))]
        console.print("worker 1  Python, on PyPI's pyfaktory")
        problem = node_problem()
        if problem is None:
            workers.append(stack.enter_context(start_node_worker(url, directory)))
            console.print("worker 2  Node, on npm's faktory-worker")
        elif os.environ.get("CI") == "true":
            raise SystemExit(f"no Node worker: {problem}")
        else:
            workers.append(stack.enter_context(start_python_worker("python-2", url, directory)))
            console.print(f"worker 2  Python again, since there can be no Node worker: {problem}")
        yield workers


def await_workers(client: Client, workers: list[Process]) -> None:
    """Wait until every worker has a connection, so that the waits of jobs say nothing about starting programs."""
    end = time.monotonic() + DEADLINE_SECONDS / 2
    while client.info()["server"]["connections"] <= len(workers):
        for worker in workers:
            if not worker.is_alive() or time.monotonic() > end:
                raise SystemExit(f"the workers do not connect; the {worker.name} worker says:\n{worker.last_words()}")
        time.sleep(0.05)


def watch(run: Run) -> None:
    """Push, wait, and show how far it is: a bar on a terminal, a line per tenth elsewhere."""
    if console.is_terminal:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, console=console) as progress:
            pushing = progress.add_task("pushed", total=len(run.files))
            working = progress.add_task("done", total=len(run.files))
            for _ in _steps(run):
                progress.update(pushing, completed=len(run.pushed))
                progress.update(working, completed=run.done(run.figures()))
        return
    told = 0
    for _ in _steps(run):
        done = run.done(run.figures())
        if (tenth := 10 * done // len(run.files)) > told:
            told = tenth
            console.print(f"          {len(run.pushed):>5} pushed {done:>5} done")


def _steps(run: Run) -> Iterator[None]:
    yield from run.push_all()
    yield from run.wait_done()


def check_counts(run: Run, figures: dict[str, Any]) -> list[str]:
    """The server must have counted what we did, and hold nothing any more."""
    expected = {
        "total_processed": len(run.files) + len(run.failing),
        "total_failures": len(run.failing),
        "total_enqueued": 0,
        "queues": {"files": 0},
        "sets": {"scheduled": 0, "retries": 0, "dead": 0, "working": 0},
    }
    return [
        f"the server says {key} is {figures[key]}, not {value}"
        for key, value in expected.items()
        if figures[key] != value
    ]


def dismiss(server: Process, workers: list[Process]) -> list[str]:
    """End everybody in order; the server must end well."""
    for worker in workers:
        worker.stop()
    code = server.stop()
    return [f"the server ended with exit code {code}:\n{server.last_words()}"] if code else []


def report(run: Run, findings: Findings) -> None:
    """Say how it went."""
    console.print(
        f"operator  {len(run.failing)} jobs failed on their first try; instead of waiting for the protocol's 15 s or "
        f"more, the set of retries was requeued with MUTATE ({run.requeues}x)"
    )
    table = Table("worker", "done", "failed first", box=None, pad_edge=False)
    for name in sorted(findings.done | findings.failed):
        table.add_row(name, str(findings.done[name]), str(findings.failed[name]))
    console.print(table)
    console.print(
        f"{sum(findings.done.values())} files, {findings.lines} lines in {run.seconds:.1f} s: "
        f"{len(run.files) / run.seconds:.0f} jobs/s; wait from push to start: "
        f"median {findings.wait_at(0.5) * 1000:.1f} ms, p99 {findings.wait_at(0.99) * 1000:.1f} ms"
    )
    for fault in findings.faults[:FAULTS_SHOWN]:
        console.print(f"[red]{fault}[/red]")
    if findings.faults:
        console.print(f"[red]{len(findings.faults)} things are wrong[/red]")
    else:
        console.print("[green]every file was done exactly once, and every sum is right[/green]")


if __name__ == "__main__":
    sys.exit(main())
