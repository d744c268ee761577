"""Faults of a cluster: what befalls the machines, the wires between them and the log, and the log itself."""

from collections.abc import Callable
from functools import partial
from random import Random

from cluster.play.machine import Machine
from cluster.play.world import ClusterWorld
from lineshaft.store.faulty import FaultyStore
from simulation.world import SECOND

__all__ = ["FAULTS", "ClusterFault"]

#: How long something lasts: shorter than a lease, as long as one, and much longer.
SPANS = [SECOND // 3, SECOND, 3 * SECOND, 5 * SECOND, 15 * SECOND]


class ClusterFault:
    """One kind of mishap, of one machine at a time."""

    def __init__(
        self, world: ClusterWorld, name: str, seed: str, happen: Callable[[ClusterWorld, Machine, Random], None]
    ) -> None:
        self.world, self.name, self._happen = world, name, happen
        self.chance = Random(f"{seed}/{name}")

    def act(self) -> None:
        """Let it happen, more often than not to the leader."""
        machine = self.world.leader() if self.chance.random() < 0.5 else None
        machine = machine or self.chance.choice(list(self.world.machines.values()))
        self.world.count(self.name)
        self._happen(self.world, machine, self.chance)


def _kill(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    machine.kill()


def _power_cut(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    machine.kill(power=True)


def _all_dark(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    """Every machine loses its power; the log's disks keep what they had."""
    for each in world.machines.values():
        each.kill(power=True)


def _stop(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    machine.stop()


def _replace(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    """A machine with an empty disk takes the place of a dead one."""
    machine.kill()
    machine.disk = FaultyStore()


def _upgrade(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    """It comes back with a version that writes other records."""
    machine.is_newer = True
    machine.stop()


def _pause(world: ClusterWorld, machine: Machine, chance: Random) -> None:
    machine.pause()
    world.later(chance.choice([*SPANS, 70 * SECOND]), machine.go_on)


def _hand_over(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    node = machine.node
    if node is not None and machine.leads() and machine.is_awake:
        node.hand_over(node.nearest() or chance.choice("abc"))


def _cut(world: ClusterWorld, machine: Machine, chance: Random) -> None:
    machine.wire.is_cut = True
    world.later(chance.choice(SPANS), lambda: setattr(machine.wire, "is_cut", False))


def _deafen(world: ClusterWorld, machine: Machine, chance: Random) -> None:
    machine.wire.is_deaf = True
    world.later(chance.choice(SPANS), lambda: setattr(machine.wire, "is_deaf", False))


def _lose(world: ClusterWorld, machine: Machine, chance: Random) -> None:
    machine.wire.loss = chance.choice([0.05, 0.3])
    world.later(chance.choice(SPANS), lambda: setattr(machine.wire, "loss", 0.0))


def _slow(world: ClusterWorld, machine: Machine, chance: Random) -> None:
    machine.wire.latency = chance.choice([20_000, 300_000, 2 * SECOND])
    world.later(chance.choice(SPANS), lambda: setattr(machine.wire, "latency", 2_000))


def _headless(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    """The log, the board, or both have no leader among their servers for a while."""
    for what in chance.choice([[world.log], [world.board], [world.log, world.board]]):
        what.is_headless = True
        world.later(chance.choice(SPANS), partial(setattr, what, "is_headless", False))


def _forget(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    """The log remembers no more which requests it has seen."""
    world.log.forget_identities()


def _stall(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    machine.disk.busy_for(chance.choice([1, 3, 50]))


def _disk_error(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    machine.may_fail = True
    machine.disk.fail_commit(machine.disk.commits + 1, applied=chance.random() < 0.5)


def _clock_jump(world: ClusterWorld, machine: Machine, chance: Random) -> None:  # noqa: ARG001
    world.set_clock(chance.choice([-3_600_000, -61_000, -5_000, -150, 150, 5_000, 29_000, 61_000, 3_600_000]))


FAULTS: dict[str, Callable[[ClusterWorld, Machine, Random], None]] = {
    "kill": _kill,
    "power cut": _power_cut,
    "all dark": _all_dark,
    "stop": _stop,
    "replace": _replace,
    "upgrade": _upgrade,
    "pause": _pause,
    "hand over": _hand_over,
    "cut": _cut,
    "deafen": _deafen,
    "lose": _lose,
    "slow": _slow,
    "headless": _headless,
    "forget": _forget,
    "stall": _stall,
    "disk error": _disk_error,
    "clock jump": _clock_jump,
}
