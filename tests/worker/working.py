"""Runs a worker inside of a test, until what the test waits for has come about."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from lineshaft.worker import Worker

#: Only what never comes about takes as long; the end of the worker has as much again.
LIMIT_SECONDS = 50


async def until(condition: Callable[[], Any], what: str = "the condition") -> Any:
    """Wait for something to be true; in a thread, so that a blocking client may be asked."""
    end = time.monotonic() + LIMIT_SECONDS
    while not (value := await asyncio.to_thread(condition)):
        assert time.monotonic() < end, f"{what} did not come about"
        await asyncio.sleep(0.01)
    return value


def work(worker: Worker, condition: Callable[[], Any], then: Callable[[], Any] | None = None) -> Any:
    """Let the worker work until the condition holds; then `then`, by default its stop, and wait for its end."""

    async def main() -> Any:
        serving = asyncio.create_task(worker.serve())
        try:
            async with asyncio.timeout(LIMIT_SECONDS * 2):
                waiting = asyncio.create_task(until(condition))
                done, _ = await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if serving in done:
                    waiting.cancel()
                    await serving
                    return None
                (then or worker.stop)()
                await serving
                return waiting.result()
        finally:
            serving.cancel()

    return asyncio.run(main())
