"""What needs attention: that it is said, and in time."""

import re
from pathlib import Path

import pytest

from browser.stage import Stage
from lineshaft.config import Config
from lineshaft.config.model import Storage
from lineshaft.web_host import ServerBackend
from web.asking import ask

MB = 1_000_000


def notices(stage: Stage) -> str:
    page = ask(stage.web_port, "/").text
    return page.partition('id="notices"')[2].partition("</section>")[0]


def test_all_is_well(stage: Stage) -> None:
    assert "All is well" in notices(stage)


def test_the_disk_is_low_before_pushes_are_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    space = (1000 * MB, 256 * MB)
    monkeypatch.setattr(stage.site.backend, "space", lambda: space)
    assert "All is well" in notices(stage)
    space = (700 * MB, 256 * MB)
    assert "Disk is low: 700 MB free" in notices(stage)
    assert "refused below 256 MB" in notices(stage)


def test_how_much_space_there_is(stage: Stage, tmp_path: Path) -> None:
    config = Config(config_dir=tmp_path, data_dir=tmp_path, storage=Storage(min_free_bytes=5 * MB))
    space = ServerBackend(stage.server, lambda: config).space()
    assert space is not None
    assert space[0] > MB
    assert space[1] == 5 * MB
    away = Config(config_dir=tmp_path, data_dir=tmp_path / "away")
    assert ServerBackend(stage.server, lambda: away).space() is None
    assert stage.site.backend.space() is None, "in memory there is no disk that could be full"


def test_a_slow_queue_behind_a_hundred_longer_ones_is_found(stage: Stage) -> None:
    stage.clock.shift_ms = -120_000
    stage.push({"queue": "zz-slow"})
    stage.clock.shift_ms = 0
    stage.push(*[{"queue": f"q{number:03}"} for number in range(120) for _ in range(2)])
    for _ in range(3):
        stage.do(stage.site.pulse._look_for_slow)
    assert "zz-slow waits" in notices(stage)
    with stage.client() as client:
        client.command(b"QUEUE PAUSE zz-slow")
    for _ in range(3):
        stage.do(stage.site.pulse._look_for_slow)
    assert "zz-slow" not in stage.site.pulse.slow


def test_what_concerns_most_jobs_is_first_and_the_rest_is_counted(stage: Stage) -> None:
    stage.clock.shift_ms = -120_000
    stage.push(*[{"queue": f"q{number:02}"} for number in range(20) for _ in range(number + 1)])
    stage.clock.shift_ms = 0
    with stage.client() as client:
        for number in range(20, 40):
            stage.push({"queue": f"paused{number}"})
            client.command(f"QUEUE PAUSE paused{number}".encode())
    for _ in range(3):
        stage.do(stage.site.pulse._look_for_slow)
    told = notices(stage)
    assert re.findall(r"(q\d\d) waits", told) == [f"q{number:02}" for number in range(19, 7, -1)]
    assert "and 28 more" in told
    assert told.rindex('href="/queues"') > told.index("and 28 more")
