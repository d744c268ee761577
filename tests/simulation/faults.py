"""Faults: what befalls the disk, the machine, the process and the clock. Each is an actor, whose act is one mishap."""

from collections.abc import Callable
from random import Random

from simulation.world import SECOND, World

__all__ = ["FAULTS", "Fault"]


class Fault:
    """One kind of mishap."""

    def __init__(self, world: World, name: str, seed: str, happen: Callable[[World, Random], None]) -> None:
        self.world, self.name, self._happen = world, name, happen
        self.chance = Random(f"{seed}/{name}")

    def act(self) -> None:
        """Let it happen."""
        self._happen(self.world, self.chance)


def _kill(world: World, chance: Random) -> None:  # noqa: ARG001
    world.crash(power=False)


def _power_cut(world: World, chance: Random) -> None:  # noqa: ARG001
    world.crash(power=True)


def _commit_error(world: World, chance: Random) -> None:
    world.disk.fail_next_commit(applied=chance.random() < 0.5)


def _sync_error(world: World, chance: Random) -> None:  # noqa: ARG001
    world.disk.fail_next_sync()


def _read_error(world: World, chance: Random) -> None:
    world.disk.fail_read(chance.randint(1, 20))


def _disk_full(world: World, chance: Random) -> None:
    if not world.disk.full:
        world.disk.fill()
        world.later(chance.choice([1, 500_000, 10 * SECOND]), world.disk.empty)


def _stall(world: World, chance: Random) -> None:
    world.disk.store.busy_for(chance.choice([1, 3, 50, 400]))


def _slow_syncs(world: World, chance: Random) -> None:
    world.sync_time = chance.choice([(100, 5_000), (100, 5_000), (10_000, 200_000), (SECOND, 3 * SECOND)])


def _clock_jump(world: World, chance: Random) -> None:
    world.set_clock(chance.choice([-3_600_000, -61_000, -5_000, -150, 150, 5_000, 29_000, 61_000, 3_600_000]))


FAULTS: dict[str, Callable[[World, Random], None]] = {
    "kill": _kill,
    "power cut": _power_cut,
    "commit error": _commit_error,
    "sync error": _sync_error,
    "read error": _read_error,
    "disk full": _disk_full,
    "stall": _stall,
    "slow syncs": _slow_syncs,
    "clock jump": _clock_jump,
}
"""Every kind of mishap."""
