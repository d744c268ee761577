"""A million jobs due, cleared, killed, requeued or removed at once, on a real disk: no slice of that is long.

What is measured is the processor's time of this thread, so that a busy machine changes little.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec import json

from lineshaft.clock import format_instant
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.job import decode_pushed_list
from lineshaft.store.rocks import RocksStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

JOBS = int(os.environ.get("LINESHAFT_MANY", "1000000"))
NOW = 1_764_000_000_000
#: So long may one slice keep everybody waiting.
PAUSE_MS = 15.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    store = RocksStore(tmp_path / "data")
    yield Engine(store, Settings(dead_max=2 * JOBS), lambda: 0.5, NOW)
    store.close()


def fill(engine: Engine, **fields: object) -> None:
    for first in range(0, JOBS, 1000):
        jobs = [{"jid": f"many-{n:08}", "jobtype": "T", "args": [n], **fields} for n in range(first, first + 1000)]
        assert engine.push_bulk(decode_pushed_list(json.encode(jobs))) == {}
        engine.commit()


def work_off(engine: Engine, is_done: Callable[[], bool]) -> list[float]:
    """The milliseconds of each slice, the shortest first."""
    slices = []
    while not is_done():
        began = time.thread_time()
        engine.tick()
        engine.commit()
        slices.append((time.thread_time() - began) * 1000)
    return sorted(slices)


def tell(capsys: pytest.CaptureFixture[str], what: str, slices: list[float]) -> None:
    parts = ", ".join(f"{share:.1%} {slices[int(len(slices) * share)]:.2f}" for share in (0.5, 0.99, 0.999))
    with capsys.disabled():
        print(f"\n{what}, {JOBS} jobs: {sum(slices) / 1000:.1f} s, ms of a slice: {parts}, longest {slices[-1]:.2f}")


def test_due(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    fill(engine, at=format_instant(NOW + 1000))
    engine.advance(NOW + 1000)
    slices = work_off(engine, lambda: engine.figures()["sets"]["scheduled"] == 0)
    tell(capsys, "due", slices)
    assert slices[int(len(slices) * 0.999)] < PAUSE_MS


@pytest.mark.parametrize("command", ["requeue", "kill", "clear"])
def test_mutate(engine: Engine, capsys: pytest.CaptureFixture[str], command: str) -> None:
    fill(engine, at=format_instant(NOW + 10**9))
    engine.mutate(command, "scheduled")
    engine.commit()
    slices = work_off(engine, lambda: bool(engine.take_finished()))
    tell(capsys, command, slices)
    assert slices[int(len(slices) * 0.999)] < PAUSE_MS


def test_remove(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    fill(engine, queue="many")
    engine.remove(["many"])
    engine.commit()
    slices = work_off(engine, lambda: bool(engine.take_finished()))
    tell(capsys, "remove", slices)
    assert slices[int(len(slices) * 0.999)] < PAUSE_MS
