"""The world of a cluster: three machines, one log, one board, and clients who come in through any of them.

The truth is the log alone. A reader that misses nothing folds each entry the moment it stands (`truth`): what must be
true of a store must be true of that one after every entry, and what a client was told must be in it by then.
"""

from collections import Counter
from contextlib import AbstractContextManager, nullcontext

from cluster.play.machine import Machine
from cluster.play.wire import TrueBoard, TrueLog, older
from lineshaft.cluster.memory_log import Request
from lineshaft.cluster.record import Leadership
from lineshaft.cluster.replica import Replica
from lineshaft.engine.hooks import Hooks
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.engine.settings import Settings
from lineshaft.server.server import Server
from lineshaft.server.settings import ServerSettings
from lineshaft.store.memory import MemoryStore
from simulation.network import Host, Link
from simulation.world import SECOND, World

__all__ = ["ClusterWorld", "of_jobs"]


def of_jobs(rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """All rows but the place in the log."""
    return {key: value for key, value in rows.items() if key != POSITION_KEY}


class ClusterWorld(World):
    """Everything around the clients."""

    def __init__(self, seed: str, rules: Settings, settings: ServerSettings, hooks: Hooks | None = None) -> None:
        super().__init__(seed, rules, settings, hooks)
        #: So large may an entry be: now and then smaller than a turn.
        self.limit_bytes = self.chance.choice([3_000, 20_000, 1 << 20])
        #: So large is the log when a snapshot is due.
        self.snapshot_after = self.chance.choice([3_000, 20_000, 1 << 30])
        #: How often the nodes' rules look at the clock.
        self.tick = SECOND // 4
        self.log = TrueLog(self._stands)
        self.board = TrueBoard()
        self.snapshots: dict[int, dict[bytes, bytes]] = {}
        #: Who began the newest epoch.
        self.leadership: Leadership | None = None
        self.truth = Replica(MemoryStore(), self.log.log_id, self._began)
        #: What should not have happened.
        self.unexpected: list[str] = []
        self.seen: Counter[str] = Counter()
        #: Requests that were lost on their way, and may arrive after all.
        self.late: list[Request] = []
        #: Which standby carries a connection.
        self._carried: list[tuple[Link, Machine]] = []
        self.machines = {name: Machine(self, seed, name) for name in "abc"}

    def milliseconds(self) -> int:
        """What the nodes go by: a clock that only rises."""
        return self.time // 1000

    def count(self, what: str) -> None:
        """Note that something has happened, and whether that was while nobody led."""
        self.seen[what] += 1
        if self.leader() is None:
            self.seen[f"{what}, nobody leading"] += 1

    # The log

    def _stands(self, sequence: int, data: bytes) -> None:
        fold = self.truth.fold
        before = (fold.epoch, fold.number)
        self.truth.take(sequence, older(data))
        if before == (self.truth.fold.epoch, self.truth.fold.number):
            # It was taken by the log, and counts for nobody: a former leader's, or one whose predecessor was refused.
            self.count("entries skipped")
        for machine in self.machines.values():
            if machine.server is not None:
                machine.log.news()

    def _began(self, leadership: Leadership, _: int) -> None:
        self.leadership = leadership
        # What was on its way for long likes to come just now, when it does most harm.
        late, self.late = self.late, []
        for request in late:
            self.later(self.chance.choice([0, 1_000, 20_000, 300_000]), request.arrive)

    # The end of every connection

    def reach(self, link: Link) -> Host | None:
        """A client comes to any machine, and is carried to the leader if that is another."""
        way = self.chance.choice(list(self.machines.values()))
        if way.server is None or not way.is_awake:
            return None
        if way.leads():
            return way
        host = self.machines.get(way.leader)
        if host is None or host.server is None or not host.is_awake or not host.leads():
            return None
        self._carried.append((link, way))
        return host

    def forget(self, machine: Machine) -> None:
        """A standby carries its clients no more: leadership has moved, or it is dead."""
        gone = [link for link, way in self._carried if way is machine]
        self._carried = [(link, way) for link, way in self._carried if way is not machine and not link.left]
        for link in gone:
            link.reset()

    # For who looks from outside

    @property
    def position(self) -> int:
        """Nothing that was told is ever taken back."""
        return 0

    def rows(self) -> dict[bytes, bytes]:
        """What the log says of jobs."""
        return of_jobs(dict(self.truth.store.scan(b"", b"\xff" * 32, limit=1 << 30)))

    def leader(self) -> Machine | None:
        """Who leads, by the log."""
        life = self.leadership.life if self.leadership is not None else ""
        lead = [one for one in self.machines.values() if one.leads() and f"{one.name}-{one.life}" == life]
        return lead[0] if lead else None

    def serving(self) -> Server | None:
        """The server that has the jobs, if one does."""
        leader = self.leader()
        return None if leader is None or leader.server is None or leader.server.stalled else leader.server

    def undisturbed(self) -> AbstractContextManager[None]:
        """Reads do not fail here."""
        return nullcontext()

    def apply(self, rules: Settings) -> None:
        """The configuration is read again, on every node."""
        self.rules = rules
        for machine in self.machines.values():
            assert machine.server is not None
            machine.server.begin_turn()
            machine.server.engine.apply(rules)
            machine.server.need_turn()

    def calm(self) -> None:
        """Nothing more goes wrong, so the nodes need not look as often."""
        self.tick = 3 * SECOND // 4
        self.log.is_headless = self.board.is_headless = False
        for machine in self.machines.values():
            machine.wire.is_cut = machine.wire.is_deaf = False
            machine.wire.loss, machine.wire.latency = 0.0, 2_000
            machine.disk.busy_for(0)
            machine.disk._failing_commits.clear()
            machine.go_on()

    # Life

    def start(self) -> None:
        """Start all machines that do not run, and wait until one of them leads."""
        for machine in self.machines.values():
            machine.start()
        if not self.until(lambda: self.serving() is not None, most=30 * SECOND):
            self.unexpected.append("nobody comes to lead")
