"""Nothing that was answered is lost, whatever befalls a cluster: seeds, each a run of three nodes; and planted defects.

`LINESHAFT_CLUSTER_SEEDS` says how many seeds are played; `make nightly` plays thousands.
"""

import os
from collections import Counter

import pytest

from cluster.play.faults import FAULTS
from cluster.play.run import ClusterSimulation
from lineshaft.cluster.fold import Fold, Verdict
from lineshaft.cluster.group import LogGroup
from lineshaft.cluster.node import Node
from lineshaft.cluster.record import Record
from simulation.profile import KINDS
from simulation.run import Failure, fails, play

SEEDS = int(os.environ.get("LINESHAFT_CLUSTER_SEEDS", "15"))
STEPS = 250
#: So many seeds suffice to notice each of the defects below, from the one on that is said there.
ENOUGH = 60


#: What the runs together must have met, or they show little.
MET = ["snapshots loaded", "takeovers", "steps down", "batches", "not unique", "throttled", "failed", "periodic"]
#: What thousands must have met beside that.
ALSO_MET = [
    "entries skipped",
    "snapshots, nobody leading",
    "snapshots loaded, nobody leading",
    "versions met",
]


@pytest.mark.timeout(400 + 3 * SEEDS)
def test_nothing_that_was_answered_is_lost() -> None:
    met: Counter[str] = Counter()
    for seed in range(SEEDS):
        try:
            met.update(play(str(seed), STEPS, (), ClusterSimulation).ledger.seen)
        except Failure as failure:
            pytest.fail(f"make simulate-cluster STEPS={STEPS} SEED={seed}: {failure}")
    assert not [what for what in MET + (ALSO_MET if SEEDS >= 200 else []) if not met[what]]


def test_a_seed_is_played_the_same_way_each_time() -> None:
    first, second = (play("8", STEPS, (), ClusterSimulation) for _ in range(2))
    assert isinstance(first, ClusterSimulation)
    assert isinstance(second, ClusterSimulation)
    assert first.world.log.entries == second.world.log.entries
    assert first.ledger.seen == second.ledger.seen
    assert first.world.writes == second.world.writes > 50


def test_every_kind_of_actor_has_its_turn() -> None:
    seen: set[str] = set()
    for seed in range(40):
        simulation = ClusterSimulation(str(seed), 0)
        seen |= {name.split("-")[0] for weight, name, _ in simulation.actors if weight}
        seen |= simulation.profile.kinds
    assert seen >= {"producer", "worker", "admin", *FAULTS, *KINDS}


def counts_everything(self: Fold, sequence: int, record: Record | None) -> Verdict:
    """As if the expected sequence alone kept a former leader out."""
    self.sequence = sequence
    if record is None:
        return Verdict.SKIPPED
    if record.number == 0:
        self.epoch, self.number, self.parts = record.epoch, 0, []
        return Verdict.EPOCH
    self.parts.append(record.body)
    return Verdict.PART if record.more else Verdict.WHOLE


def counts_any_number(self: Fold, sequence: int, record: Record | None) -> Verdict:
    """As if the expected sequence alone kept the entries of an epoch in order."""
    self.sequence = sequence
    if record is None or record.epoch < self.epoch or (record.number == 0 and record.epoch == self.epoch):
        return Verdict.SKIPPED
    if record.number == 0:
        self.epoch, self.number, self.parts = record.epoch, 0, []
        return Verdict.EPOCH
    self.number = record.number
    self.parts.append(record.body)
    return Verdict.PART if record.more else Verdict.WHOLE


DEFECTS: dict[str, tuple[int, type, str, object]] = {
    "entries of a former leader count": (6, Fold, "take", counts_everything),
    "numbers mean nothing": (6, Fold, "take", counts_any_number),
    "replies do not wait for the log": (2, LogGroup, "owes", lambda _: False),
    "a leader without a majority goes on for ever": (5, Node, "step_down", lambda *_: None),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *planted = DEFECTS[defect]
    monkeypatch.setattr(*planted)
    if not any(fails(str(seed), STEPS, (), ClusterSimulation) for seed in range(first, first + ENOUGH)):
        pytest.fail("nobody noticed")
