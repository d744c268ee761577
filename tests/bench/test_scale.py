"""The scale bench on a small scale: what it drives in process, its verdict, and the page that it writes."""

from pathlib import Path
from typing import Any

import pytest
import scale
import scale_page
from guard_loop import Lineshaft

from lineshaft.store.rocks import RocksStore

MACHINE = {"processor": "a processor", "python": "a Python", "libraries": "some", "sources": "abc"}


def full(jobs: int, *, rate: int = 1000, peak: float = 100.0, start: float = 1.0) -> dict[str, Any]:
    return {
        "jobs": jobs,
        "pushed_per_second": rate,
        "drained_per_second": 1000,
        "push_us": 4.0,
        "drain_us": 16.0,
        "rss_mb_full": 90.0,
        "rss_mb_peak": peak,
        "rss_mb_started": 50.0,
        "stop_seconds": 0.1,
        "start_seconds": start,
    }


@pytest.mark.parametrize("name", list(scale.SPREADS))
def test_jobs_are_spread_and_all_carried_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setattr(scale, "ROUNDS", 1)
    monkeypatch.setattr(scale, "JOBS", 60)
    contestant = Lineshaft(RocksStore(tmp_path / "data"))
    assert scale._cost(contestant, name, 20) > 0
    figures = contestant.server.engine.figures()
    assert (figures["total_processed"], figures["total_enqueued"]) == (120, 0)
    there = {"queues": len(figures["queues"]), "workers": len(contestant.server.by_wid), "batches": 20}
    assert there[name] == 20


def test_what_misses_its_limit_is_named() -> None:
    small, spread = full(10_000), {"queues": [{"count": 10, "us_per_job": 10.0}, {"count": 1000, "us_per_job": 12.0}]}
    assert scale._judge([small, full(10_000_000)], spread) == []
    missed = scale._judge([small, full(10_000_000, rate=799, peak=300.0, start=3.0)], spread)
    assert [text.split(":")[0] for text in missed] == ["pushed_per_second", "memory", "start"]
    spread["queues"][1]["us_per_job"] = 12.6
    assert scale._judge([], spread) == ["queues: 12.6 us for a job with 1,000, 10.0 with 10"]


def test_the_page_gets_what_was_measured_and_keeps_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "performance-scale.md"
    page.write_text(scale_page.PAGE.read_text())
    before = page.read_text()
    monkeypatch.setattr(scale_page, "PAGE", page)
    monkeypatch.setattr(scale_page, "IMAGES", tmp_path)
    scale_page.write_page(
        {"at": "2026-11-25T18:00:00Z", "machine": MACHINE, "backlog": [full(10), full(1000, rate=987)], "spread": {}}
    )
    after = page.read_text()
    assert "| 1,000 | 987 | 4.0 µs | 1,000 | 16.0 µs | 90 MB | 100 MB | 50 MB | 1.00 s |" in after
    assert after.split("<!-- backlog: end -->")[1] == before.split("<!-- backlog: end -->")[1]
    assert (tmp_path / "scale-backlog.svg").read_text().startswith("<svg")
    assert "([figures](data/scale-2026-11-25-abc.json))" in after
    assert '"pushed_per_second":987' in (tmp_path / "data" / "scale-2026-11-25-abc.json").read_text()
