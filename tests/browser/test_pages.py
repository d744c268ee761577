"""Every page in a real browser: it opens, complains of nothing, can be used by everybody, and shows what is there."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from msgspec import structs
from playwright.sync_api import expect

from browser.conftest import Watched
from browser.scene import CRON, QUEUES, THROTTLES, played
from browser.stage import Stage, staged
from lineshaft.config.model import History
from lineshaft.engine.timed import SetName

PAGES = {
    "home": "/",
    "home-days": "/?range=6mo",
    "queues": "/queues",
    "queue": "/queues/reports",
    "queue-lanes": "/queues/invoices",
    "lanes": "/queues/invoices/lanes",
    "home-week": "/?range=1w",
    "home-months": "/?range=6mo",
    "queue-clear": "/queues/reports?confirm=clear",
    "retries": "/retries",
    "retries-search": "/retries?text=timeout&age=7d",
    "scheduled": "/scheduled",
    "dead": "/morgue",
    "dead-confirm": "/morgue?confirm=delete",
    "job": "/jobs/{dead}",
    "job-running": "/jobs/{held}",
    "job-gone": "/jobs/there-is-no-such-job",
    "busy": "/busy",
    "busy-one": "/busy?wid=c0ffee01",
    "finished": "/finished",
    "batches": "/batches",
    "batch": "/batches/{batch}",
    "batch-gone": "/batches/b-nothing",
    "periodic": "/periodic",
    "limits": "/limits",
    "server": "/server",
    "push": "/push",
    "nothing": "/nothing/here",
}
EMPTY = [
    "/",
    "/queues",
    "/retries",
    "/scheduled",
    "/morgue",
    "/busy",
    "/finished",
    "/batches",
    "/periodic",
    "/limits",
    "/server",
]

Opener = Callable[..., Watched]


@pytest.fixture(scope="module")
def busy_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    root = tmp_path_factory.mktemp("busy")
    tables = {"history": History(completed_ms=86_400_000), "cron": CRON, "throttles": THROTTLES, "queues": QUEUES}
    with staged(root, **tables) as stage, played(stage):
        yield stage


def address(stage: Stage, name: str) -> str:
    """The path of a page; the workers of the scene do nothing, and are not to be taken for lost meanwhile."""
    engine = stage.server.engine

    def beat() -> tuple[str, str, str]:
        for worker in engine.state.workers.present.values():
            worker.heard_at = stage.clock() - (38_000 if worker.wid == "c0ffee03" else 3000)
        batches, *_ = engine.views.batches()
        return engine.views.timed(SetName.DEAD).jobs[0].jid, engine.views.held()[0][-1].jid, batches[1]["bid"]

    dead, held, batch = stage.do(beat)
    return PAGES[name].format(dead=dead, held=held, batch=batch)


def serious(page: Any) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found if each["impact"] in ("serious", "critical")
    ]


#: What differs between the schemes are the colours, and these are on a few pages all together.
COLOURFUL = ("home", "queues", "lanes", "retries", "dead", "job", "busy", "server")


@pytest.mark.parametrize(
    ("scheme", "names"),
    [("light", tuple(PAGES)[:14]), ("light", tuple(PAGES)[14:]), ("dark", COLOURFUL)],
    ids=["light", "light, more", "dark"],
)
def test_every_page_is_whole_and_open_to_everybody(
    busy_stage: Stage, open_page: Opener, scheme: str, names: tuple[str, ...]
) -> None:
    window = open_page(busy_stage.url, color_scheme=scheme)
    faults = {}
    for name in names:
        page = window.go(address(busy_stage, name))
        expect(page.locator("h1")).not_to_be_empty()
        faults[name] = serious(page)
    assert {name: found for name, found in faults.items() if found} == {}
    window.forgive("404")


def test_every_page_fits_on_a_phone(busy_stage: Stage, open_page: Opener) -> None:
    window = open_page(busy_stage.url, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    widths = {}
    for name in PAGES:
        page = window.go(address(busy_stage, name))
        widths[name] = page.evaluate("document.documentElement.scrollWidth")
    assert {name: width for name, width in widths.items() if width > 390} == {}
    window.forgive("404")


@pytest.mark.usefixtures("stage")
def test_a_page_of_nothing_says_so(open_page: Opener) -> None:
    window = open_page()
    for path in EMPTY:
        page = window.go(path)
        expect(page.locator("h1")).not_to_be_empty()
        if path not in ("/", "/server"):
            expect(page.locator(".empty").first).to_be_visible()


def test_home_shows_what_needs_attention(busy_stage: Stage, open_page: Opener) -> None:
    past = busy_stage.site.pulse.past

    def nobody_was_dead() -> None:
        """A note of a minute ago: while the scene moves the clock, the pulse may notice and begin anew."""
        last = past.notes["5m"][-1]
        past.notes["1h"].appendleft(structs.replace(last, at=last.at - 60_000, dead=0))

    busy_stage.do(nobody_was_dead)
    page = open_page(busy_stage.url).go(address(busy_stage, "home"))
    notices = page.locator("#notices")
    for text in (
        "jobs died",
        "reports waits ",
        "Worker worker-4 is silent",
        "import is paused",
    ):
        expect(notices).to_contain_text(text)


def test_the_colours_can_be_chosen(busy_stage: Stage, open_page: Opener) -> None:
    window = open_page(busy_stage.url, color_scheme="light")
    page = window.go("/")

    def ground() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    button = page.locator(".theme")
    button.click()
    assert ground() == light, "light is what the system has"
    button.click()
    dark = ground()
    assert dark != light
    page.reload()
    assert ground() == dark, "it is remembered"
    button.click()
    assert ground() == light


def test_a_job_is_found_from_the_menu(busy_stage: Stage, open_page: Opener) -> None:
    page = open_page(busy_stage.url).go("/")
    jid = address(busy_stage, "job").rpartition("/")[2]
    page.keyboard.press("/")
    page.keyboard.type(jid)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{busy_stage.url}/jobs/{jid}")
    expect(page.locator("#job")).to_contain_text("Last failure")


def test_a_page_can_be_used_with_the_keyboard_alone(busy_stage: Stage, open_page: Opener) -> None:
    page = open_page(busy_stage.url).go("/")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "critical":
            break
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{busy_stage.url}/queues/critical")


def test_pages_are_spanish_where_that_is_asked_for(busy_stage: Stage, open_page: Opener) -> None:
    page = open_page(busy_stage.url, locale="es-ES").go("/morgue")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.locator("h1")).to_have_text("Muertos")


def test_pictures_of_all_pages_are_there() -> None:
    images = Path(__file__).parents[2] / "docs" / "images"
    for name in (
        "home",
        "queues",
        "queue",
        "lanes",
        "retries",
        "scheduled",
        "dead",
        "job",
        "busy",
        "batches",
        "periodic",
        "limits",
        "finished",
        "server",
        "push",
    ):
        for scheme in ("light", "dark"):
            assert (images / f"{name}-{scheme}.png").is_file(), "run `make screenshots`"
