"""The threads that functions run in."""

import asyncio
import threading
from contextvars import ContextVar

import pytest

from lineshaft.worker.threads import Threads

word: ContextVar[str] = ContextVar("word", default="none")


def test_results_failures_and_the_context_come_and_go() -> None:
    def fail(error: BaseException) -> None:
        raise error

    async def scene() -> None:
        threads = Threads(2)
        word.set("said")
        assert await threads.run(word.get) == "said"
        with pytest.raises(ZeroDivisionError):
            await threads.run(fail, ZeroDivisionError())
        with pytest.raises(SystemExit):
            await threads.run(fail, SystemExit())
        # Raised in a coroutine as it is, this one would never arrive.
        with pytest.raises(RuntimeError):
            await threads.run(fail, StopIteration())
        assert await threads.run(int, "7") == 7
        threads.close()

    asyncio.run(scene())


def test_no_more_threads_than_there_is_work_for_and_never_more_than_may_be() -> None:
    met = threading.Barrier(3, timeout=60)

    async def scene() -> None:
        threads = Threads(3)
        before = set(threading.enumerate())
        for _ in range(5):
            await threads.run(int)
        assert len(set(threading.enumerate()) - before) == 1
        await asyncio.gather(*[threads.run(met.wait) for _ in range(9)])
        assert len(set(threading.enumerate()) - before) == 3
        threads.close()

    asyncio.run(scene())


def test_the_end_waits_for_what_runs_and_begins_nothing_new() -> None:
    before = set(threading.enumerate())
    began, go = threading.Event(), threading.Event()
    ran: list[str] = []

    def first() -> None:
        began.set()
        go.wait(60)
        ran.append("first")

    async def scene() -> None:
        threads = Threads(1)
        tasks = [asyncio.create_task(threads.run(first)), asyncio.create_task(threads.run(ran.append, "second"))]
        while not began.is_set():
            await asyncio.sleep(0)
        threads.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scene())
    # Its loop is gone when it ends.
    (left,) = set(threading.enumerate()) - before
    go.set()
    left.join(60)
    assert not left.is_alive()
    assert ran == ["first"]
