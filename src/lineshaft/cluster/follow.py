"""Following the stream: an ephemeral pull consumer that is made anew whenever it may have missed something.

```
create consumer (from `after`+1) ─> ask ─> what there is, at least one entry ─> heard ─> a rest ─┐
        ^                           ^      └ none: it waits, with a heartbeat                    │
        │                           └────────────────────────────────────────────────────────────┘
        └─ a heartbeat says that more was delivered than came, or nothing comes at all
```

One question brings many entries, and while many come there is a rest after each: to be told of every entry as it comes
wakes this process, and the log's server, thousands of times a second. The first after a silence comes at once.

Deliveries are core NATS messages, so one can be lost, and a consumer dies with its server. A jump in the sequences is
left to who listens (`fold.Gap`); silence and a heartbeat that is ahead are dealt with here.
"""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Final

from msgspec import json
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from lineshaft.cluster.port import Heard

__all__ = ["Follower"]

log = logging.getLogger(__name__)

#: How many entries, and how many bytes of them, one question asks for: no more than the connection holds with ease.
BATCH: Final = 512
BATCH_BYTES: Final = 8 << 20
#: So long rests who has heard all that there is.
REST_SECONDS: Final = 0.02
#: How long a question stands.
ASK_SECONDS: Final = 10.0
#: While nothing comes, the stream says so this often.
HEARTBEAT_SECONDS: Final = 0.5
#: After so long without a word the consumer is taken to be dead.
SILENCE_SECONDS: Final = 2.0
#: Between two tries to make one.
PAUSE_SECONDS: Final = 0.25
#: JetStream forgets a consumer that nobody has listened to for so long. To ask for that would only cost time, above all
#: when the server that has it is dead: no answer comes, and meanwhile no other consumer is made.
FORGOTTEN_SECONDS: Final = 5.0

#: What JetStream says to a question: that it still stands, and that there is no more for it.
HEARTBEAT: Final = "100"
ENDS: Final = ("404", "408")


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
        #: How many entries the question that stands has brought, and whether that was all.
        self._came = 0
        self._answered = asyncio.Event()
        # An entry may be as large as the connection lets through.
        most = max(BATCH_BYTES, 2 * client.max_payload)
        self._question = json.encode(
            {
                "batch": BATCH,
                "max_bytes": most,
                "no_wait": True,
                "expires": int(ASK_SECONDS * 1e9),
                "idle_heartbeat": int(HEARTBEAT_SECONDS * 1e9),
            }
        )

    def stop(self) -> None:
        """Tell no more."""
        self._stopped.set()
        self._answered.set()

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
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    async def _follow(self) -> None:
        inbox = self._client.new_inbox()
        subscription = await self._client.subscribe(
            inbox, cb=self._delivered, pending_msgs_limit=-1, pending_bytes_limit=256 << 20
        )
        try:
            self._is_stale = False
            consumer = await self._api.add_consumer(
                self._stream,
                ConsumerConfig(
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=self._after + 1,
                    ack_policy=AckPolicy.NONE,
                    max_deliver=1,
                    mem_storage=True,
                    num_replicas=1,
                    inactive_threshold=FORGOTTEN_SECONDS,
                ),
            )
            while not self._is_stale and not self._stopped.is_set():
                await self._ask(consumer.name, inbox)
                if self._came < BATCH:
                    await self._pause(REST_SECONDS)
        finally:
            with suppress(NatsError, OSError, TimeoutError):
                await subscription.unsubscribe()

    async def _ask(self, consumer: str, inbox: str) -> None:
        """Ask for what there is, and wait until it has come, or nothing comes any more."""
        self._came, self._heard_at = 0, time.monotonic()
        self._answered.clear()
        await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}", self._question, reply=inbox)
        while not self._answered.is_set() and not self._stopped.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._answered.wait()
            if time.monotonic() - self._heard_at > SILENCE_SECONDS:
                self._is_stale = True
                return

    async def _delivered(self, message: Msg) -> None:
        self._heard_at = time.monotonic()
        if self._stopped.is_set() or self._is_stale:
            return
        headers = message.headers
        if headers and "Status" in headers:
            self._told(headers)
            return
        self._came += 1
        if self._came == BATCH:
            # It is not told that this was all.
            self._answered.set()
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>
        about = message.reply.split(".")
        sequence = int(about[-4])
        self._after = max(self._after, sequence)
        self._heard(sequence, message.data, about[-1] != "0")

    def _told(self, headers: dict[str, str]) -> None:
        """A heartbeat, or the end of what the question brings."""
        if headers["Status"] == HEARTBEAT:
            ahead = headers.get("Nats-Last-Stream")
            self._is_stale = ahead is not None and int(ahead) > self._after
        elif headers["Status"] not in ENDS:
            # The consumer is gone, or the server does not want to be asked: either way another one is made.
            self._is_stale = self._came == 0
        if self._is_stale or headers["Status"] != HEARTBEAT:
            self._answered.set()
