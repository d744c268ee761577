"""How many jobs the workers of each library get through, on this machine: Lineshaft, Celery, RQ, Dramatiq, arq.

    python bench/workers.py [--rounds 3] [--scale 1.0] [--only lineshaft,celery] [--json FILE]
                            [--python arq=/tmp/arq/bin/python]

A library is measured when it is installed; where two cannot be in one environment (Celery and arq want different
versions of redis), `--python` names that of one. Those on Redis need a `redis-server` on the path; it is started here
on a port of its own, with nothing written to disk. Lineshaft's server runs as it comes: every push synced to disk.

What is measured: worker processes started on a queue that is full, and nothing else. Each job adds a byte to a file, so
that the jobs of all processes are counted alike; the clock runs from the first count to the last. Jobs do nothing
(`noop`), or wait a millisecond (`1ms`). Each library is run in several settings, its defaults on two cores among them,
and judged by the best of each column. Rounds alternate, the tables show medians. Numbers of two machines cannot be
compared, nor those of a busy one.
"""

import argparse
import asyncio
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

WAIT_SECONDS: Final = 120.0
LOOK_SECONDS: Final = 0.004

#: Where a worker's jobs are counted: appended to, which processes may do at once, forked ones too.
_counted = os.open(os.environ.get("BENCH_COUNT", os.devnull), os.O_WRONLY | os.O_APPEND)


def noop() -> None:
    """Nothing."""
    os.write(_counted, b".")


def sleep_1ms() -> None:
    """A millisecond of waiting."""
    time.sleep(0.001)
    os.write(_counted, b".")


async def noop_async() -> None:
    """Nothing, on a loop."""
    os.write(_counted, b".")


async def sleep_1ms_async() -> None:
    """A millisecond of waiting, on a loop."""
    await asyncio.sleep(0.001)
    os.write(_counted, b".")


@dataclass(frozen=True)
class Setting:
    """One way to run a library's workers."""

    concurrency: int
    processes: int = 1
    #: Celery's pool, RQ's worker, how many jobs our worker fetches ahead.
    how: str = ""
    #: How many jobs a round has: some seconds of work.
    jobs: int = 20_000

    def __str__(self) -> str:
        each = f"{self.processes} x {self.concurrency}" if self.concurrency > 1 else str(self.processes)
        return f"{each}{f', {self.how}' if self.how else ''}"


class Lineshaft:
    """Functions in threads."""

    package = "lineshaft"
    functions: Any = (noop, sleep_1ms)
    settings = (Setting(10), Setting(10, 2), Setting(10, 2, "prefetch 20", 40_000))

    def __init__(self, url: str) -> None:
        from lineshaft import Jobs  # noqa: PLC0415 - each library is imported by those who have it

        self.url, self.jobs = url, Jobs()
        self.made = {name: self.jobs.job(one) for name, one in zip(("noop", "1ms"), self.functions, strict=True)}

    def push(self, kind: str, count: int) -> None:
        """Push so many jobs."""
        from lineshaft import Client  # noqa: PLC0415

        with Client(self.url) as client:
            client.push_bulk(self.made[kind].job() for _ in range(count))

    def work(self, setting: Setting) -> None:
        """Work until killed."""
        from lineshaft import Worker  # noqa: PLC0415
        from lineshaft.worker.process import run_worker  # noqa: PLC0415

        prefetch = int(setting.how.rpartition(" ")[2] or 0)
        run_worker(Worker(self.jobs, url=self.url, concurrency=setting.concurrency, prefetch=prefetch))


class LineshaftAsync(Lineshaft):
    """Functions on the loop."""

    functions = (noop_async, sleep_1ms_async)


class Celery:
    """Its pools of processes (the default: as many as there are cores) and of threads.

    Its guide to optimizing has short tasks prefetched in larger numbers; that too.
    """

    package = "celery"
    settings = (
        Setting(2, 1, "prefork", 6_000),
        Setting(2, 1, "prefork, prefetch 64", 6_000),
        Setting(10, 1, "prefork", 6_000),
        Setting(10, 1, "threads", 6_000),
    )

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

    def work(self, setting: Setting) -> None:
        """Work until killed."""
        pool, _, ahead = setting.how.partition(", prefetch ")
        options = [f"--pool={pool}", f"--concurrency={setting.concurrency}", "--loglevel=ERROR"]
        options += [f"--prefetch-multiplier={ahead}"] if ahead else []
        self.app.worker_main(["worker", *options, "--without-gossip", "--without-mingle", "--without-heartbeat"])


class Rq:
    """Its Worker, which forks for each job, and its SimpleWorker, which does not."""

    package = "rq"
    settings = (
        Setting(1, 2, "Worker", 400),
        Setting(1, 1, "SimpleWorker", 2_000),
        Setting(1, 2, "SimpleWorker", 4_000),
    )

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

    def work(self, setting: Setting) -> None:
        """Work until killed."""
        import rq  # noqa: PLC0415

        sys.modules["workers"] = sys.modules["__main__"]
        getattr(rq, setting.how)([self.queue], connection=self.connection).work(logging_level="ERROR")


class Dramatiq:
    """Threads; two processes of eight are its default on two cores."""

    package = "dramatiq"
    settings = (Setting(8, 1, jobs=6_000), Setting(8, 2, jobs=8_000), Setting(2, 2, jobs=8_000))

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

    def work(self, setting: Setting) -> None:
        """Work until killed."""
        import dramatiq  # noqa: PLC0415

        dramatiq.Worker(self.broker, worker_threads=setting.concurrency).start()
        while True:
            time.sleep(60)


class Arq:
    """Tasks on its loop; ten are its default."""

    package = "arq"
    settings = (Setting(10, jobs=2_000), Setting(100, jobs=3_000), Setting(10, 2, jobs=3_000))

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

    def work(self, setting: Setting) -> None:
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
            max_jobs=setting.concurrency,
            poll_delay=0.01,
            queue_read_limit=1000,
            handle_signals=False,
        ).run()


SYSTEMS: Final[dict[str, Any]] = {
    "lineshaft, async": LineshaftAsync,
    "lineshaft, threads": Lineshaft,
    "celery": Celery,
    "rq": Rq,
    "dramatiq": Dramatiq,
    "arq": Arq,
}


#: The kinds of jobs.
KINDS: Final = ("noop", "1ms")


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
        command = [python, __file__, "--work", name, url, str(number)]
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
    command = [python, __file__, "--push", name, url, kind, str(count)]
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
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--push", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        name, url, number = options.work
        SYSTEMS[name](url).work(SYSTEMS[name].settings[int(number)])
    elif options.push:
        name, url, kind, count = options.push
        SYSTEMS[name](url).push(kind, int(count))
    else:
        compare(options)


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


def is_ours(name: str) -> bool:
    """Whether it is a worker of this project."""
    return name.startswith("lineshaft")


if __name__ == "__main__":
    main()
