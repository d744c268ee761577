"""A live page is made once for all who have it open, also when they all ask at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from browser.stage import Stage
from lineshaft.web import site
from lineshaft.web.render import Renderer
from web.asking import Answer, ask


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The templates that were written."""
    templates: list[str] = []
    whole = Renderer.page

    async def page(self: Renderer, request: Any, template: str, *rest: Any) -> bytes:
        templates.append(template)
        return await whole(self, request, template, *rest)

    monkeypatch.setattr(Renderer, "page", page)
    return templates


def ask_at_once(stage: Stage, path: str, count: int, **headers: str) -> list[Answer]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: ask(stage.web_port, path, **headers), range(count)))


def test_ten_who_ask_again_are_given_one(stage: Stage, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow the machine is.
    monkeypatch.setattr(site, "SHARED_SECONDS", 60.0)
    stage.site._shared.clear()
    stage.push(*[{"queue": f"q{number}"} for number in range(40)])
    answers = ask_at_once(stage, "/queues?text=q", 10, X_Live="1")
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert made == ["queues.html"]


def test_who_opens_a_page_has_one_of_his_own(stage: Stage, made: list[str]) -> None:
    assert {answer.status for answer in ask_at_once(stage, "/limits", 3)} == {200}
    assert made == ["limits.html"] * 3


def test_a_page_that_is_not_there_stays_so(stage: Stage) -> None:
    answers = ask_at_once(stage, "/jobs/not-there-at-all", 4, X_Live="1")
    assert {answer.status for answer in answers} == {404}


def test_one_that_fails_is_tried_by_the_others(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = iter([ZeroDivisionError()])
    whole = Renderer.page

    async def page(self: Renderer, *rest: Any) -> bytes:
        for failure in failures:
            raise failure
        return await whole(self, *rest)

    monkeypatch.setattr(Renderer, "page", page)
    statuses = sorted(answer.status for answer in ask_at_once(stage, "/periodic", 4, X_Live="1"))
    assert statuses == [200, 200, 200, 500]
    assert stage.site._making == {}
