"""How many jobs a worker of each library gets through, on this machine: Lineshaft, Celery, RQ, Dramatiq, arq.

    python bench/workers.py [--jobs 20000] [--rounds 3] [--only lineshaft,celery] [--json FILE]
                            [--python arq=/tmp/arq/bin/python]

A library is measured when it is installed; where two cannot be in one environment (Celery and arq want different
versions of redis), `--python` names that of one. Those on Redis need a `redis-server` on the path; it is started here
on a port of its own, with nothing written to disk. Lineshaft's server runs as it comes: every push synced to disk.

What is measured: one worker process with ten jobs at a time (RQ: one, it has no more in a process), started on a queue
that is full. The clock runs from the end of the first job to that of the last; the push of all jobs, before that, is
timed by itself. Jobs do nothing (`noop`), or wait a millisecond (`1ms`). Rounds of all libraries alternate, the table
shows medians. Numbers of two machines cannot be compared, nor those of a busy one.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

CONCURRENCY: Final = 10
WAIT_SECONDS: Final = 300.0

#: In the worker's process: how many jobs have ended, and when to say so.
_ended = 0
_wanted = int(os.environ.get("BENCH_JOBS", "0"))
_mark = Path(os.environ.get("BENCH_MARK", "/nonexistent"))


def end_one() -> None:
    """Count a job that has ended; the first and the last one leave the time in a file."""
    global _ended  # noqa: PLW0603 - a worker is one process, and a lock would be measured too
    _ended += 1
    if _ended in (1, _wanted):
        _mark.with_suffix(f".{_ended}").write_text(repr(time.monotonic()))


def noop() -> None:
    """Nothing."""
    end_one()


def sleep_1ms() -> None:
    """A millisecond of waiting."""
    time.sleep(0.001)
    end_one()


async def noop_async() -> None:
    """Nothing, on a loop."""
    end_one()


async def sleep_1ms_async() -> None:
    """A millisecond of waiting, on a loop."""
    await asyncio.sleep(0.001)
    end_one()


class Lineshaft:
    """Functions in threads."""

    package = "lineshaft"
    functions: Any = (noop, sleep_1ms)

    def __init__(self, url: str) -> None:
        from lineshaft import Jobs  # noqa: PLC0415 - each library is imported by those who have it

        self.url, self.jobs = url, Jobs()
        self.made = {name: self.jobs.job(one) for name, one in zip(("noop", "1ms"), self.functions, strict=True)}

    def push(self, kind: str, count: int) -> None:
        """Push so many jobs."""
        from lineshaft import Client  # noqa: PLC0415

        with Client(self.url) as client:
            client.push_bulk(self.made[kind].job() for _ in range(count))

    def work(self) -> None:
        """Work until killed."""
        from lineshaft import Worker  # noqa: PLC0415
        from lineshaft.worker.process import run_worker  # noqa: PLC0415

        run_worker(Worker(self.jobs, url=self.url, concurrency=CONCURRENCY))


class LineshaftAsync(Lineshaft):
    """Functions on the loop."""

    functions = (noop_async, sleep_1ms_async)


class Celery:
    """Its pool of threads: the one of its pools that runs several jobs in one process without patching."""

    package = "celery"

    def __init__(self, url: str) -> None:
        import celery  # noqa: PLC0415

        self.app = celery.Celery("bench", broker=url)
        self.app.conf.update(
            task_ignore_result=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False
        )
        self.tasks = {"noop": self.app.task(name="noop")(noop), "1ms": self.app.task(name="1ms")(sleep_1ms)}

    def push(self, kind: str, count: int) -> None:
        """One after the other: it has no way to send many."""
        with self.app.producer_pool.acquire(block=True) as producer:
            for _ in range(count):
                self.tasks[kind].apply_async(producer=producer)

    def work(self) -> None:
        """Work until killed."""
        options = ["--pool=threads", f"--concurrency={CONCURRENCY}", "--loglevel=ERROR"]
        self.app.worker_main(["worker", *options, "--without-gossip", "--without-mingle", "--without-heartbeat"])


class Rq:
    """Its SimpleWorker: without a fork for each job, which is far slower."""

    package = "rq"

    def __init__(self, url: str) -> None:
        import redis  # noqa: PLC0415
        import rq  # noqa: PLC0415

        self.connection = redis.Redis.from_url(url)
        self.queue = rq.Queue(connection=self.connection)

    def push(self, kind: str, count: int) -> None:
        """Many at once."""
        import rq  # noqa: PLC0415

        function = {"noop": "workers.noop", "1ms": "workers.sleep_1ms"}[kind]
        for start in range(0, count, 1000):
            portion = range(start, min(count, start + 1000))
            self.queue.enqueue_many([rq.Queue.prepare_data(function, result_ttl=0) for _ in portion])

    def work(self) -> None:
        """Work until killed."""
        import rq  # noqa: PLC0415

        sys.modules["workers"] = sys.modules["__main__"]
        rq.SimpleWorker([self.queue], connection=self.connection).work(logging_level="ERROR")


class Dramatiq:
    """Ten threads."""

    package = "dramatiq"

    def __init__(self, url: str) -> None:
        import dramatiq  # noqa: PLC0415
        from dramatiq.brokers.redis import RedisBroker  # noqa: PLC0415

        self.broker = RedisBroker(url=url)
        self.actors = {
            "noop": dramatiq.actor(noop, broker=self.broker, actor_name="noop"),
            "1ms": dramatiq.actor(sleep_1ms, broker=self.broker, actor_name="1ms"),
        }

    def push(self, kind: str, count: int) -> None:
        """One after the other: it has no way to send many."""
        for _ in range(count):
            self.actors[kind].send()

    def work(self) -> None:
        """Work until killed."""
        import dramatiq  # noqa: PLC0415

        dramatiq.Worker(self.broker, worker_threads=CONCURRENCY).start()
        while True:
            time.sleep(60)


class Arq:
    """Ten tasks on its loop."""

    package = "arq"

    def __init__(self, url: str) -> None:
        from arq.connections import RedisSettings  # noqa: PLC0415

        self.settings = RedisSettings.from_dsn(url)

    def push(self, kind: str, count: int) -> None:
        """A hundred at a time under way: it has no way to send many."""
        asyncio.run(self._push(kind, count))

    async def _push(self, kind: str, count: int) -> None:
        from arq import create_pool  # noqa: PLC0415

        pool = await create_pool(self.settings)
        for start in range(0, count, 100):
            await asyncio.gather(*[pool.enqueue_job(kind) for _ in range(min(100, count - start))])
        await pool.aclose()

    def work(self) -> None:
        """Work until killed."""
        from arq.worker import Worker, func  # noqa: PLC0415

        async def noop(_: Any) -> None:
            await noop_async()

        async def sleep(_: Any) -> None:
            await sleep_1ms_async()

        functions = [func(noop, name="noop", keep_result=0), func(sleep, name="1ms", keep_result=0)]
        asyncio.set_event_loop(asyncio.new_event_loop())
        Worker(
            functions,
            redis_settings=self.settings,
            max_jobs=CONCURRENCY,
            poll_delay=0.01,
            queue_read_limit=1000,
            handle_signals=False,
        ).run()


SYSTEMS: Final[dict[str, Any]] = {
    "lineshaft, async": LineshaftAsync,
    "lineshaft, threads": Lineshaft,
    "celery, threads": Celery,
    "rq, SimpleWorker": Rq,
    "dramatiq": Dramatiq,
    "arq": Arq,
}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
    if name.startswith("lineshaft"):
        (folder / "config").mkdir()
        command = [sys.executable, "-m", "lineshaft", "serve", "-b", f"127.0.0.1:{port}", "-w", ":0"]
        command += ["-d", str(folder / "data"), "-c", str(folder / "config"), "-e", "development"]
        with serving(command, port):
            yield f"tcp://127.0.0.1:{port}"
    else:
        with serving(["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"], port):
            yield f"redis://127.0.0.1:{port}/0"


def measure(name: str, kind: str, jobs: int, python: str) -> tuple[float, float]:
    """One round: jobs per second from the first to the last, and the seconds of the push."""
    with tempfile.TemporaryDirectory() as place, broker(name, Path(place)) as url:
        mark = Path(place) / "mark"
        environment = {**os.environ, "BENCH_JOBS": str(jobs), "BENCH_MARK": str(mark)}
        pushed = push(python, name, url, kind, jobs)
        command = [python, __file__, "--work", name, url]
        worker = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            ended = _await(mark.with_suffix(f".{jobs}"), worker)
        finally:
            worker.kill()
            worker.wait()
        return (jobs - 1) / (ended - float(mark.with_suffix(".1").read_text())), pushed


def push(python: str, name: str, url: str, kind: str, count: int) -> float:
    """Push in a process of its own; returns how many seconds that took, without the start of the process."""
    command = [python, __file__, "--push", name, url, kind, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=WAIT_SECONDS)
    return float(done.stdout)


def push_here(name: str, url: str, kind: str, count: int) -> None:
    """What that process does."""
    system = SYSTEMS[name](url)
    started = time.monotonic()
    system.push(kind, count)
    print(time.monotonic() - started)


def _await(mark: Path, worker: "subprocess.Popen[bytes]") -> float:
    end = time.monotonic() + WAIT_SECONDS
    while not (mark.exists() and mark.read_text()):
        if worker.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the worker ended, or takes too long: {worker.args}")
        time.sleep(0.01)
    return float(mark.read_text())


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
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[])
    parser.add_argument("--python", action="append", default=[], metavar="LIBRARY=PATH")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--push", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        name, url = options.work
        SYSTEMS[name](url).work()
    elif options.push:
        push_here(*options.push[:3], int(options.push[3]))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """All rounds of all libraries, in alternation."""
    pythons = available(options.only, dict(one.split("=", 1) for one in options.python))
    names, kinds = list(pythons), ("noop", "1ms")
    rounds: dict[str, dict[str, list[tuple[float, float]]]] = {name: {kind: [] for kind in kinds} for name in names}
    for _ in range(options.rounds):
        for name in names:
            for kind in kinds:
                rounds[name][kind].append(measure(name, kind, options.jobs, pythons[name]))
                print(f"{name}, {kind}: {rounds[name][kind][-1][0]:,.0f} jobs/s", file=sys.stderr)
    print("| Worker | noop, jobs/s | 1 ms, jobs/s | push of all, s |\n| --- | --- | --- | --- |")
    for name, found in rounds.items():
        rates = [statistics.median(rate for rate, _ in found[kind]) for kind in kinds]
        pushing = statistics.median(seconds for _, seconds in found["noop"])
        print(f"| {name} | {rates[0]:,.0f} | {rates[1]:,.0f} | {pushing:.2f} |")
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    main()
