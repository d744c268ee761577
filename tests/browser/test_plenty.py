"""Much of everything, with the longest names there are: every page opens, fits, and can be gone through to its end."""

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from browser.conftest import Watched
from browser.plenty import LONG_QUEUE, LONG_WORD, fill, laned, name_of, periodic, throttled
from browser.stage import Stage, staged
from lineshaft.engine.stats.groups import MOST_GROUPS
from lineshaft.web.lists import search
from web.asking import ask

Opener = Callable[..., Watched]

#: More than there are groups of failures; `make nightly` has ten thousand.
COUNT = MOST_GROUPS + 10
PAGES = (
    "/",
    "/queues",
    f"/queues/{LONG_QUEUE[:255]}",
    "/queues/laned",
    "/retries",
    "/morgue",
    "/morgue?order=oldest",
    "/morgue?confirm=delete&text=short",
    "/busy",
    f"/busy?wid=0-{LONG_WORD[:253]}",
    "/batches",
    "/periodic",
    "/limits",
    "/server",
    f"/jobs/dead-00000000{LONG_WORD[:400]}",
)


def plenty_of(root: Any, count: int) -> Any:
    return staged(root, cron=periodic(count), throttles=throttled(count), queues=laned())


@pytest.fixture(scope="module")
def plenty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with plenty_of(tmp_path_factory.mktemp("plenty"), COUNT) as stage:
        fill(stage, COUNT)
        yield stage


def look_at_all(window: Watched, width: int) -> dict[str, int]:
    """Open every page; those that are wider than the window."""
    wide = {}
    for path in PAGES:
        page = window.go(path)
        expect(page.locator("h1")).not_to_be_empty()
        found = page.evaluate("document.documentElement.scrollWidth")
        if found > width:
            wide[path] = found
    return wide


def test_every_page_fits_on_a_phone(plenty: Stage, open_page: Opener) -> None:
    window = open_page(plenty.url, viewport={"width": 390, "height": 844})
    assert look_at_all(window, 390) == {}


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1360])
def test_every_page_fits_with_ten_thousand_of_everything(
    tmp_path_factory: pytest.TempPathFactory, open_page: Opener, width: int
) -> None:
    count = int(os.environ.get("LINESHAFT_PLENTY", "10000"))
    with plenty_of(tmp_path_factory.mktemp("plenty"), count) as stage:
        fill(stage, count)
        window = open_page(stage.url, viewport={"width": width, "height": 900})
        assert look_at_all(window, width) == {}
        window.page.close()


@pytest.mark.parametrize("path", ["/queues", "/busy", "/limits", "/batches", "/periodic", "/retries"])
def test_a_list_is_gone_through_to_its_end(plenty: Stage, path: str) -> None:
    found: list[str] = []
    while path:
        page = ask(plenty.web_port, path).text
        rows, _, _ = page.partition('id="held-rows"')
        found += [key for key in re.findall(r'<tr data-key="([^"]*)"', rows) if not key.startswith("g")]
        path = next(iter(re.findall(r'href="([^"]*)" rel="next"', rows)), "").replace("&amp;", "&")
    assert len(found) == len(set(found)) >= COUNT


def test_a_worker_is_found_wherever_it_stands(plenty: Stage, open_page: Opener) -> None:
    page = open_page(plenty.url).go(f"/busy?wid=worker-{COUNT - 1:06}")
    expect(page.locator("#worker-rows tr[data-key]")).to_have_count(1)
    expect(page.locator("#held-rows")).to_contain_text(name_of(COUNT - 1))


# Searches that go on


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page waits for nothing: all that is found comes by the stream."""
    monkeypatch.setattr(search, "SEARCH_SECONDS", -1.0)


@pytest.mark.usefixtures("at_once")
def test_what_is_found_later_is_added_to_the_page(plenty: Stage, open_page: Opener) -> None:
    page = open_page(plenty.url).go("/retries?text=Errno50")
    rows = page.locator("#rows tr[data-key]")
    expect(rows).to_have_count(11)
    expect(page.locator("[data-told]")).to_have_text(f"Looked at {COUNT} of {COUNT}")
    expect(page.locator("[data-next]")).to_have_count(0)
    expect(page.locator("[data-nothing]")).to_have_count(0)
    rows.nth(2).locator("input").check()
    expect(page.locator(".bulk")).to_contain_text("1 selected")


@pytest.mark.usefixtures("at_once")
def test_a_page_that_is_full_leads_to_the_next(plenty: Stage, open_page: Opener) -> None:
    page = open_page(plenty.url).go("/retries?text=short")
    rows = page.locator("#rows tr[data-key]")
    expect(rows).to_have_count(50)
    expect(page.locator("#rows a[rel=next]")).to_have_text("Next page")
    first = set(rows.evaluate_all("rows => rows.map(row => row.dataset.key)"))
    with page.expect_navigation():
        page.locator("#rows a[rel=next]").click()
    expect(rows).to_have_count(50)
    assert not first & set(rows.evaluate_all("rows => rows.map(row => row.dataset.key)"))


@pytest.mark.usefixtures("at_once")
def test_nothing_is_said_when_all_was_looked_at(plenty: Stage, open_page: Opener) -> None:
    page = open_page(plenty.url).go("/morgue?text=nowhere")
    expect(page.locator("[data-nothing]")).to_have_text("Nothing matches")


@pytest.mark.usefixtures("at_once")
def test_the_count_before_a_bulk_action_goes_on(plenty: Stage, open_page: Opener) -> None:
    page = open_page(plenty.url).go("/morgue?confirm=delete&text=errno50")
    expect(page.locator("[data-count-on]")).to_have_text("11 jobs match")


def test_without_javascript_a_link_goes_on(plenty: Stage, open_page: Opener) -> None:
    page = open_page(plenty.url, java_script_enabled=False).go("/retries?text=short")
    expect(page.locator("#rows tr[data-key]")).to_have_count(50)
    with page.expect_navigation():
        page.locator("#rows a[rel=next]").click()
    expect(page.locator("#rows tr[data-key]")).to_have_count(50)
