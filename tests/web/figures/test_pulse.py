"""The pulse follows the queues that matter, however many there are."""

import pytest

from browser.stage import Stage
from lineshaft.web.figures import pulse as pulse_module
from lineshaft.web.figures.pulse import SHOWN_MS
from lineshaft.web.pages import queues as queues_module
from web.asking import ask


@pytest.fixture
def many(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Six queues, the later ones the longer, where three are followed."""
    monkeypatch.setattr(pulse_module, "MOST_QUEUES", 3)
    monkeypatch.setattr(queues_module, "MOST_QUEUES", 3)
    stage.push(*[{"queue": f"q{number}"} for number in range(6) for _ in range(number + 1)])
    stage.site.pulse._shown.clear()
    stage.site.pulse.queues.clear()
    return stage


def followed(stage: Stage, after_ms: int = 0) -> set[str]:
    pulse = stage.site.pulse
    stage.do(lambda: pulse._follow_queues(pulse.now() + after_ms))
    return set(pulse.queues)


def test_the_longest_are_followed(many: Stage) -> None:
    assert followed(many) == {"q3", "q4", "q5"}


def test_one_that_is_shown_is_followed_for_a_while(many: Stage) -> None:
    assert ask(many.web_port, "/queues/q0").status == 200
    assert followed(many) == {"q0", "q4", "q5"}
    assert followed(many, SHOWN_MS - 60_000) == {"q0", "q4", "q5"}
    assert followed(many, SHOWN_MS + 5000) == {"q3", "q4", "q5"}


def test_those_that_were_shown_last_are_followed_first(many: Stage) -> None:
    for number in range(5):
        assert ask(many.web_port, f"/queues/q{number}").status == 200
    assert followed(many) == {"q2", "q3", "q4"}


def test_a_rate_that_is_not_known_yet_is_no_zero(many: Stage) -> None:
    def row(name: str) -> str:
        return ask(many.web_port, "/queues").text.split(f'data-key="{name}"')[1].partition("</tr>")[0]

    assert "\u2013</td>" in row("q0")
    many.site.pulse._shown.clear()
    for after_ms in (0, 5000):
        followed(many, after_ms)
    assert "0 / s" in row("q5")
    assert "/ s" not in row("q0")
    assert "of at most 3 queues" in ask(many.web_port, "/queues").text
