"""Alive, ready, or neither: what is told to those who watch over the process."""

import json

from browser.stage import Stage
from lineshaft.errors import StoreError
from web.asking import ask


def health(stage: Stage, name: str) -> tuple[int, object]:
    answer = ask(stage.web_port, f"/health/{name}")
    return answer.status, json.loads(answer.body)


def test_a_server_that_is_well(stage: Stage) -> None:
    assert health(stage, "live") == (200, {"live": True})
    assert health(stage, "ready") == (200, {"ready": True})


def test_a_server_whose_storage_is_away_is_alive_and_not_ready(stage: Stage) -> None:
    def lose() -> None:
        stage.server.failed = StoreError("no space left on device")

    def regain() -> None:
        stage.server.failed = None

    stage.do(lose)
    try:
        assert health(stage, "live") == (200, {"live": True})
        why = {"ready": False, "why": "storage failed: no space left on device"}
        assert health(stage, "ready") == (503, why)
        assert ask(stage.web_port, "/health").status == 503
    finally:
        stage.do(regain)
    assert health(stage, "ready")[0] == 200


def test_a_server_that_stops_is_not_ready(stage: Stage) -> None:
    def stop() -> None:
        stage.server.stopping = True

    def go_on() -> None:
        stage.server.stopping = False

    stage.do(stop)
    try:
        assert health(stage, "ready") == (503, {"ready": False, "why": "shutdown in progress"})
        assert health(stage, "live")[0] == 200
    finally:
        stage.do(go_on)
