"""What nobody expected: told with a reference that stands in the log, and in the form that whoever asked can read."""

import json
import logging
import re
from typing import Any

import pytest

from browser.stage import Stage
from web.asking import Answer, ask


@pytest.fixture
def broken(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A server in which something is wrong that no test has found yet."""

    def look(_: Any) -> Any:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(stage.site.backend, "look", look)
    return stage


def reference_in(text: str, caplog: pytest.LogCaptureFixture) -> str:
    """The reference that an answer gives; the log has it once, with the traceback."""
    found = re.search(r"reference ([0-9a-f]{8})", text)
    assert found is not None, text
    records = [record for record in caplog.records if found[1] in record.getMessage()]
    assert [record.levelno for record in records] == [logging.ERROR]
    assert records[0].exc_info is not None
    assert isinstance(records[0].exc_info[1], ZeroDivisionError)
    assert "a secret detail" not in text
    return found[1]


def guarded(answer: Answer) -> bool:
    return "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_api_tells_a_problem(broken: Stage, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(broken.web_port, "/api/v1/overview", Accept="text/html")
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    told = json.loads(answer.body)
    assert (told["status"], told["title"], told["type"]) == (500, "failed", "about:blank")
    reference_in(told["detail"], caplog)
    assert guarded(answer)


def test_a_page_is_a_page(broken: Stage, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(broken.web_port, "/queues", Accept="text/html", Accept_Language="es")
    assert answer.status == 500
    assert '<html lang="es"' in answer.text
    found = re.search(r"\b([0-9a-f]{8})\.", answer.text)
    assert found is not None
    assert reference_in(f"reference {found[1]}", caplog)
    assert guarded(answer)


def test_a_script_has_a_line(broken: Stage, caplog: pytest.LogCaptureFixture) -> None:
    answer = ask(broken.web_port, "/queues")
    assert (answer.status, answer.headers["content-type"]) == (500, "text/plain; charset=utf-8")
    reference_in(answer.text, caplog)
    assert guarded(answer)
