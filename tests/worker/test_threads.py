"""The threads that functions run in."""

import asyncio
import threading
from contextvars import ContextVar
from time import sleep

import pytest

from lineshaft.worker.threads import QUICK_SECONDS, Threads

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


async def _used_to_quick_calls() -> Threads:
    threads = Threads(4)
    for _ in range(10_000):
        await threads.run(int)
        if threads._usual_seconds < QUICK_SECONDS:
            return threads
    raise AssertionError("a call of nothing is quick")


def test_one_that_is_not_as_quick_as_the_others_holds_nothing_up() -> None:
    async def scene() -> None:
        threads = await _used_to_quick_calls()
        goes = threading.Event()
        # The first thread takes the one that waits, and was to take the other one, too.
        assert await asyncio.gather(threads.run(goes.wait, 60), threads.run(goes.set)) == [True, None]
        threads.close()

    asyncio.run(scene())


def test_what_has_ended_is_told_while_the_next_one_takes_long() -> None:
    async def scene() -> None:
        threads = await _used_to_quick_calls()
        goes = threading.Event()
        quick, long = asyncio.ensure_future(threads.run(int, "7")), asyncio.ensure_future(threads.run(goes.wait, 60))
        assert await quick == 7
        goes.set()
        assert await long
        threads.close()

    asyncio.run(scene())


def test_none_is_forgotten_whatever_they_take() -> None:
    def take(number: int) -> int:
        if number % 50 == 0:
            sleep(0.0005 * (number % 7))
        return number

    async def one_after_the_other(threads: Threads, first: int) -> None:
        for number in range(first, first + 400):
            assert await threads.run(take, number) == number

    async def scene() -> None:
        threads = Threads(5)
        await asyncio.wait_for(asyncio.gather(*[one_after_the_other(threads, 400 * n) for n in range(9)]), 60)
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
