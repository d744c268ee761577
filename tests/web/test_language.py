"""Languages: every text of the pages is in every catalogue, and numbers and spans look as people write them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir

from lineshaft.web.language import choose, languages

WEB = Path(__file__).parents[2] / "src" / "lineshaft" / "web"
KEYWORDS = {"gettext": None, "_": None, "ngettext": (1, 2), "text": None, "N_": None}
METHODS = [("**.py", "python"), ("**.html", "jinja2")]
OPTIONS = {"**.html": {"extensions": "jinja2.ext.i18n", "trimmed": "true"}}


def texts() -> Iterator[tuple[str, ...]]:
    """Every text that is shown: one, or singular and plural."""
    for _, _, message, _, _ in extract_from_dir(str(WEB), METHODS, OPTIONS, keywords=KEYWORDS):
        yield message if isinstance(message, tuple) else (message,)


@pytest.mark.parametrize("code", [code for code in languages() if code != "en"])
def test_every_text_is_in_the_catalogue(code: str) -> None:
    language = languages()[code]
    missing = {text for text in texts() if not language.has(text[0])}
    assert missing == set(), "see docs/howto/dashboard.md, Languages"


def test_there_are_texts() -> None:
    assert len(set(texts())) > 200


@pytest.mark.parametrize("code", languages())
def test_no_text_holds_what_would_end_an_attribute(code: str) -> None:
    language = languages()[code]
    for text in texts():
        assert not set('<>"') & set("".join(text))
        shown = language.gettext(text[0]) + language.ngettext(text[0], text[-1], 5)
        assert not set('<>"') & set(shown), text
        for field in ("{count}", "{span}", "{jobs}", "{queue}", "%(num)s", "%(span)s", "{who}", "{when}", "{n}"):
            assert (field in text[0]) == (field in language.gettext(text[0])), text


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("", "en"),
        ("es", "es"),
        ("es-MX,es;q=0.9,en;q=0.8", "es"),
        ("de,fr;q=0.9", "en"),
        ("de,es;q=0.5,en;q=0.4", "es"),
        ("en;q=0.5,es;q=0.9", "es"),
        ("es;q=what,en", "en"),
        ("*" * 10_000, "en"),
    ],
)
def test_the_best_language_is_chosen(accepted: str, code: str) -> None:
    assert choose(accepted).code == code


def test_numbers() -> None:
    english, spanish = languages()["en"], languages()["es"]
    assert (english.number(1234567), spanish.number(1234567)) == ("1,234,567", "1.234.567")
    assert (english.decimal(1234.56), spanish.decimal(1234.56)) == ("1,234.6", "1.234,6")
    assert [english.short(value) for value in (0, 9999, 12_345, 182_412_345, 3_200_000_000)] == [
        "0",
        "9,999",
        "12.3 k",
        "182.4 M",
        "3.2 G",
    ]
    assert [english.rate(value) for value in (0, 0.25, 9.94, 12.6)] == ["0", "0.2", "9.9", "13"]
    assert [english.size(value) for value in (0, 999, 73_400_000, 2_000_000_000_000)] == [
        "0 B",
        "999 B",
        "73.4 MB",
        "2.0 TB",
    ]


def test_spans() -> None:
    english = languages()["en"]
    spans = {
        0: "0 ms",
        7: "7 ms",
        999: "999 ms",
        4200: "4.2 s",
        26_000: "26 s",
        60_000: "1 min",
        252_000: "4 min 12 s",
        7_500_000: "2 h 5 min",
    }
    spans |= {86_400_000 * 12 + 3_600_000 * 4: "12 d 4 h", 180 * 86_400_000: "180 d", -5: "0 ms"}
    assert {milliseconds: english.span(milliseconds) for milliseconds in spans} == spans


def test_how_long_ago() -> None:
    english, spanish = languages()["en"], languages()["es"]
    now = 1_700_000_000_000
    assert english.ago(now, now - 12_000) == "12 s ago"
    assert english.ago(now, now - 3_590_000) == "60 min ago"
    assert english.ago(now, now + 3 * 86_400_000) == "in 3 d"
    assert spanish.ago(now, now - 7_200_000) == "hace 2 h"
    assert english.instant(now) == "2023-11-14 22:13:20 UTC"


def test_plurals() -> None:
    english, spanish = languages()["en"], languages()["es"]
    assert [english.ngettext("%(num)s job", "%(num)s jobs", count) for count in (0, 1, 2000)] == [
        "0 jobs",
        "1 job",
        "2,000 jobs",
    ]
    assert english.ngettext("%(num)s job", "%(num)s jobs", 100, more="+") == "100+ jobs"
    assert spanish.ngettext("%(num)s job", "%(num)s jobs", 1) == "1 trabajo"
