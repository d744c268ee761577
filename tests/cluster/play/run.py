"""A run of a cluster: the clients, the ledger and the laws of the single server's simulation, around three nodes.

    make simulate-cluster SEED=7                   one seed
    make simulate-cluster SEED=1-500               many; the first that fails is shrunk
    make simulate-cluster SEED=7 STEPS=83 WITHOUT=admin-1,stall    a shrunk one

What clients send, what they may be told, and what must be there in the end is as with one server (`simulation.run`),
and stricter in one thing: nothing that was told is ever taken back, whichever machines die. The laws are held against
what the log says; in the end against the disk of every node.
"""

import sys
from random import Random

from cluster.play.faults import FAULTS, ClusterFault
from cluster.play.machine import rows_of
from cluster.play.world import ClusterWorld, of_jobs
from lineshaft.engine.hooks import Hooks
from simulation.ledger import Broken
from simulation.profile import Profile, profile_of
from simulation.run import Actor, Simulation, main
from simulation.world import SECOND

__all__ = ["ClusterSimulation"]

#: How much time passes between two steps, in microseconds.
PACES = [
    [0, 100, 1_000, 10_000, 100_000, 300_000],
    [100, 1_000, 10_000, 100_000, SECOND],
    [1_000, 100_000, SECOND, 4 * SECOND],
]

#: Mishaps come so much more seldom than on one machine: a takeover takes seconds, and clients shall have some between.
SELDOM = 0.4


class ClusterSimulation(Simulation):
    """One run."""

    target = "simulate-cluster"
    world: ClusterWorld

    def make_profile(self) -> Profile:
        """What the seed decides."""
        profile = profile_of(self.seed, FAULTS)
        profile.pace = Random(f"{self.seed}/pace").choice(PACES)
        profile.weights = {name: weight * SELDOM for name, weight in profile.weights.items()}
        return profile

    def make_world(self, hooks: Hooks | None) -> ClusterWorld:
        """Everything around the clients."""
        return ClusterWorld(self.seed, self.profile.rules, self.profile.settings, hooks)

    def make_fault(self, name: str) -> Actor:
        """Who lets this mishap happen."""
        return ClusterFault(self.world, name, self.seed, FAULTS[name])

    def inspect(self) -> None:
        """Hold what the log says against all laws."""
        super().inspect()
        if self.world.unexpected:
            raise Broken(self.world.unexpected[0])

    def judge(self) -> None:
        """Every node has what the log says. Raises Broken."""
        self.inspect()
        for what, times in self.world.seen.items():
            self.ledger.seen[what] = self.ledger.seen.get(what, 0) + times
        self.world.advance(3 * SECOND)
        truth = self.world.rows()
        for machine in self.world.machines.values():
            if of_jobs(rows_of(machine.disk)) != truth:
                raise Broken(f"node {machine.name} has other rows than the log")


if __name__ == "__main__":
    sys.exit(main(ClusterSimulation))
