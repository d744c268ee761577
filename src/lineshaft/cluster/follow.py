"""Following the stream: an ephemeral push consumer that is made anew whenever it may have missed something.

```
create consumer (from `after`+1) ─> deliveries ─> heard(sequence, data)
        ^                               │ a heartbeat says that more was delivered than came, or nothing comes at all
        └───────────────────────────────┘
```

Deliveries are core NATS messages, so one can be lost, and a consumer dies with its server. A jump in the sequences is
left to who listens (`fold.Gap`); silence and a heartbeat that is ahead are dealt with here.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from lineshaft.cluster.port import Heard

__all__ = ["Follower"]

log = logging.getLogger(__name__)

#: An idle stream says so this often. JetStream takes no less than a tenth of a second.
HEARTBEAT_SECONDS: Final = 0.5
#: After so long without a word the consumer is taken to be dead.
SILENCE_SECONDS: Final = 2.0
#: Between two tries to make one.
PAUSE_SECONDS: Final = 0.25
#: JetStream forgets a consumer that nobody has listened to for so long. To ask for that would only cost time, above all
#: when the server that has it is dead: no answer comes, and meanwhile no other consumer is made.
FORGOTTEN_SECONDS: Final = 5.0


class Follower:
    """One reader of the stream."""

    def __init__(self, client: Client, api: JetStreamContext, stream: str, after: int, heard: Heard) -> None:
        self._client = client
        self._api = api
        self._stream = stream
        self._after = after
        self._heard = heard
        self._stopped = asyncio.Event()
        self._heard_at = 0.0
        self._is_stale = False

    def stop(self) -> None:
        """Tell no more."""
        self._stopped.set()

    async def run(self) -> None:
        """Follow until it is stopped."""
        while not self._stopped.is_set():
            try:
                await self._follow()
            except (NatsError, OSError, TimeoutError) as error:
                log.debug("the log cannot be followed at the moment: %s", error or type(error).__name__)
            await self._pause(PAUSE_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)

    async def _follow(self) -> None:
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(
            inbox, cb=self._delivered, pending_msgs_limit=-1, pending_bytes_limit=256 << 20
        )
        try:
            self._is_stale = False
            await self._api.add_consumer(
                self._stream,
                ConsumerConfig(
                    deliver_subject=inbox,
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._after + 1,
                    ack_policy=AckPolicy.NONE,
                    max_deliver=1,
                    flow_control=True,
                    idle_heartbeat=HEARTBEAT_SECONDS,
                    mem_storage=True,
                    num_replicas=1,
                    inactive_threshold=FORGOTTEN_SECONDS,
                ),
            )
            self._heard_at = time.monotonic()
            while not self._is_stale and time.monotonic() - self._heard_at < SILENCE_SECONDS:
                if self._stopped.is_set():
                    return
                await self._pause(HEARTBEAT_SECONDS)
        finally:
            with suppress(NatsError, OSError, TimeoutError):
                await subscription.unsubscribe()

    async def _delivered(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        if self._stopped.is_set() or self._is_stale:
            return
        headers = message.headers or {}
        if "Status" in headers:
            # Flow control wants to be answered at its own address, a stalled consumer at the one that it names.
            reply = message.reply or headers.get("Nats-Consumer-Stalled")
            if reply:
                await self._client.publish(reply)
            ahead = headers.get("Nats-Last-Stream")
            if ahead is not None and int(ahead) > self._after:
                self._is_stale = True
            return
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>
        sequence = int(message.reply.split(".")[-4])
        self._after = max(self._after, sequence)
        self._heard(sequence, message.data)
