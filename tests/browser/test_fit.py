"""Nothing is cut off: figures, cards and what is in them fit at the widths of a phone and of a small laptop."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Watched
from browser.plenty import LONG_QUEUE, name_of
from browser.stage import Stage, staged
from lineshaft.config.model import History
from lineshaft.web import site

Opener = Callable[..., Watched]

NAME = LONG_QUEUE[:255]
PAGES = (
    "/",
    "/queues",
    "/queues?text=queue&sort=latency",
    f"/queues/{NAME}",
    "/retries",
    "/scheduled",
    "/morgue",
    "/batches",
    "/jobs/{dead}",
    "/limits",
    "/periodic",
    "/finished",
)

#: Figures whose text is wider than they are, cards that hide a part of what they hold, controls that leave their card.
CUT = """() => {
  const told = (each) => `${each.className || each.tagName}: ${each.textContent.slice(0, 60)}`;
  const inside = [...document.querySelectorAll(".tile .value, .tile .delta, .tile, .panel, .filters, .pager, .bulk")]
    .filter((each) => each.scrollWidth > each.clientWidth);
  const outside = [...document.querySelectorAll(".panel select, .panel input, .panel .button, .panel button")]
    .filter((each) => each.checkVisibility() && !each.closest(".scroll, .sr"))
    .filter((each) => each.getBoundingClientRect().right > each.closest(".panel").getBoundingClientRect().right);
  return [...inside, ...outside].map(told);
}"""


@pytest.fixture(scope="module")
def long_stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("fit"), history=History(completed_ms=86_400_000)) as stage:
        stage.clock.shift_ms = -59 * 60_000 - 48_000
        stage.push({"queue": NAME, "jobtype": "SyncUserJob", "args": [1]})
        stage.clock.shift_ms = 0
        stage.push({"queue": name_of(1), "at": "2099-01-01T00:00:00Z"})
        stage.push({"queue": "dying", "jid": "dead-job-0001", "retry": -1, "args": [{"of": "wide"}]})
        stage.push({"queue": "done", "jid": "done-job-0001"})
        with stage.worker("w0000001", "worker-1") as worker:
            worker.command(b"FETCH dying")
            worker.command(b'FAIL {"jid":"dead-job-0001","errtype":"Boom","message":"no","backtrace":[]}')
            worker.command(b"FETCH done")
            worker.command(b'ACK {"jid":"done-job-0001"}')
            worker.command(
                b'BATCH NEW {"description":"one of three","success":{"jobtype":"Done","args":[],"jid":"cb-000001"}}'
            )
            yield stage


def cut_off(page: Page) -> list[str]:
    found: list[str] = page.evaluate(CUT)
    return found


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_off(long_stage: Stage, open_page: Opener, width: int) -> None:
    window = open_page(long_stage.url, viewport={"width": width, "height": 844})
    found = {path: cut_off(window.go(path.format(dead="dead-job-0001"))) for path in PAGES}
    assert {path: cut for path, cut in found.items() if cut} == {}


def test_a_job_is_found_on_a_phone(long_stage: Stage, open_page: Opener) -> None:
    page = open_page(long_stage.url, viewport={"width": 390, "height": 844}).go("/")
    page.get_by_role("searchbox").fill("dead-job-0001")
    page.keyboard.press("Enter")
    expect(page.locator("#job")).to_contain_text("none: dead when it fails")


def test_a_job_has_one_format_of_time(long_stage: Stage, open_page: Opener) -> None:
    window = open_page(long_stage.url)
    for jid in ("dead-job-0001", "done-job-0001"):
        page = window.go(f"/jobs/{jid}")
        facts = " ".join(page.locator(".facts, .head").all_inner_texts())
        assert " UTC (" in facts
        assert "T0" not in facts
        assert "T1" not in facts
        assert "Z" not in facts


def test_the_menu_counts_batches(long_stage: Stage, open_page: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    window = open_page(long_stage.url)
    expect(window.go("/").locator('[data-count="batches"]')).to_have_text("1")
    monkeypatch.setattr(site, "MOST_BATCHES", 0)
    monkeypatch.setattr(site, "SHARED_SECONDS", -1.0)
    expect(window.go("/").locator('[data-count="batches"]')).to_have_text("0+")


def test_a_phone_shows_how_far_a_batch_is(long_stage: Stage, open_page: Opener) -> None:
    row = open_page(long_stage.url, viewport={"width": 390, "height": 844}).go("/batches").locator("tbody tr")
    for text in ("Pending 0", "Failed 0", "success: waits", "0 of 0"):
        expect(row.get_by_text(text).locator("visible=true").first).to_be_visible()
    assert row.locator(".wrapped").evaluate("each => each.scrollWidth <= each.clientWidth")
    expect(row).not_to_contain_text("complete")
