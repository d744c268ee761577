"""What the ledger once held against a server that was right, and must not again.

Seeds 4613, 5630 and 6269 fail on the ledger as it was before its mend. The other two went another way through the world
since the world was changed, so what they had met is a test of its own as well.
"""

from typing import Any

import pytest

from simulation.client import Habits
from simulation.ledger import Broken, Ledger
from simulation.profile import profile_of
from simulation.run import play
from simulation.workers import Worker
from simulation.world import SECOND, World


@pytest.mark.parametrize("seed", [2662, 4374, 4613, 5630, 6269])
def test_a_seed_that_failed_once(seed: int) -> None:
    play(str(seed), 400)


@pytest.fixture
def world() -> World:
    profile = profile_of("ledger")
    return World("ledger", profile.rules, profile.settings)


def alike(jid: str) -> dict[str, Any]:
    return {"jid": jid, "jobtype": "T", "args": [1], "queue": "a", "custom": {"unique_for": 600}}


def test_of_two_alike_that_are_under_way_at_once_either_may_come_first(world: World) -> None:
    """Seed 2662: the one that was sent first came after the other, which had ended by then."""
    ledger = Ledger(world)
    first = ledger.pushing(alike("first"))
    world.time += 1
    second = ledger.pushing(alike("second"))
    world.time += 1
    ledger.pushed(first, None)
    ledger.pushed(second, None)
    world.time += 1
    third = ledger.pushing(alike("third"))
    with pytest.raises(Broken, match="third and first are alike"):
        ledger.pushed(third, None)


@pytest.mark.parametrize(("leaps", "is_there"), [([20_000], True), ([20_000, 20_000], False), ([40_000], False)])
def test_short_leaps_of_the_clock_add_up_to_a_workers_silence(world: World, leaps: list[int], is_there: bool) -> None:
    """Seeds 4374 and 4613."""
    ledger = Ledger(world)
    worker = Worker(world, ledger, "worker", "ledger", Habits(), lies=0, dies=0)
    worker.beats = True
    worker._note_heard(worker.wid, 0)
    world.time = SECOND
    presence = worker.presence()
    for leap in leaps:
        ledger.clock_set(world.wall(), world.wall() + leap)
        world.time += 1
    assert presence() is is_there
