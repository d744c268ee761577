"""The scout: goes ahead when a connection broke, and tells the server which jobs this worker holds.

```
  a connection breaks ──> the scout opens a new one, again and again ──> the server is there
                            ├── all older connections are done with: what is under way on them has its end
                            └── BEAT {"wid","holding":[jids]}, on the new one
```

A server that was killed, or another node that leads now, finds jobs leased to this worker whose replies died on their
way. The worker lives, so nothing but its own word tells them from those that it runs. So it names what it runs, what it
has fetched ahead, and what it has a report outstanding for; a server of ours gives the others back.

Why in this order: what the server has from before its start was fetched on a connection that is older than the scout's.
Once all of these have had their end such a job is here, or never will be. What is fetched on newer ones is no concern
of that BEAT, so it goes on meanwhile. It is said on the scout's own connection and never repeated on another, since
that might lead to a server that has started once more, to which it would not be true.

Pullers whose connection broke wait for the scout. If they asked before it, it would have to wait for their FETCHes.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from lineshaft.client.awaiting import AwaitingTalker, HeldLink
from lineshaft.client.commands import Heard
from lineshaft.client.lines import decoded, line
from lineshaft.errors import LineshaftError, PeerError
from lineshaft.protocol.resp import Reply
from lineshaft.worker.exchange import Exchange
from lineshaft.worker.memory import resident_kb
from lineshaft.worker.replies import check_replies, is_lasting, is_lineshaft

__all__ = ["Scout"]

#: A server that is away is tried again after about as long: sooner than its pullers do, so that it comes first.
PAUSE_SECONDS: Final = 0.5


class Scout:
    """Tells after each break, once, what the worker holds. Close it at the end."""

    def __init__(
        self,
        exchange: Exchange,
        talker: AwaitingTalker,
        way: asyncio.Event,
        *,
        held: Callable[[], list[str]],
        hear: Callable[[Heard], None],
    ) -> None:
        self._exchange = exchange
        self._talker = talker
        #: Set while the way to the server is free, as far as is known.
        self._way = way
        self._held = held
        self._hear = hear
        #: A connection broke that is no older than the scout's last one.
        self._is_wanted = False
        self._task: asyncio.Task[None] | None = None
        exchange.on_break = self.send

    def send(self) -> None:
        """A connection broke."""
        self._is_wanted = True
        if self._task is None:
            self._way.clear()
            self._task = asyncio.get_running_loop().create_task(self._go())

    async def _go(self) -> None:
        try:
            while self._is_wanted:
                # Those that went on after the last try wait again, or this one would wait for their FETCHes.
                self._way.clear()
                try:
                    await self._tell()
                except (LineshaftError, OSError) as failure:
                    if is_lasting(failure):
                        # The pullers meet the same, and end the worker.
                        return
                    self._is_wanted = True
                    await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1))
        finally:
            self._task = None
            self._way.set()

    async def _tell(self) -> None:
        link = HeldLink(self._talker)
        try:
            info = await _ask(link, b"INFO")
            check_replies([b"INFO"], [info])
            # What broke until now is older than this connection.
            self._is_wanted = False
            if not _is_ours(info):
                return
            older = self._exchange.renew()
            self._way.set()
            if older:
                await asyncio.wait(older)
            await self._beat(link)
        finally:
            link.close()

    async def _beat(self, link: HeldLink) -> None:
        wid = self._talker.pool.hello.wid
        beat = line(b"BEAT", wid=wid, rss_kb=resident_kb(), holding=self._held())
        heard = await _ask(link, beat)
        check_replies([beat], [heard])
        if isinstance(heard, bytes):
            self._hear(decoded(heard, Heard))

    async def close(self) -> None:
        """Give up what is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _is_ours(info: Reply) -> bool:
    try:
        return is_lineshaft(info)
    except PeerError:
        return False


async def _ask(link: HeldLink, command: bytes) -> Reply:
    replies: list[Reply] = []
    await link.ask([command], replies.extend)
    return replies[0]
