"""Instants, as they are written and read."""

import pytest

from lineshaft.clock import FIRST_INSTANT, LAST_INSTANT, format_instant, parse_instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00.000Z", 0),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2026-11-23T20:15:00.042Z", 1_795_464_900_042),
        ("0001-01-01T00:00:00.000Z", FIRST_INSTANT),
        ("9999-12-31T23:59:59.999Z", LAST_INSTANT),
        ("9999-12-31T23:59:59.998Z", LAST_INSTANT - 1),
    ],
)
def test_what_is_written_is_read(text: str, instant: int) -> None:
    assert format_instant(instant) == text
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("9999-12-31T23:59:59-23:00", LAST_INSTANT),
        ("9999-12-31T23:59:59.9999999Z", LAST_INSTANT),
        ("0001-01-01T00:00:00+23:00", FIRST_INSTANT),
        ("2026-11-23T20:15:00.0411+00:00", 1_795_464_900_042),
    ],
)
def test_one_beyond_the_years_is_the_last_within_them(text: str, instant: int) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize("instant", [LAST_INSTANT + 1, 10**18, 2**63])
def test_whatever_instant_there_is_can_be_written(instant: int) -> None:
    assert format_instant(instant) == "9999-12-31T23:59:59.999Z"
    assert format_instant(-instant) == "0001-01-01T00:00:00.000Z"
