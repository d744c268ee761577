"""What stands around every job: typed callables, composed once.

    async def timed(job: RunningJob, call_next: CallNext) -> Any:
        started = time.monotonic()
        try:
            return await call_next(job)
        finally:
            print(job.jid, time.monotonic() - started)

They run on the worker's loop, the first of the list outermost, and see what the function returns and raises. What they
set in context variables, the function sees too, wherever in this process it runs.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from lineshaft.worker.running import RunningJob

__all__ = ["CallNext", "Middleware", "compose"]

CallNext: TypeAlias = Callable[[RunningJob], Awaitable[Any]]
"""The rest of the chain, and at its end the function itself."""

Middleware: TypeAlias = Callable[[RunningJob, CallNext], Awaitable[Any]]
"""Returns what the function returned, or something else; raises what it raised, or something else."""


def compose(middleware: Sequence[Middleware], endpoint: CallNext) -> CallNext:
    """The whole chain as one call."""
    chain = endpoint
    for one in reversed(middleware):
        chain = _bind(one, chain)
    return chain


def _bind(one: Middleware, call_next: CallNext) -> CallNext:
    return lambda job: one(job, call_next)
