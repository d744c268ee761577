"""The world of a simulation: time, the loop that carries events, one disk, one server that dies and starts again.

It is the server's shell, as asyncio is in real life, but for time: that stands still while something happens, and moves
to the next thing on the agenda when nothing is left to do. What happens at one moment happens in an order that chance
decides; all chance of a run comes from its seed.

Two clocks: `time`, in microseconds, always rises, as a loop's does; `wall()`, in milliseconds, is what the server
reads, and an actor sets it forward and back.
"""

import heapq
from collections.abc import Callable
from contextlib import AbstractContextManager
from random import Random
from typing import TYPE_CHECKING, Protocol

from lineshaft.engine.engine import Engine
from lineshaft.engine.hooks import Hooks
from lineshaft.engine.settings import Settings
from lineshaft.errors import StoreError
from lineshaft.server.server import Server
from lineshaft.server.settings import ServerSettings
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.port import Store
from simulation.disk import Disk

if TYPE_CHECKING:
    from lineshaft.server.session import Session
    from simulation.network import Host, Link

__all__ = ["SECOND", "Witness", "World"]

#: A second of `time`.
SECOND = 1_000_000

#: More things than this never happen at one moment.
MOST_AT_ONCE = 20_000

START = 1_764_000_000_000


class Witness(Protocol):
    """Who has to know what the world does to what clients were told."""

    def crashed(self, kept: int) -> None:
        """Only `kept` commits are left."""

    def inspect(self) -> None:
        """The store is about to be loaded: hold it against what is known."""

    def clock_set(self, before: int, after: int) -> None:
        """The wall clock was set."""


class World:
    """Everything around the clients."""

    def __init__(self, seed: str, rules: Settings, settings: ServerSettings, hooks: Hooks | None = None) -> None:
        self.chance = Random(f"{seed}/world")
        self.engine_chance = Random(f"{seed}/engine")
        self.rules, self.settings, self.hooks = rules, settings, hooks
        self.witness: Witness
        self.disk = Disk()
        self.time = 0
        self.offset = START
        self._agenda: list[tuple[int, float, int, int | None, Callable[[], None]]] = []
        self._count = 0
        self._at_once = 0
        # The server that lives now.
        self.server: Server | None = None
        self.life = 0
        self.links: list[Link] = []
        self._timer = 0
        #: How long a sync takes, in microseconds, at least and at most.
        self.sync_time = (100, 5_000)
        #: Everything that was written to a client is numbered.
        self.writes = 0
        self.crashes = self.reopens = 0

    # Time

    def wall(self) -> int:
        """What the wall clock says, in milliseconds."""
        return self.offset + self.time // 1000

    def set_clock(self, milliseconds: int) -> None:
        """Set the wall clock by so much."""
        before = self.wall()
        self.offset += milliseconds
        self.witness.clock_set(before, self.wall())

    def later(self, delay: int, action: Callable[[], None], *, of_server: bool = False) -> None:
        """Do something in so many microseconds; what is the server's own dies with it."""
        self._count += 1
        life = self.life if of_server else None
        # The server's own steps keep their order, as a loop's do; others fall between them as chance has it.
        order = 0.5 if of_server else self.chance.random()
        heapq.heappush(self._agenda, (self.time + delay, order, self._count, life, action))

    def advance(self, delay: int) -> None:
        """Let time pass, and everything happen that falls into it."""
        end = self.time + delay
        while self._agenda and self._agenda[0][0] <= end:
            at, _, _, life, action = heapq.heappop(self._agenda)
            self._at_once = self._at_once + 1 if at <= self.time else 0
            if self._at_once > MOST_AT_ONCE:
                raise AssertionError("the server spins: no time passes, and it is never through")
            self.time = max(self.time, at)
            if life is None or life == self.life:
                action()
        self.time = end

    def until(self, is_so: Callable[[], bool], *, most: int = 60 * SECOND) -> bool:
        """Let as much time pass as it takes, at most so many microseconds; False when it is not so even then."""
        end = self.time + most
        while not is_so():
            if not self._agenda or self._agenda[0][0] > end:
                return False
            self.advance(self._agenda[0][0] - self.time)
        return True

    # The end of every connection

    #: Its process is killed, but never stopped for a while.
    is_awake = True

    def reach(self, link: "Link") -> "Host | None":  # noqa: ARG002 - there is one server only
        """Who answers when a client connects."""
        return None if self.server is None else self

    def accept(self, link: "Link") -> "Session | None":
        """A connection opened."""
        assert self.server is not None
        return self.server.accept(link)

    # For who looks from outside

    @property
    def position(self) -> int:
        """How many commits there were: what a reply that is written now tells of."""
        return self.disk.position

    def rows(self) -> dict[bytes, bytes]:
        """What is kept."""
        return self.disk.rows()

    def serving(self) -> Server | None:
        """The server that has the jobs, if one does."""
        return self.server if self.server is not None and self.server.failed is None else None

    def undisturbed(self) -> AbstractContextManager[None]:
        """Look without meeting an error that was ordered for the server."""
        return self.disk.undisturbed()

    def apply(self, rules: Settings) -> None:
        """The configuration is read again."""
        self.rules = rules
        assert self.server is not None
        self.server.begin_turn()
        self.server.engine.apply(rules)
        self.server.need_turn()

    def calm(self) -> None:
        """Nothing more goes wrong."""
        self.disk.empty()
        self.disk.store._failing_gets.clear()
        self.disk.store._failing_scans.clear()
        self.disk.store._failing_syncs.clear()
        self.disk.store.busy_for(0)
        self.disk.lost_pages = False
        self.sync_time = (100, 1_000)

    # The shell

    def soon(self, callback: Callable[[], None]) -> None:
        """As the loop's call_soon."""
        self.later(0, callback, of_server=True)

    def wake_in(self, milliseconds: int) -> None:
        """As the loop's call_later, replacing what was asked before."""
        self._timer += 1
        timer = self._timer
        self.later(milliseconds * 1000, lambda: self._wake(timer), of_server=True)

    def _wake(self, timer: int) -> None:
        if timer == self._timer:
            assert self.server is not None
            self.server.wake()

    def sync(self, store: Store) -> None:
        """As the sync thread."""
        assert isinstance(store, FaultyStore)
        try:
            started = store.start_sync()
        except StoreError as failure:
            error = failure
            self.later(0, lambda: self._synced(store, error), of_server=True)
            return
        self.later(self.chance.randint(*self.sync_time), lambda: self._end_sync(store, started), of_server=True)

    def _end_sync(self, store: FaultyStore, started: int) -> None:
        if not self.disk.is_open(store):
            return
        failure: StoreError | None = None
        try:
            store.finish_sync(started)
        except StoreError as error:
            failure = error
        self._synced(store, failure)

    def _synced(self, store: FaultyStore, failure: StoreError | None) -> None:
        assert self.server is not None
        if store is self.server.store:
            self.server.synced(failure)

    def reopen(self, store: Store) -> Store:
        """A store that failed is closed and opened; it may have lost what was not synced. Raises StoreError."""
        store.close()
        self.disk.open_again()
        unsynced = self.disk.store.unsynced
        keep = self.chance.randint(0, unsynced) if self.disk.lost_pages else unsynced
        self.disk.lost_pages = False
        self.reopens += 1
        self.witness.crashed(self.disk.crash(keep))
        self.witness.inspect()
        return self.disk.store

    def facts(self) -> dict[str, int]:
        """What INFO asks of the shell."""
        return {"uptime": self.time // SECOND, "used_memory_mb": 42}

    # Life and death

    def start(self) -> None:
        """Start a server on what the disk holds, unless one runs or the disk refuses."""
        if self.server is not None:
            return
        self.life += 1
        try:
            self.disk.open_again()
            engine = Engine(self.disk.store, self.rules, self.engine_chance.random, self.wall(), self.hooks)
        except StoreError:
            self._restart_soon()
            return
        self.server = Server(self.disk.store, engine, self.settings, self.wall, self)
        self.server.timers.arm()
        self.server.need_turn()

    def crash(self, *, power: bool) -> None:
        """The process is killed, or the machine loses its power; a new one starts after a while."""
        if self.server is None:
            return
        self.server = None
        self.life += 1
        self.crashes += 1
        links, self.links = self.links, []
        for link in links:
            link.server_died()
        unsynced = self.disk.store.unsynced
        self.witness.crashed(self.disk.crash(self.chance.randint(0, unsynced) if power else unsynced))
        self.witness.inspect()
        self._restart_soon()

    def _restart_soon(self) -> None:
        self.later(self.chance.choice([1_000, 300_000, 3 * SECOND]), self.start)
