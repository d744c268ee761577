"""A million unique jobs whose locks end at the same instant, on a real disk: no slice of that is long."""

import os
import time
from pathlib import Path

import pytest
from msgspec import json

from lineshaft.engine import keys
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.job import decode_pushed_list
from lineshaft.store.rocks import RocksStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

LOCKS = int(os.environ.get("LINESHAFT_LOCKS", "1000000"))
NOW = 1_764_000_000_000
#: So long may one slice keep everybody waiting.
PAUSE_MS = 10.0


def fill(engine: Engine) -> None:
    """Push them in commands of a thousand, a commit each."""
    for first in range(0, LOCKS, 1000):
        jobs = [
            {"jid": f"unique-{number:08}", "jobtype": "T", "args": [number], "custom": {"unique_for": 600}}
            for number in range(first, first + 1000)
        ]
        assert engine.push_bulk(decode_pushed_list(json.encode(jobs))) == {}
        engine.commit()


def test_a_million_locks_end_without_a_pause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RocksStore(tmp_path / "data")
    engine = Engine(store, Settings(), lambda: 0.5, NOW)
    fill(engine)
    store.sync()
    engine.advance(NOW + 600_000)
    worked, waited = [], []
    while True:
        # The work of this thread, and the clock on the wall: on a busy machine the latter tells of others too.
        began, began_wall = time.thread_time(), time.perf_counter()
        again = engine.tick()
        engine.commit()
        worked.append((time.thread_time() - began) * 1000)
        waited.append((time.perf_counter() - began_wall) * 1000)
        if again > engine.state.now:
            break
    for prefix in (b"U", b"E"):
        assert engine.state.turn.scan(*keys.prefix_range(prefix), limit=1) == []
    assert engine.figures()["queues"] == {"default": LOCKS}
    store.close()
    worked.sort()
    waited.sort()
    figures = {
        "slices": len(worked),
        "seconds": round(sum(waited) / 1000, 1),
        "worked_ms": [round(worked[int(len(worked) * share)], 2) for share in (0.5, 0.99, 0.999)] + [worked[-1]],
        "waited_ms": [round(waited[int(len(waited) * share)], 2) for share in (0.5, 0.99, 0.999)] + [waited[-1]],
    }
    with capsys.disabled():
        print(f"\n{LOCKS} locks: {figures}")
    assert worked[-1] < PAUSE_MS, figures
