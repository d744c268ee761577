"""A machine of the simulated cluster: a node's process with its server, its disk, and the connections to it.

It is the shell of both: of the server, as the loop is in real life, and of the node. It is killed, stopped for a while,
or ends by itself, and then starts anew on what its disk has.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cluster.play.wire import BoardWire, LogWire, Wire
from lineshaft.cluster.group import LogGroup
from lineshaft.cluster.node import Node
from lineshaft.cluster.presence import NOTE, Presence, Role, snapshots_of
from lineshaft.cluster.replica import position_of
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.cluster.shell import Identity
from lineshaft.engine.engine import Engine
from lineshaft.errors import NotLeading, StoreError
from lineshaft.server import rescue
from lineshaft.server.server import Server
from lineshaft.server.session import Session
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store
from simulation.network import Link
from simulation.world import SECOND

if TYPE_CHECKING:
    from cluster.play.world import ClusterWorld

__all__ = ["Machine", "rows_of"]

#: So many snapshots are kept.
KEPT = 2


def rows_of(store: FaultyStore) -> dict[bytes, bytes]:
    """What a disk holds, whatever state its handle is in."""
    return dict(store._now.scan(b"", b"\xff" * 32, limit=1 << 30))


class Machine:
    """One of three."""

    def __init__(self, world: "ClusterWorld", seed: str, name: str) -> None:
        self.world, self.name = world, name
        self.chance = random.Random(f"{seed}/machine-{name}")
        self.disk = FaultyStore()
        #: It has a newer version of Lineshaft.
        self.is_newer = False
        #: A fault was ordered that may end the process.
        self.may_fail = False
        self.life = 0
        # The process that lives now.
        self.server: Server | None = None
        self.node: Node | None = None
        self.links: list[Link] = []
        self.wire = Wire(self)
        self.log: LogWire
        self.leader = ""
        self._timer = 0
        self._is_copying = False
        # It is stopped, as by SIGSTOP: what was to happen happens when it goes on.
        self.is_awake = True
        self._held: list[Callable[[], None]] = []

    # Life and death

    def start(self) -> None:
        """Start a process on what the disk holds."""
        if self.server is not None:
            return
        world, empty = self.world, MemoryStore()
        self.life += 1
        engine = Engine(empty, world.rules, world.engine_chance.random, world.wall(), world.hooks)
        group = LogGroup(lambda: self.node.store if self.node is not None else None)
        self.server = Server(empty, engine, world.settings, world.wall, self, group)
        self.log = LogWire(self.wire, world.limit_bytes)
        identity = Identity(self.name, f"{self.name}-{self.life}", f"{self.name}:7419")
        board = BoardWire(self.wire)
        self.node = Node(identity, self.disk, self.log, board, self, world.milliseconds, self.chance.random)
        rescue.stand_by(self.server, NotLeading("this node has not reached the log yet"), MemoryStore())
        self.leader, self._is_copying = "", False
        self._tick()

    def _tick(self) -> None:
        if self.node is None or self.node.role is Role.STOPPED:
            return
        self.node.tick()
        if self.node.role is Role.OUTDATED:
            self._be_upgraded()
            return
        self.later(self.world.tick, self._tick)
        if not self._is_copying and self.node is not None and self.node.wants_snapshot(self.world.snapshot_after):
            self._is_copying = True
            self.later(self.chance.randint(1, SECOND), self._copy)

    def _be_upgraded(self) -> None:
        """Whoever looks after the cluster sees that it cannot follow, and starts it as one that can."""
        assert not self.log.is_newer
        self.world.count("versions met")
        self.is_newer = True
        self.later(0, self.kill)

    def kill(self, *, power: bool = False) -> None:
        """The process is gone, or the machine with it; a new one starts after a while."""
        if self.server is None:
            return
        self.life += 1
        self.server = self.node = None
        self.is_awake, self._held = True, []
        links, self.links = self.links, []
        for link in links:
            link.server_died()
        self.world.forget(self)
        unsynced = self.disk.unsynced
        after = self.disk.crash(self.chance.randint(0, unsynced) if power else unsynced)
        self.disk = FaultyStore(rows_of(after))
        # What is flushed by now no power cut takes.
        self.may_fail = False
        self.world.later(self.chance.choice([100_000, SECOND, 8 * SECOND]), self.start)

    def stop(self) -> None:
        """SIGTERM: it says goodbye."""
        if self.node is not None and self.is_awake:
            # Its store refuses what comes in meanwhile.
            self.may_fail = True
            self.node.stop()
            self.later(self.wire.latency * 2, self.kill)

    def pause(self) -> None:
        """SIGSTOP."""
        if self.server is not None:
            self.is_awake = False

    def go_on(self) -> None:
        """SIGCONT: what was to happen meanwhile happens now, and what clients have sent is read before or after it."""
        if self.is_awake:
            return
        self.is_awake = True
        held, self._held = self._held, []
        links = [link._receive for link in self.links]
        for action in links + held if self.chance.random() < 0.5 else held + links:
            self.later(0, action)

    def later(self, delay: int, action: Callable[[], None]) -> None:
        """Something that this process does in so many microseconds; it dies with it."""
        life = self.life

        def act() -> None:
            if self.life != life:
                return
            if self.is_awake:
                action()
            else:
                self._held.append(action)

        self.world.later(delay, act, of_server=True)

    # The end of a connection

    def accept(self, link: Link) -> Session | None:
        """A connection opened."""
        assert self.server is not None
        return self.server.accept(link)

    def leads(self) -> bool:
        """Whether it runs and thinks that it leads."""
        return self.node is not None and self.node.role is Role.LEADER

    # The server's shell

    def soon(self, callback: Callable[[], None]) -> None:
        """As the loop's call_soon."""
        self.later(0, callback)

    def wake_in(self, milliseconds: int) -> None:
        """As the loop's call_later, replacing what was asked before."""
        self._timer += 1
        timer = self._timer
        self.later(milliseconds * 1000, lambda: self._wake(timer))

    def _wake(self, timer: int) -> None:
        if timer == self._timer:
            assert self.server is not None
            self.server.wake()

    def sync(self, _: Store) -> None:
        """Never: what is committed is in the log before anybody hears of it."""
        raise AssertionError("a node of a cluster asked for a sync")

    def apart(self, *_: Any) -> None:
        """Never: nobody makes a backup here."""
        raise AssertionError("a node of the simulation asked for a thread")

    def reopen(self, _: Store) -> Store:
        """The disk failed while it led: it cannot lead on. Raises StoreError."""
        error = StoreError("the store of this node failed, and another node goes on")
        self.fail(error)
        raise error

    def facts(self) -> dict[str, int]:
        """What INFO asks of the shell."""
        return {"uptime": self.world.time // SECOND, "used_memory_mb": 42}

    # The node's shell

    def lead(self, store: ReplicatedStore) -> None:
        """As `NodeShell.lead`."""
        self.world.count("takeovers")
        assert self.server is not None
        rescue.lead(self.server, store)

    def stand_by(self, why: NotLeading) -> None:
        """As `NodeShell.stand_by`."""
        assert self.server is not None
        self.world.count("steps down")
        rescue.stand_by(self.server, why, MemoryStore())

    def released(self) -> None:
        """As `NodeShell.released`."""
        assert self.server is not None
        self.server.synced(None)

    def point_to(self, leader: Presence | None) -> None:
        """As `NodeShell.point_to`."""
        self.leader = leader.node if leader is not None else ""
        self.world.forget(self)

    def need_snapshot(self) -> None:
        """As `NodeShell.need_snapshot`."""
        if not self._is_copying:
            self._is_copying = True
            self.later(self.chance.randint(1, 10 * SECOND), self._load)

    def fail(self, error: StoreError) -> None:
        """As `NodeShell.fail`: the process ends, and its supervisor starts it anew."""
        if not self.may_fail:
            self.world.unexpected.append(f"node {self.name} cannot go on: {error}")
        self.world.count("nodes failed")
        self.later(0, self.kill)

    # Snapshots

    def _copy(self) -> None:
        """A copy of the disk as it is now; to store it takes a while."""
        rows = rows_of(self.disk)
        position = position_of(MemoryStore(rows))
        if position is None:
            self._is_copying = False
            return
        sequence = position.sequence
        self.later(self.chance.randint(1, 5 * SECOND), lambda: self._put(sequence, rows))

    def _put(self, sequence: int, rows: dict[bytes, bytes]) -> None:
        self._is_copying = False
        if self.wire.is_cut or self.wire.is_deaf:
            return
        world = self.world
        world.count("snapshots")
        world.snapshots[sequence] = rows
        world.board.notices[f"{NOTE}{sequence}"] = b"digest"
        for old in snapshots_of(world.board.notices)[:-KEPT]:
            if old < sequence:
                del world.board.notices[f"{NOTE}{old}"]
                world.snapshots.pop(old, None)

    def _load(self) -> None:
        """Begin anew from a snapshot: the newest, or the one before when that cannot be read."""
        self._is_copying = False
        noted = [one for one in snapshots_of(self.world.board.notices) if one in self.world.snapshots]
        if self.wire.is_cut or not noted or self.node is None:
            # The real one ends, and comes again.
            return
        if len(noted) > 1 and self.chance.random() < 0.3:
            noted.pop()
        self.world.count("snapshots loaded")
        with suppress(StoreError):
            self.disk.close()
        self.disk = FaultyStore(self.world.snapshots[noted[-1]])
        self.node.restart(self.disk)
