"""Many jobs that wait for the same instant: however many of them have left, nobody reads through their deleted keys.

A scan of RocksDB passes every deleted key between its start and the first row that is left, until a compaction has
thrown them away. The store here counts them.
"""

from collections.abc import Sequence

import pytest
from msgspec import json

from lineshaft.clock import format_instant
from lineshaft.engine.admin import mutate
from lineshaft.engine.agenda.due import MOST_RELEASED, SLICE
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.job import decode_pushed_list
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Changes, KeyRange

NOW = 1_764_000_000_000
JOBS = 20 * SLICE


class Graves(MemoryStore):
    """A store in memory that knows what was deleted, and how much of that a scan has to pass."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: set[bytes] = set()
        self.passed = 0

    def commit(self, changes: Changes, cleared: Sequence[KeyRange] = ()) -> None:
        for key, value in changes.items():
            (self.deleted.add if value is None else self.deleted.discard)(key)
        super().commit(changes, cleared)

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        rows = super().scan(start, end, limit=limit, limit_bytes=limit_bytes, reverse=reverse)
        edge = rows[0][0] if rows and not reverse else end
        self.passed = max(self.passed, sum(start <= key < edge for key in self.deleted))
        return rows


def filled(store: Graves, at: int) -> Engine:
    engine = Engine(store, Settings(jid_index=False), lambda: 0.5, NOW)
    jobs = [{"jid": f"job-{n:06}", "jobtype": "T", "args": [], "at": format_instant(at)} for n in range(JOBS)]
    assert engine.push_bulk(decode_pushed_list(json.encode(jobs))) == {}
    engine.commit()
    return engine


def run_until_idle(engine: Engine, now: int) -> None:
    engine.advance(now)
    while engine.tick() <= now:
        engine.commit()
    engine.commit()


def test_jobs_that_are_due_at_the_same_instant_are_met_once() -> None:
    store = Graves()
    engine = filled(store, NOW + 1000)
    run_until_idle(engine, NOW + 1000)
    assert engine.figures()["total_enqueued"] == JOBS
    assert store.passed <= SLICE


@pytest.mark.parametrize("command", ["clear", "requeue", "kill"])
def test_a_set_that_a_mutate_has_emptied_is_not_looked_through(command: str) -> None:
    store = Graves()
    engine = filled(store, NOW + 1000)
    engine.mutate(command, "scheduled")
    run_until_idle(engine, NOW)
    assert engine.figures()["sets"]["scheduled"] == 0
    store.passed = 0
    late = json.encode([{"jid": "late-one", "jobtype": "T", "args": [], "at": format_instant(NOW + 1500)}])
    assert engine.push_bulk(decode_pushed_list(late)) == {}
    run_until_idle(engine, NOW + 2000)
    assert engine.figures()["sets"]["scheduled"] == 0
    assert store.passed <= SLICE


def test_dead_jobs_are_pruned_without_passing_those_that_went_before() -> None:
    store = Graves()
    engine = filled(store, NOW + 1000)
    engine.mutate("kill", "scheduled")
    run_until_idle(engine, NOW)
    store.passed = 0
    engine.apply(Settings(jid_index=False, dead_max=SLICE))
    run_until_idle(engine, NOW)
    assert engine.figures()["sets"]["dead"] == SLICE
    assert store.passed <= SLICE


def test_a_job_that_joins_before_the_others_is_found() -> None:
    store = Graves()
    engine = filled(store, NOW + 1000)
    engine.advance(NOW + 1000)
    engine.tick()
    engine.commit()
    engine.advance(NOW)  # the clock is set back
    early = json.encode([{"jid": "early-one", "jobtype": "T", "args": [], "queue": "e", "at": format_instant(NOW + 5)}])
    assert engine.push_bulk(decode_pushed_list(early)) == {}
    engine.commit()
    run_until_idle(engine, NOW + 10)
    assert engine.fetch(["e"], "w") is not None
    run_until_idle(engine, NOW + 1000)
    assert engine.figures()["sets"]["scheduled"] == 0


@pytest.mark.parametrize(
    ("custom", "moved"), [({}, SLICE), ({"unique_for": 60}, MOST_RELEASED)], ids=["plain", "unique"]
)
def test_a_slice_of_jobs_that_cost_more_has_fewer_of_them(custom: dict[str, object], moved: int) -> None:
    engine = Engine(MemoryStore(), Settings(), lambda: 0.5, NOW)
    at = format_instant(NOW + 1000)
    jobs = [{"jid": f"job-{n:06}", "jobtype": "T", "args": [n], "at": at, "custom": custom} for n in range(3 * SLICE)]
    assert engine.push_bulk(decode_pushed_list(json.encode(jobs))) == {}
    engine.advance(NOW + 1000)
    assert engine.tick() == NOW + 1000
    assert engine.figures()["sets"]["scheduled"] == 3 * SLICE - moved
    while engine.tick() <= NOW + 1000:
        pass
    assert engine.figures()["total_enqueued"] == 3 * SLICE


@pytest.mark.parametrize("command", ["clear", "kill"])
def test_a_queue_that_is_emptied_is_looked_at_without_passing_what_has_gone(command: str) -> None:
    store = Graves()
    engine = Engine(store, Settings(jid_index=False), lambda: 0.5, NOW)
    jobs = [{"jid": f"job-{n:06}", "jobtype": "T", "args": []} for n in range(40 * mutate.SLICE)]
    assert engine.push_bulk(decode_pushed_list(json.encode(jobs))) == {}
    engine.commit()
    engine.mutate(command, "queue:default")
    engine.commit()
    for count in range(41):
        engine.tick()
        engine.commit()
        if count % 10 == 0:
            engine.latency(["default"])
    assert engine.take_finished()
    assert store.passed <= 2 * mutate.SLICE
