"""Takes the pictures of every page for the documentation, in light and dark: `make screenshots`."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from playwright.sync_api import sync_playwright

from browser.conftest import ARGUMENTS, PICTURES
from browser.scene import CRON, QUEUES, THROTTLES, heard, past, played
from browser.stage import Stage, staged
from lineshaft.config.model import History
from lineshaft.store.rocks import RocksStore


def paths(stage: Stage) -> dict[str, str]:
    """The pages, by the names of their pictures."""
    views = stage.do(lambda: stage.server.engine.views.timed(stage.server.engine.state.dead.name, newest=True))
    return {
        "home": "/",
        "queues": "/queues",
        "queue": "/queues/reports",
        "lanes": "/queues/invoices",
        "retries": "/retries",
        "scheduled": "/scheduled",
        "dead": "/morgue",
        "job": f"/jobs/{views.jobs[0].jid}",
        "busy": "/busy",
        "finished": "/finished",
        "batches": "/batches",
        "periodic": "/periodic",
        "limits": "/limits",
        "server": "/server",
        "push": "/push",
        "confirm": "/morgue?confirm=delete&jobtype=ReportJob",
    }


def main(only: list[str]) -> None:
    """Take them all, or those that are named."""
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as data,
        staged(
            Path("/etc/lineshaft"),
            open_store=lambda: RocksStore(Path(data)),
            history=History(completed_ms=86_400_000),
            cron=CRON,
            throttles=THROTTLES,
            queues=QUEUES,
        ) as stage,
        played(stage),
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        stage.do(lambda: past(stage))
        stage.site.host = "jobs.example.com"
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme=scheme)
            page = context.new_page()
            for name, path in paths(stage).items():
                if only and name not in only:
                    continue
                stage.do(lambda: heard(stage))
                page.goto(stage.url + path)
                page.locator(".live:not([hidden])").or_(page.locator("h1")).first.wait_for()
                page.wait_for_timeout(300)
                page.screenshot(path=PICTURES / f"{name}-{scheme}.png")
            context.close()
        phone = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
        page = phone.new_page()
        for name in ("home", "dead"):
            if not only or f"phone-{name}" in only:
                page.goto(stage.url + paths(stage)[name])
                page.wait_for_timeout(300)
                page.screenshot(path=PICTURES / f"phone-{name}.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
