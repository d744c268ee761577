"""The lanes of a queue, on its page, on a page of their own, and by the API."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from browser.stage import Stage, staged
from lineshaft.config.amounts import Rate
from lineshaft.config.entries import Queue
from lineshaft.config.model import Queues
from web.asking import ask

QUEUES = Queues(
    named={
        "strict": Queue(lane_by="tenant", lane_order="strict"),
        "two": Queue(lane_by="tenant", lane_concurrency=2),
        "slow": Queue(lane_by="tenant", lane_rate=Rate(1, 3_600_000)),
    }
)


@pytest.fixture(scope="module")
def laned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("laned"), queues=QUEUES) as stage:
        yield stage


def push(stage: Stage, queue: str, *tenants: str) -> None:
    stage.push(*[{"queue": queue, "custom": {"tenant": tenant} if tenant else {}} for tenant in tenants])


def lanes(stage: Stage, queue: str, query: str = "") -> dict[str, Any]:
    answer = ask(stage.web_port, f"/api/v1/queues/{queue}/lanes{query}")
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_each_lane_says_why_it_may_not_start(laned: Stage) -> None:
    laned.clear()
    push(laned, "strict", "acme", "acme", "zeta")
    push(laned, "two", "acme", "acme", "acme", "solo")
    push(laned, "slow", "acme", "acme")
    with laned.worker("w1") as worker:
        held = worker.fetch("strict")
        assert held is not None
        worker.fail(held["jid"])
        taken = [worker.fetch("two") for _ in range(4)]
        assert worker.fetch("slow") is not None
        told = {queue: lanes(laned, queue) for queue in ("strict", "two", "slow")}
        page = ask(laned.web_port, "/queues/strict")
    states = {
        queue: {lane["name"].strip('"'): lane["state"] for lane in found["lanes"]} for queue, found in told.items()
    }
    assert len([job for job in taken if job is not None]) == 3
    assert states == {
        "strict": {"acme": "held", "zeta": "ready"},
        "two": {"acme": "full", "solo": "empty"},
        "slow": {"acme": "rate"},
    }
    acme = next(lane for lane in told["two"]["lanes"] if lane["name"] == '"acme"')
    assert (acme["waiting"], acme["running"], acme["wakes_at"]) == (1, 2, None)
    assert told["slow"]["lanes"][0]["wakes_at"] is not None
    assert (told["strict"]["by"], told["strict"]["count"], told["two"]["running"]) == ("tenant", 2, 2)
    assert "held by a job that waits for its retry" in page.text
    assert "by tenant · one after the other" in page.text


def test_lanes_without_end_are_shown_a_page_at_a_time(laned: Stage) -> None:
    laned.clear()
    push(laned, "two", *[f"t{number:03}" for number in range(120)], "<b>", "")
    assert "All lanes" in ask(laned.web_port, "/queues/two").text
    seen, after = [], ""
    while True:
        found = lanes(laned, "two", f"?limit=50&after={quote(after)}")
        assert len(found["lanes"]) <= 50
        seen += [lane["name"] for lane in found["lanes"]]
        after = found["next"]
        if not after:
            break
    assert seen == sorted(seen)
    assert len(seen) == 122
    page = ask(laned.web_port, "/queues/two/lanes")
    assert page.status == 200
    assert "&lt;b&gt;" in page.text
    assert "<b>" not in page.text.partition("<tbody>")[2].partition("</tbody>")[0]
    assert "jobs without one" in page.text
    assert 'rel="next"' in page.text
    assert ask(laned.web_port, "/queues/two/lanes?after=%22t100%22").text.count("<tr data-key") == 19


def test_a_queue_without_lanes_has_no_such_page(laned: Stage) -> None:
    laned.push({"queue": "plain"})
    assert ask(laned.web_port, "/queues/plain/lanes").status == 404
    assert ask(laned.web_port, "/api/v1/queues/plain/lanes").status == 404
    assert "Lane" not in ask(laned.web_port, "/queues/plain").text
