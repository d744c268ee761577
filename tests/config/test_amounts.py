"""Sizes and times, as TOML values and as what the server counts in, there and back."""

import math

import pytest

from lineshaft.config.amounts import as_duration, as_size, duration, size

SIZE = size("0", "1TiB").read
DURATION = duration("0s", "36500d").read


@pytest.mark.parametrize(
    ("given", "in_bytes"),
    [
        (0, 0),
        (4096, 4096),
        ("4096", 4096),
        ("12B", 12),
        ("1kB", 1000),
        ("500MB", 500_000_000),
        ("1.5 gb", 1_500_000_000),
        ("1KiB", 1024),
        ("16MiB", 16 << 20),
        ("1TiB", 1 << 40),
    ],
)
def test_size(given, in_bytes):
    assert SIZE(given) == in_bytes


@pytest.mark.parametrize(
    "given", [-1, "-1MB", "MB", "", "1XB", "500M", "1e9", True, None, [1], math.nan, math.inf, "2TiB"]
)
def test_size_refuses(given):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's
        SIZE(given)


@pytest.mark.parametrize(
    ("given", "milliseconds"),
    [
        (0, 0),
        (60, 60_000),
        (0.5, 500),
        ("60", 60_000),
        ("250ms", 250),
        ("90s", 90_000),
        ("30m", 1_800_000),
        ("24h", 86_400_000),
        ("180d", 15_552_000_000),
        ("2w", 1_209_600_000),
        ("1.5h", 5_400_000),
    ],
)
def test_duration(given, milliseconds):
    assert DURATION(given) == milliseconds


@pytest.mark.parametrize(
    "given", [-1, "-1s", "10y", "1h30m", "soon", "", False, None, {}, math.nan, math.inf, "36501d"]
)
def test_duration_refuses(given):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's
        DURATION(given)


def test_duration_in_seconds():
    read = duration("60s", "86400s", unit_ms=1000).read
    assert read("1d") == 86_400
    assert read(60) == 60
    for beyond in (59, 86_401):
        with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's
            read(beyond)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0s"), (1500, "1500ms"), (90_000, "90s"), (5_400_000, "90m"), (7 * 86_400_000, "7d")],
)
def test_times(milliseconds: int, text: str) -> None:
    assert as_duration(milliseconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (1, "1B"), (1000, "1kB"), (1 << 30, "1GiB"), (10**12, "1TB"), (1_234, "1234B")]
)
def test_sizes(count: int, text: str) -> None:
    assert as_size(count) == text
