"""A cluster in a box: nodes with whole servers, one log and one board in memory, one clock, and a network to cut."""

from harness import Harness, Peer
from lineshaft.clock import ManualClock
from lineshaft.cluster.group import LogGroup
from lineshaft.cluster.memory_log import MemoryBoard, MemoryBoardLink, MemoryLink, MemoryLog, Request
from lineshaft.cluster.node import Node
from lineshaft.cluster.presence import Presence, Role
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.cluster.shell import Identity
from lineshaft.errors import NotLeading, StoreError
from lineshaft.server import rescue
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store

#: How often a node is ticked.
TICK_MS = 100


class NodeBox(Harness):
    """One node: a server, and what decides when it serves. It is the shell of both."""

    def __init__(self, box: "Box", name: str, local: Store, life: int) -> None:
        super().__init__()
        self.name = name
        self.clock = self.server.clock = box.clock
        self.local = local
        self.life = life
        self.link = MemoryLink(box.log, box.limit_bytes)
        self.board = MemoryBoardLink(box.board)
        self.server.group = LogGroup(lambda: self.node.store)
        identity = Identity(name, f"{name}-{life}", f"{name}:7419", f"{name}:7420")
        self.node = Node(identity, local, self.link, self.board, self, box.clock, lambda: 0.5)
        rescue.stand_by(self.server, NotLeading("this node has not reached the log yet"), MemoryStore())
        #: Where clients were to be sent, in order.
        self.pointed: list[str] = []
        self.failures: list[StoreError] = []
        self.lacks_snapshot = False
        #: The network between this node and the log carries nothing; what it asks times out, and may arrive later.
        self.is_cut = False
        self.late: list[Request] = []
        #: What it asks arrives, and the answers do not.
        self.is_deaf = False
        #: Killed, and not started again.
        self.is_dead = False
        #: It is stopped, as by SIGSTOP: it does nothing at all until it goes on.
        self.is_paused = False

    def lead(self, store: ReplicatedStore) -> None:
        rescue.lead(self.server, store)
        self.began_at = self.server.engine.state.now

    def stand_by(self, why: NotLeading) -> None:
        rescue.stand_by(self.server, why, MemoryStore())

    def released(self) -> None:
        self.server.synced(None)

    def point_to(self, leader: Presence | None) -> None:
        self.pointed.append(leader.node if leader is not None else "")

    def need_snapshot(self) -> None:
        self.lacks_snapshot = True

    def fail(self, error: StoreError) -> None:
        self.failures.append(error)

    def carry_board(self) -> None:
        """Carry what this node asks of the board, and nothing else."""
        while self.board.requests:
            request = self.board.requests.pop(0)
            request.arrive()
            request.answer()

    def carry(self) -> bool:
        """Carry what this node asks, and what the log has for it; whether anything moved."""
        moved = False
        for link in (self.link, self.board):
            while link.requests:
                moved = True
                request = link.requests.pop(0)
                if self.is_cut:
                    self.late.append(request)
                    request.time_out()
                elif self.is_deaf:
                    request.arrive()
                    request.time_out()
                else:
                    request.arrive()
                    request.answer()
        if not self.is_cut and not self.is_deaf:
            for reader in list(self.link.readers):
                moved = reader.deliver() or moved
        return moved


class Box:
    """Nodes `a`, `b`, `c`."""

    def __init__(self, names: str = "abc", *, limit_bytes: int = 1 << 20) -> None:
        self.clock = ManualClock(1_764_000_000_000)
        self.log = MemoryLog()
        self.board = MemoryBoard()
        self.limit_bytes = limit_bytes
        self.nodes: dict[str, NodeBox] = {}
        for name in names:
            self.start(name)

    def start(self, name: str, local: Store | None = None) -> NodeBox:
        """Start a node, on what it had when it ran before."""
        before = self.nodes.get(name)
        if local is None:
            local = before.local if before is not None else MemoryStore()
        self.nodes[name] = NodeBox(self, name, local, before.life + 1 if before is not None else 1)
        return self.nodes[name]

    def kill(self, name: str) -> NodeBox:
        """The process is gone; its connections break."""
        node = self.nodes[name]
        node.is_paused = node.is_cut = True
        return node

    def settle(self) -> None:
        """Let everything happen that can happen now."""
        running = [node for node in self.nodes.values() if not node.is_paused]
        moved = True
        while moved:
            for node in running:
                node.settle()
            moved = sum(node.carry() for node in running) > 0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        end = self.clock() + round(seconds * 1000)
        while self.clock() < end:
            self.clock.now += TICK_MS
            for node in self.nodes.values():
                if not node.is_paused:
                    node.node.tick()
            self.settle()

    def leaders(self) -> list[NodeBox]:
        """Who thinks that it leads, of those that run."""
        return [node for node in self.nodes.values() if node.node.role is Role.LEADER and not node.is_paused]

    def leader(self) -> NodeBox:
        """Who leads; time passes until somebody does."""
        for _ in range(100):
            if self.leaders():
                break
            self.advance(0.1)
        (leader,) = self.leaders()
        return leader

    def others(self) -> list[NodeBox]:
        """Those that run and do not lead."""
        return [node for node in self.nodes.values() if node.node.role is not Role.LEADER and not node.is_paused]


def ask(box: Box, peer: Peer, line: str) -> bytes:
    """Send a line, and let the cluster do what it takes."""
    peer.ask(line)
    box.settle()
    return peer.take()
