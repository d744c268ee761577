"""Lanes in large numbers, on a real disk: what a FETCH costs does not follow from how many there are.

Everyday sizes are small; `make nightly` brings the large ones. They print what they measured (`pytest -s`).
"""

import gc
import resource
import time
from pathlib import Path

import pytest

from lineshaft.engine.engine import Engine
from lineshaft.engine.lanes import lanes
from lineshaft.engine.records import LaneRules, Rate
from lineshaft.engine.retry import Report
from lineshaft.engine.settings import QueueLimits, Settings
from lineshaft.job import decode_pushed, decode_stored
from lineshaft.store.rocks import RocksStore

NOW = 1_764_000_000_000
SMALL, LARGE = 3_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])


def boot(path: Path, rules: LaneRules) -> Engine:
    settings = Settings(queues={"q": QueueLimits(lanes=rules)})
    engine = Engine(RocksStore(path, memory_bytes=64 << 20), settings, lambda: 0.5, NOW)
    engine.commit()
    return engine


def push(engine: Engine, jid: str, tenant: str) -> None:
    engine.push(
        decode_pushed(
            f'{{"jid":"{jid:0>8}","jobtype":"T","args":[],"queue":"q","custom":{{"tenant":"{tenant}"}}}}'.encode()
        )
    )


def fetch(engine: Engine, holder: str = "w") -> str | None:
    payload = engine.fetch(["q"], holder)
    return None if payload is None else decode_stored(payload).jid.lstrip("0")


def resident() -> float:
    """Megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


@pytest.mark.parametrize("size", [1_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_job_behind_those_of_another_tenant_starts_next(tmp_path: Path, size: int) -> None:
    engine = boot(tmp_path / "db", LaneRules("tenant"))
    for number in range(size):
        push(engine, f"big-{number}", "big")
        if number % 500 == 0:
            engine.commit()
    push(engine, "late", "small")
    engine.commit()
    assert fetch(engine) == "big-0"
    assert fetch(engine) == "late"
    assert fetch(engine) == "big-1"
    engine.state.turn.store.close()


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("blocked_by", ["a job that waits for its retry", "the rate"])
def test_blocked_lanes_cost_a_fetch_nothing(tmp_path: Path, size: int, blocked_by: str) -> None:
    """All lanes but one are blocked; a FETCH takes the job of that one, and the engine remembers few lanes."""
    is_strict = blocked_by != "the rate"
    rules = LaneRules("tenant", strict=True) if is_strict else LaneRules("tenant", rate=Rate(1, 30 * 86_400_000))
    engine = boot(tmp_path / "db", rules)
    gc.collect()
    before = resident()
    for number in range(size):
        push(engine, f"a{number}", f"tenant-{number}")
        push(engine, f"b{number}", f"tenant-{number}")
        assert fetch(engine) == f"a{number}"
        if is_strict:
            engine.fail(f"{f'a{number}':0>8}", "w", Report("E", "m", retry_in=30 * 86_400_000))
        else:
            assert engine.ack(f"{f'a{number}':0>8}", "w")
        if number % 200 == 0:
            engine.commit()
    engine.commit()
    assert fetch(engine) is None
    state = engine.state
    queue = state.queues.by_name["q"]
    assert queue.size == size
    assert queue.lanes is not None
    assert queue.lanes.count == size
    for turn in range(2):
        if turn:
            store = state.turn.store
            store.close()
            began = time.perf_counter()
            engine = boot(tmp_path / "db", rules)
            started = time.perf_counter() - began
            state = engine.state
        for number in range(50):
            push(engine, f"free-{turn}{number:02}", f"free-{turn}{number:02}")
        engine.commit()
        costs = []
        for number in range(50):
            began = time.thread_time()
            got = fetch(engine)
            engine.commit()
            costs.append(time.thread_time() - began)
            assert got == f"free-{turn}{number:02}"
        costs.sort()
    lanes_known = state.queues.by_name["q"].lanes
    assert lanes_known is not None
    assert len(lanes_known.idle) <= lanes.MOST_IDLE
    print(
        f"{size} lanes blocked by {blocked_by}: FETCH with its commit {costs[25] * 1e6:.0f} us median, "
        f"{costs[-1] * 1e6:.0f} us worst of 50; start {started * 1e3:.0f} ms; memory +{resident() - before:.0f} MB"
    )
    # Of the processor's time, and the median, since other processes share the machine.
    assert costs[25] < 0.001
    state.turn.store.close()
