"""The workers of libraries for Python: how each is pushed to, and how its workers run, in which settings.

    python bench/python_workers.py push LIBRARY URL KIND COUNT
    python bench/python_workers.py work LIBRARY URL SETTING      until killed; a number of `settings`

Jobs do nothing (`noop`), or wait a millisecond (`1ms`); each adds a byte to the file that BENCH_COUNT names. The
settings of each library have its defaults on two cores among them. This file is a program by itself, and imports
nothing of the bench, since it runs under the interpreter of the library that it is about.
"""

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["KINDS", "SYSTEMS", "Setting", "is_ours"]

#: The kinds of jobs.
KINDS: Final = ("noop", "1ms")

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
    #: How many jobs a round of a full run has: five seconds of work and more, on the machine of docs/performance.md, so
    #: that at a scale of 0.3 it is still more than one.
    jobs: int = 60_000

    def __str__(self) -> str:
        each = f"{self.processes} x {self.concurrency}" if self.concurrency > 1 else str(self.processes)
        return f"{each}{f', {self.how}' if self.how else ''}"


class Lineshaft:
    """Functions in threads."""

    package = "lineshaft"
    functions: Any = (noop, sleep_1ms)
    settings = (
        Setting(10),
        Setting(50),
        Setting(10, 2, jobs=100_000),
        Setting(50, 2, jobs=100_000),
        Setting(10, 2, "prefetch 20", 150_000),
    )

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

        function = {"noop": "python_workers.noop", "1ms": "python_workers.sleep_1ms"}[kind]
        for start in range(0, count, 1000):
            portion = range(start, min(count, start + 1000))
            self.queue.enqueue_many([rq.Queue.prepare_data(function, result_ttl=0) for _ in portion])

    def work(self, setting: Setting) -> None:
        """Work until killed."""
        import rq  # noqa: PLC0415

        sys.modules["python_workers"] = sys.modules["__main__"]
        getattr(rq, setting.how)([self.queue], connection=self.connection).work(logging_level="ERROR")


class Dramatiq:
    """Threads; two processes of eight are its default on two cores."""

    package = "dramatiq"
    settings = (Setting(8, 1, jobs=12_000), Setting(8, 2, jobs=20_000), Setting(2, 2, jobs=8_000))

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


def is_ours(name: str) -> bool:
    """Whether it is a worker of this project."""
    return name.startswith("lineshaft")


def main(order: str, name: str, url: str, *rest: str) -> None:
    """Push, or work."""
    system = SYSTEMS[name](url)
    if order == "push":
        kind, count = rest
        system.push(kind, int(count))
    else:
        system.work(SYSTEMS[name].settings[int(rest[0])])


if __name__ == "__main__":
    main(*sys.argv[1:])
