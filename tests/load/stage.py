"""The stage of a soak: the server's configuration, what every feature is called, and what the actors share.

The actors are producers (`producer`), workers (`worker`), operators (`admin`), and those who come and go (`visitors`);
between them they use every feature. They run in one loop, each at a pace of its own, so that the load is the same all
the time however fast the server is. What each has done is counted in `Ledger.done`, so that a run can tell whether
every feature was really used; what was promised to them is in `Ledger.live`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load.wire import Wire
from wire_client import WireError

__all__ = ["CONFIG", "FEATURES", "Ledger", "Stage"]

#: What is kept after its end is kept for a short time, so that a run comes to its full size early. Tracks, which have
#: no such setting, stay for half an hour.
#: What may run at once of the lanes of `lanes` and `strict`, `faults.laws` knows as well.
CONFIG = """
[storage]
memory = "16MiB"
[workers]
recover_after = "3s"
[retention]
results = "1m"
batches = "1m"
batches_open = "1m"
dead_max = 500
[history]
completed = "1m"
[throttles]
throttled = { concurrency = 4, rate = 30, per = "1s" }
[queues.lanes]
lane_by = "tenant"
lane_concurrency = 2
[queues.strict]
lane_by = "tenant"
lane_order = "strict"
backoff = "fixed:1"
[[cron]]
name = "often"
schedule = "*/2 * * * * *"
[cron.job]
type = "Often"
"""

#: What a run must have done for it to say anything about that feature.
FEATURES = """
push pushb scheduled unique notunique tracked expiring batch nested_batch lane strict throttled cancel ack result
track_set track_get fail retry dead requeue beat worker_died mutate remove pause backup inspect cron_run
browser_page browser_live storm slow_reader silent
"""


@dataclass
class Ledger:
    """What was done, and which jobs must still be on the server."""

    #: Pushed and answered +OK, and nothing was sent that may have ended it.
    live: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    #: Replies that nobody expected; a run with any has failed.
    errors: Counter[str] = field(default_factory=Counter)

    def unused(self) -> set[str]:
        """The features that nobody has used so far."""
        return {feature for feature in FEATURES.split() if not self.done[feature]}


@dataclass
class Stage:
    """Where all of them act; `every` stretches all pauses."""

    port: int
    web_port: int
    scratch: Path
    ledger: Ledger
    chance: random.Random
    every: float = 1.0
    #: How many jobs each connection of a worker lives.
    life: int = 400
    wires: list[Wire] = field(default_factory=list)

    async def connect(self, hello: dict[str, Any] | None = None) -> Wire:
        """A connection, which the end of the run closes if nobody else has."""
        made = await Wire.connect(self.port, hello)
        self.wires = [*(wire for wire in self.wires if not wire.is_lost), made]
        return made

    async def close(self) -> None:
        """Close what is still open; what was closed before is seen to by the loop's next turns."""
        for wire in self.wires:
            wire.close(abort=True)
        await asyncio.sleep(0.1)

    async def pause(self, seconds: float) -> None:
        """Wait for about so long, never in step with others."""
        await asyncio.sleep(self.every * seconds * self.chance.uniform(0.5, 1.5))

    async def forever(self, act: Callable[["Stage", str], Awaitable[None]], name: str) -> None:
        """Play an actor again and again: a connection that ends is made anew."""
        life = 0
        while True:
            life += 1
            try:
                await act(self, f"{name}-{life}")
            except WireError as error:
                self.ledger.errors[f"{name}: {error}"] += 1
                await self.pause(0.5)
            except OSError as error:
                self.ledger.errors[f"{name}: {error!r}"] += 1
                await self.pause(0.5)
