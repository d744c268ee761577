"""Weights: a FETCH that tries its queues in a random order, in which a heavier one is likelier to come early.

`critical:5 default:3 bulk:1` finds critical first five times as often as bulk, and takes a job of bulk when the others
have none. Each queue draws a time until it rings, exponential with its weight as the rate, and they are tried in the
order of their rings: that is the order of drawing one after the other by weight (P. S. Efraimidis and P. G. Spirakis,
"Weighted random sampling with a reservoir", 2006), and needs no second look when the first has no job.

Only queues that have jobs draw, so a long list of idle ones costs little.
"""

from collections.abc import Callable, Iterator, Mapping
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lineshaft.engine.state import State

__all__ = ["Weighted"]


class Weighted:
    """Names of queues; whoever goes through them meets those that have jobs, each time in another order."""

    def __init__(self, weights: Mapping[str, int], state: "Callable[[], State]") -> None:
        self.weights = weights
        #: Which state it is may change (`Engine.reload`), while a session keeps what its FETCH said.
        self.state = state

    def __iter__(self) -> Iterator[str]:
        state = self.state()
        by_name, chance = state.queues.by_name, state.chance
        filled = []
        for name, weight in self.weights.items():
            queue = by_name.get(name)
            if queue is not None and queue.size and not queue.paused:
                filled.append((name, weight))
        if len(filled) > 1:
            # 1 - chance is in (0, 1], of which there is a logarithm.
            rings = {name: -log(1 - chance()) / weight for name, weight in filled}
            filled.sort(key=lambda each: rings[each[0]])
        return iter([name for name, _ in filled])
