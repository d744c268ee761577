"""Queue names, and the queues that come into being by being named."""

import re
from typing import Final

from lineshaft.engine.ready import Queue
from lineshaft.engine.state import State
from lineshaft.errors import Refusal

__all__ = ["check_queue_name", "open_queue"]

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,255}")


def check_queue_name(name: str) -> None:
    """Raises Refusal when a queue cannot have this name."""
    if _NAME.fullmatch(name) is None:
        raise Refusal("queue names must match [a-zA-Z0-9._-]+ and have at most 255 characters")


def open_queue(state: State, name: str, *, most: int | None = None) -> Queue:
    """The queue of that name, made when there is none. Raises Refusal for a bad name or one too many.

    Without `most` it is made whatever their number: a job that is here already must have somewhere to go.

    An empty queue that a failing transition leaves behind does no harm, so this needs no `Change`.
    """
    queue = state.queues.by_name.get(name)
    if queue is not None:
        return queue
    check_queue_name(name)
    if most is not None and len(state.queues) >= most:
        raise Refusal(f"too many queues: {most}")
    queue = state.queues.add(name, state.take_order(), state.now)
    state.limit(queue)
    # Whoever waits under this name could not be noted on a queue that did not exist.
    queue.wanted = True
    return queue
