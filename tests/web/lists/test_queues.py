"""The list of queues: by name, size and latency, with a text in the name, page by page."""

import re
from time import perf_counter

import pytest

from browser.stage import Stage
from lineshaft.web.figures import latencies
from web.asking import ask


@pytest.fixture
def filled(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(latencies, "FRESH_SECONDS", -1.0)
    stage.clock.shift_ms = -60_000
    stage.push({"queue": "beta"})
    stage.clock.shift_ms = -30_000
    stage.push({"queue": "Alphabet"}, {"queue": "Alphabet"})
    stage.clock.shift_ms = 0
    stage.push({"queue": "gamma"}, {"queue": "gamma"}, {"queue": "gamma"})
    return stage


def names(stage: Stage, path: str) -> list[str]:
    found: list[str] = []
    while path:
        page = ask(stage.web_port, path).text
        found += re.findall(r'<tr data-key="([^"]*)"', page)
        path = next(iter(re.findall(r'href="([^"]*)" rel="next"', page)), "").replace("&amp;", "&")
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["Alphabet", "beta", "gamma"]),
        ("?sort=size", ["gamma", "Alphabet", "beta"]),
        ("?sort=latency", ["beta", "Alphabet", "gamma"]),
        ("?text=BET", ["Alphabet", "beta"]),
        ("?sort=latency&text=bet", ["beta", "Alphabet"]),
        ("?sort=nonsense", ["Alphabet", "beta", "gamma"]),
        ("?after=999999999999999", []),
        ("?text=nothing", []),
    ],
)
def test_queues_are_sorted_and_filtered(filled: Stage, query: str, expected: list[str]) -> None:
    assert names(filled, "/queues" + query) == expected


def test_the_links_keep_order_and_filter(filled: Stage) -> None:
    page = ask(filled.web_port, "/queues?sort=size&text=bet").text
    assert 'href="/queues?sort=latency&amp;text=bet"' in page
    assert '<a href="/queues?sort=size&amp;text=bet" aria-current="true">' in page
    assert '<input type="hidden" name="sort" value="size">' in page
    assert "2 queues</span>" in page
    assert "Nothing matches" in ask(filled.web_port, "/queues?text=nothing").text


@pytest.mark.parametrize("order", ["", "size", "latency"])
def test_many_queues_are_gone_through_in_every_order(filled: Stage, order: str) -> None:
    filled.push(*[{"queue": f"many-{number:03}"} for number in range(170)])
    found = names(filled, f"/queues?text=many&sort={order}")
    assert len(found) == len(set(found)) == 170


@pytest.mark.slow
@pytest.mark.parametrize(("order", "most_seconds"), [("", 0.5), ("size", 0.5), ("latency", 10.0)])
def test_ten_thousand_queues_are_listed_soon(filled: Stage, order: str, most_seconds: float) -> None:
    filled.push(*[{"queue": f"many-{number:05}"} for number in range(10_000)])
    began = perf_counter()
    assert "many-0" in ask(filled.web_port, f"/queues?sort={order}&text=many").text
    assert perf_counter() - began < most_seconds
