"""A process that is a worker: its loop, its signals, its exit code.

SIGTSTP           quiet: fetch no more, finish what runs, stay
SIGTERM, SIGINT   terminate: the same, and end; the second one does not wait for what runs
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from typing import Final

from lineshaft.event_loop import loop_factory
from lineshaft.worker.worker import Worker

__all__ = ["run_worker"]

log = logging.getLogger("lineshaft.worker")

#: How many new objects the collector waits for. What a job makes is in no circle, and to look for one at Python's 700
#: takes a tenth of what a short job costs.
GARBAGE_OBJECTS: Final = 10_000


def run_worker(worker: Worker) -> int:
    """Work until a signal or the server ends it; returns the exit code: 0, or 1 when jobs had to be left behind."""
    # What was imported until now stays.
    gc.collect()
    gc.freeze()
    # 0 is off, and whoever wanted that has it.
    if 0 < gc.get_threshold()[0] < GARBAGE_OBJECTS:
        gc.set_threshold(GARBAGE_OBJECTS)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_serve(worker))
        if not worker.left_behind:
            return 0
    # The interpreter would wait for their threads, which cannot be stopped.
    log.error("ending in spite of them; the server gives them to others")
    sys.stderr.flush()
    os._exit(1)


async def _serve(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    for number, what in ((signal.SIGTSTP, worker.quiet), (signal.SIGTERM, worker.stop), (signal.SIGINT, worker.stop)):
        loop.add_signal_handler(number, what)
    log.info(
        "worker %s serves %s: %d job function%s, %d at a time",
        worker.wid,
        ", ".join(worker.queues.names),
        len(worker.functions),
        "" if len(worker.functions) == 1 else "s",
        worker.concurrency,
    )
    await worker.serve()
