"""The host: the process around a node. It carries what the rules decide to sockets, files and NATS.

```
standby   listening socket ─> Forwarder ─> the leader's port          server: every command refused, memory empty
leader    listening socket ─> Link ─> Session ─> Server ─> engine ─> ReplicatedStore
```

The socket is bound once. Each role has an asyncio server of its own on it, so that a change of roles turns nobody
away: who comes in between waits in the kernel's queue.
"""

import asyncio
import logging
import random
import secrets
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from nats.errors import Error as NatsError

from lineshaft.cluster.access import Complaints, access_of, connect, explain
from lineshaft.cluster.forward import Forwarder
from lineshaft.cluster.group import LogGroup
from lineshaft.cluster.jetstream import JetStream
from lineshaft.cluster.node import Node
from lineshaft.cluster.presence import Presence, Role
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.cluster.shell import Identity
from lineshaft.cluster.snapshots import Snapshots, install_snapshot
from lineshaft.cluster.status import status_of, summary_of
from lineshaft.config import Binding, Cluster, Config
from lineshaft.errors import NotLeading, Refusal, StoreError, UsageError
from lineshaft.server import rescue
from lineshaft.server.listener import listen
from lineshaft.server.server import Server
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store

__all__ = ["ClusterHost"]

log = logging.getLogger(__name__)

#: How often the node's rules are given a look at the clock.
TICK_SECONDS: Final = 0.1
#: Between two tries to reach NATS at the start.
RETRY_SECONDS: Final = 0.5
#: How long a goodbye may take.
GOODBYE_SECONDS: Final = 2.0
#: Between two tries to end what is under way.
CANCEL_SECONDS: Final = 0.5
#: After a snapshot that could not be taken.
SNAPSHOT_REST_SECONDS: Final = 60.0

NOT_YET: Final = "this node has not reached the cluster's log yet"


class ClusterHost:
    """One node's process."""

    def __init__(
        self, config: Cluster, data: Path, open_store: Callable[[], Store], failed: Callable[[StoreError], None]
    ) -> None:
        """`failed` is told when the node cannot go on; the process should end then. Raises ConfigError."""
        assert config.node is not None
        self.access = access_of(config)
        self.complaints = Complaints()
        self.name = config.node
        self.data = data
        self._open_store = open_store
        install_snapshot(data)
        self.local = open_store()
        self._snapshots = Snapshots(self.access, data, self.complaints)
        self._snapshot_after = config.snapshot_after_bytes
        self._snapshotting = False
        self.node: Node | None = None
        self.forwarder = Forwarder()
        self.group = LogGroup(lambda: self.node.store if self.node is not None else None)
        self.server: Server
        self._failed = failed
        self._stream: JetStream | None = None
        self._listening: socket.socket
        self._tls: ssl.SSLContext | None = None
        self._accepting: asyncio.Server | None = None
        self._roles = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, server: Server) -> None:
        """This is the server that serves when this node leads."""
        self.server = server
        server.cluster = self
        rescue.stand_by(server, NotLeading(NOT_YET), MemoryStore())

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None, config: Config) -> Self:
        """Take clients, and join the cluster as soon as NATS answers."""
        self._listening, self._tls = listening, tls
        http, cluster = config.web.binding if config.web.enabled else None, config.cluster
        web = "" if http is None else reachable(http, cluster.web_address)
        address = reachable(config.faktory.binding, cluster.job_address)
        await self._accept()
        self._run(self._join(Identity(self.name, secrets.token_hex(8), address, web)))
        return self

    def close(self) -> None:
        """Accept no more connections."""
        self._listening.close()
        if self._accepting is not None:
            self._accepting.close()

    def reopen(self) -> Store:
        """The store of this machine failed while it led: it cannot lead on. Raises StoreError."""
        error = StoreError("the store of this node failed, and another node goes on")
        self.fail(error)
        raise error

    async def _join(self, identity: Identity) -> None:
        self._stream = stream = await self._reach()
        self.complaints.over()
        self.node = Node(identity, self.local, stream, stream, self, _milliseconds, random.random)
        log.info("node %s of the cluster %s", self.name, self.access.name)
        while not stream.is_closed:
            stream.sweep()
            self.node.tick()
            self._maybe_take_snapshot()
            await asyncio.sleep(TICK_SECONDS)
        text, advice = explain(stream.client.last_error or ConnectionError("without a word"))
        self.fail(StoreError(f"NATS has ended the connection: {text}" + (f": {advice}" if advice else "")))

    async def _reach(self) -> JetStream:
        """The log, as soon as NATS lets this node have it."""
        while True:
            client = None
            try:
                client = await connect(self.access, f"lineshaft {self.name}", self.complaints)
                stream = JetStream(self.access, client)
                await stream.start()
                return stream
            except (NatsError, OSError, TimeoutError) as error:
                self.complaints.hear(error)
                if client is not None:
                    await client.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def stop(self) -> None:
        """Say goodbye; the nearest standby goes on."""
        if self.node is not None:
            self.node.stop()
            # Its last notice is on its way.
            if self._stream is not None:
                await self._stream.settle(GOODBYE_SECONDS)
        self.forwarder.close_all()
        while self._tasks:
            # Once is not enough: nats-py keeps a cancellation to itself now and then.
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)
        await asyncio.to_thread(self._snapshots.end)
        if self._accepting is not None:
            self._accepting.close()
        if self._stream is not None:
            await self._stream.close()

    # What the node asks for

    def lead(self, store: ReplicatedStore) -> None:
        """As `NodeShell.lead`."""
        rescue.lead(self.server, store)
        self.forwarder.point_to(None)
        self.forwarder.close_all()
        self._run(self._accept())

    def stand_by(self, why: NotLeading) -> None:
        """As `NodeShell.stand_by`."""
        rescue.stand_by(self.server, why, MemoryStore())
        self._run(self._accept())

    def soon(self, callback: Callable[[], None]) -> None:
        """As `NodeShell.soon`."""
        asyncio.get_running_loop().call_soon(callback)

    def released(self) -> None:
        """As `NodeShell.released`."""
        self.server.synced(None)

    def point_to(self, leader: Presence | None) -> None:
        """As `NodeShell.point_to`."""
        where = None
        if leader is not None:
            host, _, port = leader.address.rpartition(":")
            where = (host.strip("[]"), int(port))
            log.info("%s leads, at %s", leader.node, leader.address)
        self.forwarder.point_to(where)

    def need_snapshot(self) -> None:
        """As `NodeShell.need_snapshot`."""
        if not self._snapshotting:
            self._run(self._load_snapshot())

    async def _load_snapshot(self) -> None:
        """Fetch the newest snapshot, make it this node's store, and have the node begin from there."""
        assert self.node is not None
        self._snapshotting = True
        try:
            log.warning("the log does not go back to where this node stopped: loading a snapshot")
            sequence = await asyncio.to_thread(self._snapshots.load)
            self.local.close()
            install_snapshot(self.data)
            self.local = self._open_store()
            self.node.restart(self.local)
            log.warning("the snapshot at entry %d is loaded", sequence)
        except StoreError as error:
            self.fail(error)
        finally:
            self._snapshotting = False

    def _maybe_take_snapshot(self) -> None:
        assert self.node is not None
        if not self._snapshotting and self.node.wants_snapshot(self._snapshot_after):
            self._run(self._take_snapshot())

    async def _take_snapshot(self) -> None:
        self._snapshotting = True
        try:
            sequence = await asyncio.to_thread(self._snapshots.take, self.local)
            log.info("a snapshot at entry %d is stored", sequence)
        except (StoreError, UsageError, OSError) as error:
            log.error("no snapshot could be taken: %s", error)
            await asyncio.sleep(SNAPSHOT_REST_SECONDS)
        finally:
            self._snapshotting = False

    def fail(self, error: StoreError) -> None:
        """As `NodeShell.fail`."""
        log.critical("this node cannot go on: %s", error)
        self._failed(error)

    # What the server asks for

    def status(self) -> dict[str, Any]:
        """As `ClusterView.status`."""
        return status_of(self.access.name, self.name, self.node, len(self.forwarder), self.complaints.problem)

    def summary(self) -> dict[str, Any]:
        """As `ClusterView.summary`."""
        return summary_of(self.status())

    def has_leader(self) -> bool:
        """As `ClusterView.has_leader`."""
        return self.is_leading() or (self.node is not None and self.node.watch.leader is not None)

    def leader_web(self) -> str | None:
        """As `ClusterView.leader_web`."""
        leader = self.node.watch.leader if self.node is not None else None
        return leader.web or None if leader is not None else None

    def is_leading(self) -> bool:
        """As `ClusterView.is_leading`."""
        return self.node is not None and self.node.role is Role.LEADER

    def hand_over(self, node: str) -> str:
        """As `ClusterView.hand_over`."""
        if self.node is None or not self.is_leading():
            raise Refusal("this node does not lead the cluster")
        heir = node or self.node.nearest()
        if heir not in [one.node for one in self.node.watch.standbys(self.node.clock())]:
            raise Refusal(f"no standby called {heir!r} is there" if heir else "there is no standby that could lead")
        # The reply goes out with this turn; the turns after it find the store paused.
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._hand_over, heir)
        return heir

    def _hand_over(self, heir: str) -> None:
        if self.node is not None and self.is_leading():
            self.node.hand_over(heir)

    # Sockets

    async def _accept(self) -> None:
        """Have connections accepted by who serves them now."""
        async with self._roles:
            if self._listening.fileno() < 0:
                return
            if self._accepting is not None:
                self._accepting.close()
            again = self._listening.dup()
            if self.is_leading():
                self._accepting = await listen(self.server, again, self._tls)
            else:
                loop = asyncio.get_running_loop()
                self._accepting = await loop.create_server(self.forwarder.link, sock=again, backlog=4096)

    def _run(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("internal error in the cluster", exc_info=error)
            self._failed(StoreError(str(error)))


def reachable(binding: Binding, advertised: Binding | None) -> str:
    """The address under which other nodes reach a binding of this one."""
    if advertised is not None:
        return str(advertised)
    host = binding.host if binding.host not in ("", "0.0.0.0", "::") else socket.gethostname()
    return str(Binding(host, binding.port))


def _milliseconds() -> int:
    """A clock that only rises, and that a machine which is suspended does not stop, as far as its system has one.

    By one that stood still, a leader that wakes would take its notice for fresh.
    """
    if sys.platform == "linux":
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    return time.monotonic_ns() // 1_000_000
