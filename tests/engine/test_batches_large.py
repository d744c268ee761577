"""A batch of 100,000 jobs, on a real disk: what it costs does not grow with it."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from lineshaft.engine.engine import Engine
from lineshaft.engine.features.batching import Wanted
from lineshaft.engine.settings import Settings
from lineshaft.job import Job, decode_pushed
from lineshaft.store.rocks import RocksStore

NOW = 1_764_000_000_000


def callback() -> Job:
    return decode_pushed(b'{"jobtype":"Done","args":[],"queue":"calls"}')


def job(number: int, bid: str) -> Job:
    return decode_pushed(b'{"jid":"job-%08d","jobtype":"T","args":[],"custom":{"bid":"%s"}}' % (number, bid.encode()))


def milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


@pytest.mark.slow
def test_commit_and_each_ack_take_as_long_as_in_a_small_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RocksStore(tmp_path / "data", memory_bytes=64 << 20)
    engine = Engine(store, Settings(), lambda: 0.5, NOW)
    figures: dict[int, tuple[float, float, float]] = {}
    for size in (1000, 100_000):
        bid = engine.batch_new(Wanted("", "", callback(), callback(), None))
        for start in range(0, size, 1000):
            assert engine.push_bulk([job(number, bid) for number in range(start, start + 1000)]) == {}
            engine.commit()
        commit = milliseconds(lambda bid=bid: (engine.batch_commit(bid), engine.commit()))
        acks = []
        for number in range(size):
            assert engine.fetch(["default"], "w") is not None
            acks.append(milliseconds(lambda number=number: (engine.ack(f"job-{number:08d}", "w"), engine.commit())))
        assert engine.batch_status(bid)["complete_st"] == "1"
        figures[size] = commit, median(acks), sorted(acks)[-len(acks) // 100]
        engine.fetch(["calls"], "w")
        engine.ack(f"{bid}-c", "w")
        engine.fetch(["calls"], "w")
        engine.ack(f"{bid}-s", "w")
        engine.commit()
    store.close()
    with capsys.disabled():
        for size, (commit, usual, slow) in figures.items():
            print(f"\n{size:7,} jobs: COMMIT {commit:.3f} ms, ACK {usual:.3f} ms (p99 {slow:.3f})", end="")
    small, large = figures[1000], figures[100_000]
    assert large[0] < max(5 * small[0], 1)
    assert large[1] < 2 * small[1]
