"""The event loop of a process: uvloop where there is one, which is faster, and asyncio's own elsewhere."""

import asyncio
from collections.abc import Callable

__all__ = ["loop_factory"]


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop, as `asyncio.Runner` takes it; None for asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - optional: it cannot be installed everywhere
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
