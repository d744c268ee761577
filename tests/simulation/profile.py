"""The profile of a run: what its seed decides before the first step."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from msgspec import structs

from lineshaft.engine.records import LaneRules, Rate
from lineshaft.engine.settings import Periodic, QueueLimits, Settings, Throttle
from lineshaft.schedule import Schedule
from lineshaft.server.settings import ServerSettings
from simulation.faults import FAULTS
from simulation.producers import Kinds
from simulation.world import SECOND

__all__ = ["KINDS", "Profile", "profile_of"]

KINDS = ["scheduled", "unique", "expiring", "tracked", "batches", "periodic", "throttled", "weighted", "laned"]

#: Periodic jobs, by name: schedule, whether missed runs are made up for, and the job.
PERIODIC: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "often": ("*/20 * * * * *", False, {"jobtype": "P", "args": ["often"], "queue": "a"}),
    "hourly": ("@hourly", True, {"jobtype": "P", "args": ["hourly"], "queue": "b"}),
    "alone": ("* * * * *", True, {"jobtype": "P", "args": ["alone"], "queue": "c", "custom": {"unique_for": 600}}),
}

#: Throttles, by queue.
THROTTLES = [
    {"a": Throttle(concurrency=2), "b": Throttle(worker=1)},
    {"a": Throttle(concurrency=1, timeout=20_000), "c": Throttle(rate=3, per=10_000)},
    {"default": Throttle(concurrency=3, worker=2), "b": Throttle(concurrency=2, rate=10, per=1000)},
]

#: Lanes, by queue.
LANES = [
    {"a": QueueLimits(lanes=LaneRules("tenant")), "b": QueueLimits(lanes=LaneRules("tenant", concurrency=2))},
    {"c": QueueLimits(lanes=LaneRules("tenant", concurrency=1, strict=True))},
    {
        "a": QueueLimits(lanes=LaneRules("tenant", rate=Rate(2, 5_000))),
        "default": QueueLimits(lanes=LaneRules("tenant", concurrency=1, strict=True)),
    },
]

#: How much time passes between two steps, in microseconds, by the pace of a run.
PACES = {
    "quick": [0, 0, 100, 1_000, 1_000, 3_000, 20_000],
    "even": [0, 100, 1_000, 10_000, 100_000, SECOND],
    "slow": [1_000, 100_000, SECOND, 5 * SECOND, 20 * SECOND, 70 * SECOND],
}


@dataclass
class Profile:
    """What a seed decides before the first step."""

    rules: Settings
    settings: ServerSettings
    kinds: Kinds
    pace: list[int]
    hooked: bool
    tight: bool
    weights: dict[str, float] = field(default_factory=dict)


def profile_of(seed: str, faults: Iterable[str] = FAULTS) -> Profile:
    """The profile of a seed; `faults` are those that there are."""
    chance = Random(f"{seed}/profile")
    kinds = frozenset(kind for kind in KINDS if chance.random() < 0.6)
    rules = Settings(
        periodic=periodic_jobs(chance) if "periodic" in kinds else (),
        queues=chance.choice(LANES) if "laned" in kinds else {},
        throttles=chance.choice(THROTTLES) if "throttled" in kinds else {},
        jid_index=chance.random() < 0.8,
        refuse_duplicate_jids=chance.random() < 0.2,
        recover_after=chance.choice([60_000, 60_000, 60_000, 5_000, 0]),
        dead_max=chance.choice([100_000, 100_000, 5]),
        history_keep=chance.choice([0, 0, 3_600_000]),
        history_max=chance.choice([1_000_000, 20]),
        results_keep=3_600_000,
        batches_keep=12 * 3_600_000,
    )
    if not rules.jid_index:
        rules = structs.replace(rules, refuse_duplicate_jids=False)
    pace = PACES[chance.choice(sorted(PACES))]
    profile = Profile(rules, ServerSettings(), kinds, pace, chance.random() < 0.2, chance.random() < 0.7)
    profile.weights = {name: 0.0 if chance.random() < 0.4 else chance.choice([0.05, 0.3, 1.0]) for name in faults}
    return profile


def periodic_jobs(chance: Random) -> tuple[Periodic, ...]:
    """Some periodic jobs."""
    names = chance.sample(sorted(PERIODIC), chance.randint(1, len(PERIODIC)))
    return tuple(
        Periodic(name, Schedule(schedule), "P", job["queue"], json.dumps(job).encode(), catch_up)
        for name, (schedule, catch_up, job) in PERIODIC.items()
        if name in names
    )
