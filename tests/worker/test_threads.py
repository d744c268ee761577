"""The threads that functions run in."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from time import sleep
from typing import Any

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


def _play(scene: Callable[[Threads], Coroutine[Any, Any, None]], most: int = 4) -> None:
    """A scene with threads that end whatever happens: the interpreter waits for them."""

    async def run() -> None:
        threads = Threads(most)
        try:
            await asyncio.wait_for(scene(threads), 60)
        finally:
            threads.close()

    asyncio.run(run())


async def _become_used_to_quick_calls(threads: Threads) -> None:
    for _ in range(10_000):
        await threads.run(int)
        if threads._usual_seconds < QUICK_SECONDS:
            return
    raise AssertionError("a call of nothing is quick")


def test_one_that_is_not_as_quick_as_the_others_holds_nothing_up() -> None:
    async def scene(threads: Threads) -> None:
        await _become_used_to_quick_calls(threads)
        goes = threading.Event()
        # The first thread takes the one that waits, and was to take the other one, too.
        assert await asyncio.gather(threads.run(goes.wait, 60), threads.run(goes.set)) == [True, None]

    _play(scene)


def test_calls_that_become_quick_while_others_wait_hold_nothing_up() -> None:
    async def scene(threads: Threads) -> None:
        met = threading.Barrier(4, timeout=60)
        await asyncio.gather(*[threads.run(met.wait) for _ in range(4)])
        goes = threading.Event()
        # When they came they were not quick; the first one makes them so, and the next two hold two threads.
        threads._usual_seconds = QUICK_SECONDS * 1.04
        waiting = [threads.run(goes.wait, 60) for _ in range(2)]
        assert await asyncio.gather(threads.run(int), *waiting, threads.run(goes.set)) == [0, True, True, None]

    _play(scene)


def test_what_has_ended_is_told_while_the_next_one_takes_long() -> None:
    async def scene(threads: Threads) -> None:
        await _become_used_to_quick_calls(threads)
        goes = threading.Event()
        quick, long = asyncio.ensure_future(threads.run(int, "7")), asyncio.ensure_future(threads.run(goes.wait, 60))
        try:
            assert await quick == 7
        finally:
            goes.set()
        assert await long

    _play(scene)


def test_none_is_forgotten_whatever_they_take() -> None:
    def take(number: int) -> int:
        if number % 50 == 0:
            sleep(0.0005 * (number % 7))
        return number

    async def scene(threads: Threads) -> None:
        async def one_after_the_other(first: int) -> None:
            for number in range(first, first + 400):
                assert await threads.run(take, number) == number

        await asyncio.gather(*[one_after_the_other(400 * n) for n in range(9)])

    _play(scene, most=5)


def test_what_could_not_begin_for_want_of_a_thread_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    async def scene(threads: Threads) -> None:
        await threads.run(ran.append, "first")
        goes = threading.Event()
        waiting = asyncio.ensure_future(threads.run(goes.wait, 60))
        await asyncio.sleep(0)
        with monkeypatch.context() as without:
            without.setattr(threading.Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("no more threads")))
            with pytest.raises(RuntimeError, match="no more threads"):
                await threads.run(ran.append, "second")
        goes.set()
        assert await waiting
        await threads.run(ran.append, "third")

    _play(scene)
    assert ran == ["first", "third"]


def test_a_failure_leaves_nothing_behind_that_only_the_collector_finds() -> None:
    class Large:
        """What a call had in hand."""

    def fail() -> None:
        large = Large()
        left.append(weakref.ref(large))
        raise ValueError(str(large)[:0])

    left: list[weakref.ref[Large]] = []

    async def scene(threads: Threads) -> None:
        with suppress(ValueError):
            await threads.run(fail)
        # The thread lets go of it after the loop has been told.
        while left[0]() is not None:
            await asyncio.sleep(0)

    gc.disable()
    try:
        _play(scene)
    finally:
        gc.enable()


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
