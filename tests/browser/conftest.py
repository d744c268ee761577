"""One browser and one server for all tests of this folder: starting them costs more than most tests."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from browser.stage import Stage, staged

#: Only what never comes about takes as long.
PATIENCE_MS = 40_000
expect.set_options(timeout=PATIENCE_MS)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Not for the whole session: Playwright leaves its loop running in this thread, and then asyncio runs no other in it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None and os.environ.get("CI"):
        pytest.fail("no Chromium is installed, and CI has to have one")
    if path is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def one_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def stage(one_stage: Stage) -> Stage:
    one_stage.clear()
    return one_stage


class Watched:
    """A page whose console and network are watched: nothing may go wrong there that a test does not expect."""

    def __init__(self, context: BrowserContext, base: str) -> None:
        self.page: Page = context.new_page()
        self.base = base
        self.complaints: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", self._failed)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _failed(self, request: Any) -> None:
        # Leaving a page ends its stream and whatever it had asked for.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url}: {request.failure}")

    def forgive(self, text: str) -> None:
        """A test has expected complaints with this text."""
        self.complaints = [line for line in self.complaints if text not in line]

    def go(self, path: str) -> Page:
        """Open a page of the server."""
        answer = self.page.goto(self.base + path)
        assert answer is not None
        assert answer.status < 500
        return self.page


@pytest.fixture
def open_page(browser: Browser, stage: Stage) -> Iterator[Callable[..., Watched]]:
    """Opens browser windows; at the end none of them may have complained."""
    contexts: list[BrowserContext] = []
    watched: list[Watched] = []

    def opened(base: str = "", **options: Any) -> Watched:
        context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, **options})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        watched.append(Watched(context, base or stage.url))
        return watched[-1]

    yield opened
    for context in contexts:
        context.close()
    assert [complaint for each in watched for complaint in each.complaints] == []


PICTURES = Path(__file__).parents[2] / "docs" / "images"
