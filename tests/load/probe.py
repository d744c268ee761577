"""An open loop: commands that are sent at fixed instants, whatever becomes of the ones before them.

A client that waits for a reply before it asks again leaves out the very instants at which the server did not answer.
Here the time of each command counts from the instant at which it was to be sent, so that a pause of a second is seen by
all commands of that second.
"""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from load.wire import Wire

__all__ = ["Probe"]


class Probe:
    """Sends what `line` gives, `rate` times a second, over one connection, until it is cancelled."""

    def __init__(self, wire: Wire, line: Callable[[int], bytes], rate: float) -> None:
        self.wire = wire
        self.line = line
        self.step = 1 / rate
        #: Milliseconds from when each was due to its reply, since the last `take`.
        self.taken: list[float] = []
        #: How late each was sent: by how much this process, or the machine, was late itself.
        self.late: list[float] = []
        self.failed: list[BaseException] = []
        self.sent = 0

    async def run(self) -> None:
        """Send on and on."""
        # uvloop's own time has a grain of a millisecond, and stands still during a turn.
        due = perf_counter()
        while True:
            await asyncio.sleep(max(due - perf_counter(), 0))
            self.late.append((perf_counter() - due) * 1000)
            self.sent += 1
            self.wire.send(self.line(self.sent)).add_done_callback(self._answered(due))
            due += self.step

    def _answered(self, due: float) -> "Callable[[asyncio.Future[Any]], None]":
        def answered(future: "asyncio.Future[Any]") -> None:
            if (error := future.exception()) is not None:
                self.failed.append(error)
            else:
                self.taken.append((perf_counter() - due) * 1000)

        return answered

    def take(self) -> tuple[list[float], list[float]]:
        """What was measured since the last call: times, and own lateness."""
        taken, late = self.taken, self.late
        self.taken, self.late = [], []
        return taken, late
