"""The queues that a worker serves: strictly in order, or by weight.

`critical,default` takes from `default` only what is left when `critical` is empty. `critical:5,default:1` asks them in
a new random order each time, `critical` first in five of six, so that no queue starves. A server of ours draws that
order itself, among the queues that have jobs at that moment; for any other the worker does, and names plain queues.
"""

import random
from collections.abc import Sequence
from typing import Final

from lineshaft.client.lines import words
from lineshaft.errors import UsageError

__all__ = ["Queues"]

#: What our server takes.
MAX_WEIGHT: Final = 1_000_000


class Queues:
    """Names, some of them with a weight behind a colon; one without counts 1 when others have one."""

    def __init__(self, names: Sequence[str]) -> None:
        weighted = [_parse(name) for name in names]
        self.names = [name for name, _ in weighted]
        if not self.names or len(set(self.names)) < len(self.names):
            raise UsageError(f"name at least one queue, and each once, not {', '.join(names) or 'none'}")
        self.is_weighted = any(":" in name for name in names)
        self._weights = [weight for _, weight in weighted]
        self._strict = b"FETCH " + words(self.names)
        self._weighted = b"FETCH " + words([f"{name}:{weight}" for name, weight in weighted])

    def fetch_command(self, *, knows_weights: bool) -> bytes:
        """What to ask for next, of a server that knows weights or does not."""
        if not self.is_weighted:
            return self._strict
        if knows_weights:
            return self._weighted
        # Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): sorted by u^(1/w), the first
        # is each queue with the probability of its weight, and so on among the rest.
        keys = [random.random() ** (1 / weight) for weight in self._weights]
        order = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
        return b"FETCH " + " ".join([self.names[one] for one in order]).encode()


def _parse(text: str) -> tuple[str, int]:
    name, colon, weight = text.partition(":")
    if not name or (colon and not (weight.isascii() and weight.isdigit() and 1 <= int(weight) <= MAX_WEIGHT)):
        raise UsageError(f"a queue is NAME, or NAME:WEIGHT with a weight from 1 to {MAX_WEIGHT}, not {text!r}")
    return name, int(weight) if colon else 1
