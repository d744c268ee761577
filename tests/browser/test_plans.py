"""Batches and periodic jobs, as a person sees and handles them."""

import json
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from browser.conftest import Watched
from browser.stage import Stage, staged
from lineshaft.config import Cron, CronJob

Opener = Callable[..., Watched]


@pytest.fixture(scope="module")
def periodic_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    cron = (
        Cron(CronJob("Report", "reports"), "0 3 1 1 *", name="yearly"),
        Cron(CronJob("<b>Poll"), "@monthly", name="poll"),
    )
    with staged(tmp_path_factory.mktemp("periodic"), cron=cron) as stage:
        yield stage


@pytest.mark.parametrize("script", [True, False])
def test_a_periodic_job_is_paused_resumed_and_run(periodic_stage: Stage, open_page: Opener, script: bool) -> None:
    page = open_page(periodic_stage.url, java_script_enabled=script).go("/periodic")
    expect(page.locator("#rows")).to_contain_text("<b>Poll")
    reports = periodic_stage.server.engine.state.queues.by_name.get("reports")
    before = reports.size if reports is not None else 0
    page.get_by_role("button", name="Pause yearly").click()
    expect(page.locator("tr", has_text="yearly")).to_contain_text("paused")
    page.get_by_role("button", name="Resume yearly").click()
    expect(page.locator(".flash")).to_contain_text("runs again")
    page.get_by_role("button", name="Run now yearly").click()
    expect(page.locator("h1")).to_have_text("Report")
    assert periodic_stage.server.engine.state.queues.by_name["reports"].size == before + 1


def test_a_batch_tells_how_far_it_is(stage: Stage, open_page: Opener) -> None:
    with stage.client() as client:
        told = {"description": "<i>all</i> shops", "success": {"jobtype": "Done", "args": []}}
        bid = client.command(b"BATCH NEW " + json.dumps(told).encode()).decode()
        stage.push(*[{"queue": "shop", "custom": {"bid": bid}}] * 4)
        client.command(b"BATCH COMMIT " + bid.encode())
    page = open_page().go("/batches")
    page.get_by_role("link", name="<i>all</i> shops").click()
    expect(page.locator("#batch")).to_contain_text("0 %")
    with stage.worker("shopper") as worker:
        job = worker.fetch("shop")
        assert job is not None
        worker.ack(job["jid"])
    expect(page.locator("#batch")).to_contain_text("25 %")
