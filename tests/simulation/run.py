"""A run: everything that one seed decides, played for so many steps, brought to rest, and judged.

    make simulate SEED=7 STEPS=400                 one seed
    make simulate SEED=1-500                       many, one after the other; the first that fails is shrunk
    make simulate SEED=7 STEPS=83 WITHOUT=admin-1,stall    a shrunk one

A step is: time passes, and one actor, chosen by chance, does one thing. Every actor has its own source of chance, and
the choice of actors one more, so a run without some actors is like the run with them, as far as it can be. After
every crash, and at the end, everything on disk is held against the laws and against what clients were told.
"""

import argparse
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Protocol

from msgspec import structs

from invariants import check_memory, check_store
from lineshaft.engine import index, ready
from lineshaft.engine.admin import mutate, sweep
from lineshaft.engine.agenda import due, forget
from lineshaft.engine.check.check import check
from lineshaft.engine.hooks import Hooks
from lineshaft.job import Job
from lineshaft.store.memory import MemoryStore
from simulation.admins import Admin
from simulation.client import Client, Habits
from simulation.disk_laws import hold_rows
from simulation.drain import drain
from simulation.faults import FAULTS, Fault
from simulation.ledger import Broken, Ledger
from simulation.producers import Producer
from simulation.profile import KINDS, Profile, profile_of
from simulation.workers import Worker
from simulation.world import World

__all__ = ["Failure", "Simulation", "play", "shrink"]

STEPS = 400


class Failure(Exception):
    """A run that failed: at which step, and over what."""

    def __init__(self, step: int, error: BaseException) -> None:
        super().__init__(f"step {step}: {type(error).__name__}: {error}")
        self.step = step
        self.error = error


class _Listener(logging.Handler):
    """Hears what must not be logged: nothing is damaged here, and no error is ours."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what tells of a defect."""
        if record.exc_info or "damaged" in record.getMessage():
            self.heard.append(record)


class Actor(Protocol):
    """Whoever has turns."""

    def act(self) -> None:
        """Do one thing."""


class Simulation:
    """One run."""

    #: What `make` plays it.
    target = "simulate"

    def __init__(self, seed: str, steps: int = STEPS, without: Iterable[str] = ()) -> None:
        self.seed, self.steps, self.without = seed, steps, frozenset(without)
        self.profile = self.make_profile()
        self.chance = Random(f"{seed}/schedule")
        if "periodic" in self.without:
            self.profile.rules = structs.replace(self.profile.rules, periodic=())
        if "throttled" in self.without:
            self.profile.rules = structs.replace(self.profile.rules, throttles={})
        if "laned" in self.without:
            self.profile.rules = structs.replace(self.profile.rules, queues={})
        hooks = Hooks(ack=_follow) if self.profile.hooked and "plugin" not in self.without else None
        self.world = self.make_world(hooks)
        self.ledger = Ledger(self.world)
        self.world.witness = self
        self.listener = _Listener()
        self.clients: list[Client] = []
        self.actors: list[tuple[float, str, Actor]] = []
        self._cast()

    # What another kind of run may have otherwise

    def make_profile(self) -> Profile:
        """What the seed decides."""
        return profile_of(self.seed)

    def make_world(self, hooks: Hooks | None) -> World:
        """Everything around the clients."""
        return World(self.seed, self.profile.rules, self.profile.settings, hooks)

    def make_fault(self, name: str) -> Actor:
        """Who lets this mishap happen."""
        return Fault(self.world, name, self.seed, FAULTS[name])

    def judge(self) -> None:
        """What must hold when all is over, beside what every kind of run is held against. Raises Broken."""

    def _cast(self) -> None:
        chance = Random(f"{self.seed}/cast")
        kinds = self.profile.kinds - self.without
        habits = [
            Habits(),
            Habits(latency=200, breaks=0.0),
            Habits(latency=50_000, breaks=0.03),
            Habits(slowness=chance.choice([1_000, 500_000]), most_waiting=chance.choice([4, 40])),
        ]
        for number in range(chance.randint(1, 3)):
            name = f"producer-{number}"
            self._add(10, name, Producer(self.world, self.ledger, name, self.seed, chance.choice(habits), kinds))
        for number in range(chance.randint(1, 4)):
            name = f"worker-{number}"
            lies, dies = chance.choice([0, 0, 0, 0.5]), chance.choice([0, 0, 0.05])
            habit = chance.choice(habits)
            self._add(
                12, name, Worker(self.world, self.ledger, name, self.seed, habit, lies=lies, dies=dies, kinds=kinds)
            )
        for number in range(chance.randint(0, 2)):
            name, rash = f"admin-{number}", chance.choice([0, 0, 0.02, 0.3])
            self._add(2, name, Admin(self.world, self.ledger, name, self.seed, chance.choice(habits), rash=rash))
        for name, weight in self.profile.weights.items():
            self.actors.append((weight, name, self.make_fault(name)))

    def _add(self, weight: float, name: str, client: Client) -> None:
        self.actors.append((weight, name, client))
        self.clients.append(client)

    # The witness of the world

    def crashed(self, kept: int) -> None:
        """Only so many commits are left."""
        self.ledger.crashed(kept)

    def clock_set(self, before: int, after: int) -> None:
        """The clock was set."""
        self.ledger.clock_set(before, after)

    def inspect(self) -> None:
        """Hold the disk against all laws."""
        rows = self.world.rows()
        store = MemoryStore(rows)
        check_store(store, has_index=self.profile.rules.jid_index)
        found = [finding for finding in check(store) if not _is_idle_group(finding)]
        if found:
            raise Broken(f"lineshaft check finds: {found[:3]}")
        hold_rows(self.ledger, rows)

    def inspect_all(self) -> None:
        """The same for a server that lives and has nothing in hand."""
        self.inspect()
        server = self.world.serving()
        if server is not None and server.engine.state.turn.is_empty():
            with self.world.undisturbed():
                check_memory(server.engine, is_steady=not self.ledger.jumps)

    # Playing

    def play(self) -> None:
        """All steps, then the drain. Raises Failure."""
        names = [name for _, name, _ in self.actors]
        weights = [weight for weight, _, _ in self.actors]
        actors = {name: actor for _, name, actor in self.actors}
        step = 0
        with tightened(self.profile.tight), listening(self.listener):
            try:
                self.world.start()
                for step in range(1, self.steps + 1):
                    name = self.chance.choices(names, weights)[0]
                    self.world.advance(self.chance.choice(self.profile.pace))
                    if name not in self.without:
                        actors[name].act()
                    self._hear()
                    if step % 50 == 0:
                        self.inspect_all()
                self.inspect_all()
                drain(self)
                self.judge()
                self._hear()
            except Exception as error:
                raise Failure(step, error) from error

    def _hear(self) -> None:
        if self.listener.heard:
            record = self.listener.heard[0]
            cause = record.exc_info[1] if record.exc_info else None
            raise Broken(f"the server logged: {record.getMessage()}: {cause!r}") from cause


def _is_idle_group(finding: object) -> bool:
    """Leases whose jobs have all gone may stay behind when a crash falls between; the next start deletes them."""
    return "the next start deletes it" in str(finding)


def _follow(job: Job, worker: str) -> tuple[Job, ...]:  # noqa: ARG001
    """A plugin that has every job followed by another."""
    if job.jid.endswith("-next"):
        return ()
    return (Job(jid=job.jid + "-next", jobtype="N", args=job.args, queue=job.queue),)


@contextmanager
def tightened(is_tight: bool) -> Iterator[None]:
    """Windows of three jobs, an index of four young ones, slices of three: every edge is met."""
    values = [
        (ready, "WINDOW_LEAST", 3), (ready, "WINDOW_MOST", 3), (index, "MOST_YOUNG", 4),
        (mutate, "SLICE", 3), (sweep, "SLICE", 3), (due, "SLICE", 3), (forget, "SLICE", 3),
    ]  # fmt: skip
    before = [(module, name, getattr(module, name)) for module, name, _ in values]
    if is_tight:
        for module, name, value in values:
            setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


@contextmanager
def listening(listener: logging.Handler) -> Iterator[None]:
    """Hear what the server logs, and print none of it."""
    log = logging.getLogger("lineshaft")
    propagates = log.propagate
    log.addHandler(listener)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(listener)
        log.propagate = propagates


def play(seed: str, steps: int = STEPS, without: Iterable[str] = (), kind: type[Simulation] = Simulation) -> Simulation:
    """Play one seed to its end. Raises Failure."""
    simulation = kind(seed, steps, without)
    simulation.play()
    return simulation


def fails(seed: str, steps: int, without: Iterable[str], kind: type[Simulation] = Simulation) -> Failure | None:
    """How a run fails, if it does."""
    try:
        play(seed, steps, without, kind)
    except Failure as failure:
        return failure
    return None


def shrink(seed: str, failure: Failure, kind: type[Simulation] = Simulation) -> tuple[int, list[str], Failure]:
    """The fewest steps and actors found with which the seed still fails."""
    without: list[str] = []
    steps = max(failure.step, 1)
    found = fails(seed, steps, without, kind)
    if found is None:
        # It only fails later in its drain.
        steps, found = failure.step, failure
    names = [name for _, name, _ in kind(seed, 0).actors] + KINDS + ["plugin"]
    for name in names:
        if (less := fails(seed, steps, [*without, name], kind)) is not None:
            without.append(name)
            found, steps = less, min(steps, max(less.step, 1))
    low = 0
    while steps - low > 1:
        middle = (low + steps) // 2
        if (less := fails(seed, middle, without, kind)) is not None:
            steps, found = middle, less
        else:
            low = middle
    return steps, without, found


class Tour:
    """Many seeds, one after the other, and what happened in them."""

    def __init__(self, kind: type[Simulation], steps: int, without: list[str], *, shrinks: bool) -> None:
        self.kind, self.steps, self.without, self.shrinks = kind, steps, without, shrinks
        self.began = time.monotonic()
        self.played = self.bad = 0
        self.seen: dict[str, int] = {}

    def play(self, seed: str) -> None:
        """One more. Raises what went wrong, once it is shrunk, if that is wanted."""
        self.played += 1
        try:
            simulation = play(seed, self.steps, self.without, self.kind)
        except Failure as failure:
            self.bad += 1
            print(f"seed {seed} fails at {failure}", flush=True)
            if self.shrinks:
                steps, without, failure = shrink(seed, failure, self.kind)
                command = f'make {self.kind.target} SEED={seed} STEPS={steps} WITHOUT="{",".join(without)}"'
                print(f"shrunk: {command}\n  {failure}")
                raise failure.error from None
            return
        world = simulation.world
        for what, times in {**simulation.ledger.seen, "crashes": world.crashes, "reopened": world.reopens}.items():
            self.seen[what] = self.seen.get(what, 0) + times

    def told(self) -> str:
        """What happened, in a line."""
        shown = ", ".join(f"{times} {what}" for what, times in sorted(self.seen.items()))
        return f"{self.played} seeds, {self.bad} bad, {time.monotonic() - self.began:.0f} s: {shown}"


def main(kind: type[Simulation] = Simulation) -> int:
    """The command line behind `make simulate`, and behind that of any other kind of run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", default="1-100", help="a seed, or FIRST-LAST")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--without", default="", help="actors, faults and kinds of jobs, separated by commas")
    parser.add_argument("--no-shrink", action="store_true", help="tell of every seed that fails, and go on")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    given = parser.parse_args()
    first, _, last = given.seed.partition("-")
    without = [name for name in given.without.split(",") if name]
    tour = Tour(kind, given.steps, without, shrinks=not given.no_shrink)
    with suppress(KeyboardInterrupt):
        for number in range(int(first), int(last or first) + 1):
            if time.monotonic() - tour.began > given.seconds:
                break
            tour.play(str(number))
    print(tour.told())
    return 1 if tour.bad else 0


if __name__ == "__main__":
    sys.exit(main())
