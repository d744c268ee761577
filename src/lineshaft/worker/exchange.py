"""What pullers report and ask for, in as few packets as can be.

```
  puller: ACK a, FETCH ┐                  a turn of the loop, one packet, one connection
  puller: ACK b, FETCH ┼──> [ACK a, ACK b, FETCH, FETCH] ──> replies, each to its puller when it comes
  puller: FAIL c       ┴──> [FAIL c]       beside it, on another
```

What comes up in one turn of the loop goes out together: a worker that is busy sends a packet for many jobs, one that
is not sends one for each. All reports of a packet stand before its first FETCH, and a packet only ever goes out on a
connection on which all is answered, so no report waits behind a FETCH that waits for a job. So there are at most as
many connections as pullers.

After a break the connections that are open then can be done with (`renew`): those in use are closed when all is
answered, and no packet goes out on them any more.

What does harm when it is repeated must not be cut off in the middle: reports without a FETCH have packets of their own.

FETCHes that share a connection wait in turn, two seconds each, when the queues are empty. Where such a wait may be cut
off, that does no harm. Where it may not, since the server would take a job that finds nobody for fetched, each FETCH
has a packet of its own (`alone`), or a worker that is to end would wait for all of them.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from lineshaft.client.awaiting import AwaitingTalker, HeldLink
from lineshaft.protocol.resp import Reply

__all__ = ["Exchange"]


class _Errand:
    """What one puller has to say, and the replies so far."""

    __slots__ = ("alone", "answered", "fetch", "missing", "packet", "replies", "reports")

    def __init__(
        self, reports: Sequence[bytes], fetch: bytes | None, alone: bool, answered: "asyncio.Future[list[Reply]]"
    ) -> None:
        self.reports, self.fetch, self.alone = reports, fetch, alone
        self.replies: list[Reply] = []
        self.missing = len(reports) + (fetch is not None)
        self.answered = answered
        #: What carries it, once it is on its way.
        self.packet: asyncio.Task[None] | None = None

    def fail(self, failure: Exception) -> None:
        """There will be no more replies."""
        if not self.answered.done():
            self.answered.set_exception(failure)


class Exchange:
    """The connections of a worker's pullers. Close it at the end."""

    def __init__(self, talker: AwaitingTalker) -> None:
        self._talker = talker
        self._loop = asyncio.get_running_loop()
        #: Connections on which all is answered; that which was used last, last.
        self._idle: list[HeldLink] = []
        #: What goes out at the end of this turn of the loop.
        self._waiting: list[_Errand] = []
        self._packets: set[asyncio.Task[None]] = set()
        #: How often the connections were renewed.
        self._renewals = 0
        #: Called when a connection broke, or could not be opened.
        self.on_break: Callable[[], None] = lambda: None

    async def ask(self, reports: Sequence[bytes], fetch: bytes | None = None, *, alone: bool = False) -> list[Reply]:
        """Send reports, and a FETCH behind them if there is one; returns the replies in order.

        `alone` keeps the FETCH apart from others.

        Raises what breaks the connection; which of the commands took effect is unknown then. A cancellation closes it.
        """
        errand = _Errand(reports, fetch, alone, self._loop.create_future())
        if not self._waiting:
            self._loop.call_soon(self._send)
        self._waiting.append(errand)
        try:
            return await errand.answered
        except asyncio.CancelledError:
            if errand.packet is not None:
                errand.packet.cancel()
            raise

    def _send(self) -> None:
        waiting = [errand for errand in self._waiting if not errand.answered.done()]
        self._waiting.clear()
        together = [one for one in waiting if one.fetch and not one.alone]
        reports = [one for one in waiting if not one.fetch]
        for errands in (together, reports, *([one] for one in waiting if one.fetch and one.alone)):
            if errands:
                packet = self._loop.create_task(self._carry(errands))
                self._packets.add(packet)
                packet.add_done_callback(self._packets.discard)
                for errand in errands:
                    errand.packet = packet

    def renew(self) -> set[asyncio.Task[None]]:
        """Use the present connections no more; returns what is under way on them, to be waited for.

        When such a packet has ended its pullers have taken note of their replies, since they wait for longer.
        """
        self._renewals += 1
        for link in self._idle:
            link.close()
        return self._packets.copy()

    async def _carry(self, errands: list[_Errand]) -> None:
        link = self._idle.pop() if self._idle else HeldLink(self._talker)
        renewals = self._renewals
        # Each command, and whose it is, in the same order.
        said = [report for errand in errands for report in errand.reports]
        said += [errand.fetch for errand in errands if errand.fetch]
        owners = iter(
            [errand for errand in errands for _ in errand.reports] + [errand for errand in errands if errand.fetch]
        )
        try:
            await link.ask(said, lambda replies: _deal(replies, owners))
        except Exception as failure:
            self.on_break()
            for errand in errands:
                errand.fail(failure)
        except asyncio.CancelledError:
            for errand in errands:
                errand.fail(ConnectionError("the connection was given up"))
            raise
        finally:
            if renewals != self._renewals:
                link.close()
            # Broken ones too: they are opened anew when they are needed.
            self._idle.append(link)

    async def close(self) -> None:
        """Give up what is on its way, and say good-bye."""
        for packet in self._packets:
            packet.cancel()
        await asyncio.gather(*self._packets, return_exceptions=True)
        for link in self._idle:
            link.close()


def _deal(replies: list[Reply], owners: Iterator[_Errand]) -> None:
    """Give replies to those who asked, in turn; the last one of each ends its wait."""
    # In this order, since `zip` asks the first one first: the owner of a reply that is still to come must stay.
    for reply, owner in zip(replies, owners, strict=False):
        owner.replies.append(reply)
        owner.missing -= 1
        if not owner.missing and not owner.answered.done():
            owner.answered.set_result(owner.replies)
