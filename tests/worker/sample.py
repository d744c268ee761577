"""Job functions that tests run: in a module of their own, since child processes and `lineshaft work` import them."""

import asyncio
import os
import threading
import time
from datetime import date
from typing import Any
from uuid import UUID

from msgspec import Struct

from lineshaft.worker import Dead, Discard, Jobs, Requeue, Retry, this_job

jobs = Jobs()


class Size(Struct):
    """A type of the application's own."""

    width: int
    height: int = 10


@jobs.job(keep_result=True)
def area(size: Size, *, scale: int = 1) -> int:
    return size.width * size.height * scale


@jobs.job(keep_result=True)
async def later(day: date, who: UUID | None = None) -> date:  # noqa: ARG001 - there to be read from JSON
    await asyncio.sleep(0)
    return day


@jobs.job(run="process", keep_result=True)
def elsewhere() -> tuple[int, str]:
    this_job().progress(50, "half")
    return os.getpid(), this_job().jid


@jobs.job(keep_result=True)
def where() -> tuple[int, str]:
    return threading.get_ident(), this_job().jid


@jobs.job(keep_result=True)
def attempts(fail_until: int) -> int:
    if this_job().attempt < fail_until:
        raise Retry("not yet", in_=0)
    return this_job().attempt


@jobs.job(backtrace=20)
def broken(what: str = "cannot") -> None:
    raise ValueError(what)


@jobs.job(run="process")
def broken_elsewhere() -> None:
    raise ValueError("cannot")


@jobs.job(run="process")
def crashes() -> None:
    os._exit(3)


@jobs.job
def leaves() -> None:
    raise SystemExit(1)


@jobs.job
def dies() -> None:
    raise Dead("hopeless")


@jobs.job(retry=-1)
def discards() -> None:
    raise Discard("not needed")


@jobs.job
def gives_back(seconds: float) -> None:
    raise Requeue(in_=seconds)


@jobs.job(run="process")
def gives_back_elsewhere() -> None:
    raise Requeue(in_=3600)


@jobs.job(timeout=0.1)
async def too_long() -> None:
    await asyncio.sleep(60)


@jobs.job(timeout=0.1)
def too_long_in_a_thread() -> None:
    spin()


@jobs.job(run="process", timeout=2)
def too_long_in_a_process() -> None:
    time.sleep(60)


@jobs.job(track=True)
async def endless() -> None:
    await asyncio.sleep(60)


@jobs.job(track=True)
def endless_in_a_thread() -> None:
    spin()


@jobs.job(track=True, run="process")
def endless_in_a_process() -> None:
    time.sleep(60)


@jobs.job(track=True)
def progresses() -> None:
    for percent in range(100):
        this_job().progress(percent)
    this_job().progress(desc="done")


@jobs.job(keep_result=True)
def no_json() -> Any:
    return object()


@jobs.job(track=True, keep_result=True)
def large() -> str:
    return "x" * 20_000_000


@jobs.job
def noop() -> None:
    pass


def spin() -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.005)
