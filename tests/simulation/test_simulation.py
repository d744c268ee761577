"""Nothing is lost, whatever happens: hundreds of seeds, each a server among faults; and defects that must be noticed.

LINESHAFT_SEEDS says how many seeds are played; `make nightly` plays ten thousand.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest

from lineshaft.engine import finish, leases
from lineshaft.engine.features import batch, unique
from lineshaft.engine.index import Index
from lineshaft.engine.ready import Window
from lineshaft.server.commit import GroupCommit
from simulation.faults import FAULTS
from simulation.profile import KINDS
from simulation.run import Failure, Simulation, fails, play, shrink

SEEDS = int(os.environ.get("LINESHAFT_SEEDS", "120"))
#: The seeds are played in so many tests.
PARTS = 10
#: So many seeds suffice to notice each of the defects below.
ENOUGH = 60


@pytest.mark.timeout(400 + SEEDS)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost(part: int) -> None:
    for seed in range(part, SEEDS, PARTS):
        try:
            play(str(seed))
        except Failure as failure:
            pytest.fail(f"make simulate SEED={seed}: {failure}")


def test_a_seed_is_played_the_same_way_each_time() -> None:
    first, second = play("7"), play("7")
    assert first.world.disk.rows() == second.world.disk.rows()
    assert first.ledger.seen == second.ledger.seen
    assert first.world.writes == second.world.writes > 50
    assert play("8").world.writes != first.world.writes


def nothing(*_: Any) -> None:
    """In place of something that must be done."""


def no(*_: Any) -> bool:
    """Never so."""
    return False


def none(*_: Any) -> list[Any]:
    """Nothing found."""
    return []


def at_the_head(window: Window, entry: Any, *_: Any) -> None:
    """Where a push must not stand."""
    window.entries.appendleft(entry)


DEFECTS: list[tuple[str, object, str, Callable[..., Any]]] = [
    ("+OK before the sync", GroupCommit, "owes", no),
    ("a lease stays in its group", leases.Leases, "rewrite", nothing),
    ("a lock is not released", unique, "_release", nothing),
    ("the index forgets to forget", Index, "remove", nothing),
    ("a batch is not told of its end", batch.Batch, "_has_run", no),
    ("an expired reservation is passed over", leases.Leases, "take_expired", none),
    ("a job that is given back stays with its worker", finish, "put_back", nothing),
    ("a push overtakes those on disk", Window, "append", at_the_head),
]


@pytest.mark.parametrize(("where", "name", "instead"), [defect[1:] for defect in DEFECTS], ids=[d[0] for d in DEFECTS])
def test_a_defect_is_noticed(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, instead: Callable[..., Any]
) -> None:
    monkeypatch.setattr(where, name, instead)
    if not any(fails(str(seed), 200, ()) for seed in range(ENOUGH)):
        pytest.fail("nobody has noticed")


def test_a_failing_seed_is_shrunk_to_one_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases.Leases, "rewrite", nothing)
    seed, failure = next(
        (str(seed), failure) for seed in range(ENOUGH) if (failure := fails(str(seed), 200, ())) is not None
    )
    steps, without, _ = shrink(seed, failure)
    assert steps <= failure.step
    assert len(without) > len(Simulation(seed, 0).actors) // 2
    assert fails(seed, steps, without) is not None


def test_every_kind_of_actor_has_its_turn() -> None:
    seen: set[str] = set()
    for seed in range(40):
        simulation = Simulation(str(seed), 0)
        seen |= {name.split("-")[0] for weight, name, _ in simulation.actors if weight}
        seen |= simulation.profile.kinds
    assert seen >= {"producer", "worker", "admin", *FAULTS, *KINDS}
