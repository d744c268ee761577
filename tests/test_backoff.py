"""Backoff as it is written, and what follows from it."""

import pytest

from lineshaft.backoff import parse_backoff


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("fixed:30", [30, 30, 30]),
        ("fixed:0.5", [0.5, 0.5]),
        ("linear:60", [60, 120, 180]),
        ("exponential:2:5:3600", [5, 10, 20]),
        ("exponential:2:5:12", [5, 10, 12, 12]),
        ("exponential:0.5:8:60", [8, 4, 2]),
        ("fixed:100~20", [110, 110]),
        ("exponential:2:5:3600~0", [5, 10]),
    ],
)
def test_delays(text: str, seconds: list[float]) -> None:
    backoff = parse_backoff(text)
    assert [backoff.delay_ms(count, 0.5) for count in range(len(seconds))] == [round(each * 1000) for each in seconds]


@pytest.mark.parametrize(
    "text", ["exponential:999999999:1:60", "linear:999999999", "exponential:9:999999999:999999999"]
)
def test_a_delay_is_bounded_whatever_the_count(text: str) -> None:
    assert parse_backoff(text).delay_ms(2**31, 0.999) <= 3650 * 86_400_000


@pytest.mark.parametrize(
    "text",
    ["", "fixed", "fixed:", "fixed:-1", "fixed:1e9", "weekly", "linear:1:2", "exponential:2:5", "fixed:3~", "fixed:٣"],
)
def test_what_is_no_backoff(text: str) -> None:
    with pytest.raises(ValueError, match="a backoff must be"):
        parse_backoff(text)
