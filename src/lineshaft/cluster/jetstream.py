"""The log and the board on NATS JetStream, through nats-py: what is asked goes out, and comes back as `done(...)`.

```
LINESHAFT_<name>            stream: the log, one subject, files, R replicas
KV_LINESHAFT_<name>         bucket: the board, one key for each node
OBJ_LINESHAFT_<name>        bucket: snapshots (see `snapshots`)
```

An append is published with the sequence that it expects (`Nats-Expected-Last-Sequence`) and an identity
(`Nats-Msg-Id`), in the order of the calls, over one connection; answers come to one inbox. What has no answer in time
is UNKNOWN, whatever the reason: nothing here decides more than that. Everything else is a request of JetStream's API in
a task of its own, since none of it is on the way of a reply.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

from msgspec import DecodeError, Struct, json
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError

from lineshaft.cluster.access import Access
from lineshaft.cluster.follow import Follower
from lineshaft.cluster.port import Bounds, Failure, Heard, Outcome

__all__ = ["JetStream"]

log = logging.getLogger(__name__)

#: An append without an answer by then is in doubt. Half of the lease: there is time to read the log and go on.
APPEND_SECONDS: Final = 1.5
#: The same for everything else.
API_SECONDS: Final = 1.5

#: Between two tries to end what is under way.
CANCEL_SECONDS: Final = 0.5

#: JetStream's code for an append that expected another sequence.
WRONG_LAST_SEQUENCE: Final = 10071

#: How many single entries are asked for at once when the tail is read.
READ_AHEAD: Final = 64

T = TypeVar("T")


class _Ack(Struct):
    """The answer to an append."""

    class Fault(Struct):
        """Why it failed."""

        err_code: int = 0
        description: str = ""

    seq: int = 0
    error: Fault | None = None


class JetStream:
    """A `Log` and a `Board` on one connection."""

    def __init__(self, access: Access, client: Client) -> None:
        self.access = access
        self.client = client
        self.limit_bytes = client.max_payload
        self._api: JetStreamContext = client.jetstream(timeout=API_SECONDS)
        self._tasks: set[asyncio.Task[None]] = set()
        #: Those of them that end with an answer.
        self._asking: set[asyncio.Task[None]] = set()
        # Appends: those to be sent, and those without an answer, in order.
        self._outgoing: deque[tuple[str, bytes, dict[str, str]]] = deque()
        self._wake = asyncio.Event()
        self._awaited: dict[str, tuple[float, Callable[[Outcome], None]]] = {}
        self._inbox = client.new_inbox()
        self._count = 0
        self._board_key = f"$KV.{access.stream}."

    async def start(self) -> None:
        """Make what is not there yet, and begin. Raises NatsError, TimeoutError."""
        access = self.access
        stream = StreamConfig(
            name=access.stream,
            subjects=[access.stream],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            num_replicas=access.replicas,
            # What is sent again is sent within seconds, and NATS keeps every identity in memory for as long.
            duplicate_window=10,
            deny_delete=True,
        )
        await self._ensure(access.stream, lambda: self._api.add_stream(stream))
        board = KeyValueConfig(
            bucket=access.stream, history=1, replicas=access.replicas, ttl=7 * 86400, storage=StorageType.FILE
        )
        await self._ensure(f"KV_{access.stream}", lambda: self._api.create_key_value(board))
        await self.client.subscribe(self._inbox + ".*", cb=self._acknowledged)
        self._run(self._send())

    async def _ensure(self, stream: str, make: Callable[[], Awaitable[object]]) -> None:
        try:
            await self._api.stream_info(stream)
        except NotFoundError:
            try:
                await make()
            except BadRequestError as refused:
                # Another node made it just now; or it cannot be made.
                try:
                    await self._api.stream_info(stream)
                except NotFoundError:
                    raise refused from None

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended for good."""
        return self.client.is_closed

    async def settle(self, seconds: float) -> None:
        """Wait until what was asked is answered, but no longer than this."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=seconds)

    async def close(self) -> None:
        """End: what has no answer never gets one."""
        self._outgoing.clear()
        while self._tasks:
            # Once is not enough: nats-py keeps a cancellation to itself now and then.
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)
        await self.client.close()

    def sweep(self) -> None:
        """To be called several times a second: appends that have waited too long are in doubt."""
        now = time.monotonic()
        while self._awaited:
            token, (until, done) = next(iter(self._awaited.items()))
            if until > now:
                return
            del self._awaited[token]
            done(Failure.UNKNOWN)

    # Appending

    def append(self, data: bytes, *, expected: int, identity: str, done: Callable[[Outcome], None]) -> None:
        """As `Log.append`."""
        self._count += 1
        token = str(self._count)
        self._awaited[token] = (time.monotonic() + APPEND_SECONDS, done)
        headers = {
            "Nats-Expected-Last-Sequence": str(expected),
            "Nats-Expected-Stream": self.access.stream,
            "Nats-Msg-Id": identity,
        }
        self._outgoing.append((token, data, headers))
        self._wake.set()

    async def _send(self) -> None:
        while True:
            while self._outgoing:
                token, data, headers = self._outgoing.popleft()
                if token not in self._awaited:
                    # The connection stood still meanwhile, and it is in doubt by now.
                    continue
                try:
                    await self.client.publish(self.access.stream, data, reply=f"{self._inbox}.{token}", headers=headers)
                except (NatsError, OSError) as error:
                    log.info("an append could not be sent: %s", error or type(error).__name__)
            self._wake.clear()
            await self._wake.wait()

    async def _acknowledged(self, message: Msg) -> None:
        awaited = self._awaited.pop(message.subject.rpartition(".")[2], None)
        if awaited is None:
            return
        try:
            ack = json.decode(message.data, type=_Ack)
        except DecodeError:
            # Nobody listens to the stream at the moment: it has no leader.
            awaited[1](Failure.UNKNOWN)
            return
        if ack.error is None:
            awaited[1](ack.seq)
        elif ack.error.err_code == WRONG_LAST_SEQUENCE:
            awaited[1](Failure.REFUSED)
        else:
            log.error("the log refused an entry: %s", ack.error.description)
            awaited[1](Failure.UNKNOWN)

    # Reading

    def read(self, first: int, done: Callable[[list[bytes] | None], None]) -> None:
        """As `Log.read`."""
        self._ask(self._read(first), done)

    async def _read(self, first: int) -> list[bytes]:
        bounds = await self._bounds()
        entries: list[bytes] = []
        for start in range(first, bounds.last + 1, READ_AHEAD):
            wanted = range(start, min(start + READ_AHEAD, bounds.last + 1))
            found = await asyncio.gather(*(self._api.get_msg(self.access.stream, seq=one) for one in wanted))
            entries += [message.data or b"" for message in found]
        return entries

    def bounds(self, done: Callable[[Bounds | None], None]) -> None:
        """As `Log.bounds`."""
        self._ask(self._bounds(), done)

    async def _bounds(self) -> Bounds:
        info = await self._api.stream_info(self.access.stream)
        created = "" if info.created is None else info.created.isoformat()
        # Emptied by a purge, it says that it begins behind its end.
        return Bounds(max(info.state.first_seq, 1), info.state.last_seq, created, info.state.bytes)

    def follow(self, after: int, heard: Heard) -> Follower:
        """As `Log.follow`."""
        follower = Follower(self.client, self._api, self.access.stream, after, heard)
        self._run(follower.run())
        return follower

    def purge(self, up_to: int, done: Callable[[bool | None], None]) -> None:
        """As `Log.purge`."""
        self._ask(self._api.purge_stream(self.access.stream, seq=up_to + 1), done)

    # The board

    def post(self, name: str, notice: bytes, done: Callable[[bool | None], None]) -> None:
        """As `Board.post`."""
        self._ask(self._post(name, notice), done)

    async def _post(self, name: str, notice: bytes) -> bool:
        await self._api.publish(self._board_key + name, notice, timeout=API_SECONDS)
        return True

    def notices(self, done: Callable[[Mapping[str, bytes] | None], None]) -> None:
        """As `Board.notices`."""
        self._ask(self._notices(), done)

    async def _notices(self) -> dict[str, bytes]:
        bucket = f"KV_{self.access.stream}"
        info = await self._api.stream_info(bucket, subjects_filter=">")
        subjects = list(info.state.subjects or {})
        found = await asyncio.gather(*(self._api.get_msg(bucket, subject=one) for one in subjects))
        start = len(self._board_key)
        return {subject[start:]: message.data or b"" for subject, message in zip(subjects, found, strict=True)}

    # Tasks

    def _ask(self, question: Coroutine[Any, Any, T], done: Callable[[T | None], None]) -> None:
        async def ask() -> None:
            try:
                answer: T | None = await asyncio.wait_for(question, 2 * API_SECONDS)
            except (NatsError, OSError, TimeoutError) as error:
                log.debug("the cluster's log does not answer: %s", error or type(error).__name__)
                answer = None
            except Exception:  # whoever asks waits for an answer, whatever goes wrong here
                log.exception("internal error in the cluster")
                answer = None
            done(answer)

        self._asking.add(self._run(ask()))

    def _run(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._asking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("internal error in the cluster", exc_info=error)
