"""Sizes, durations, bindings and secrets, as TOML values and as what the server counts in."""

import math

import pytest

from lineshaft.config import Binding, Secret
from lineshaft.config.kinds import address, choice, duration, secret, size, switch, text, web_address, whole

SIZE = size("0", "1TiB").read
DURATION = duration("0s", "36500d").read
ADDRESS = address().read


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
    ("given", "host", "port"),
    [
        ("127.0.0.1:7419", "127.0.0.1", 7419),
        (":7419", "", 7419),
        ("localhost:0", "localhost", 0),
        ("jobs-1.example.com:65535", "jobs-1.example.com", 65535),
        ("[::1]:7419", "::1", 7419),
        ("[::]:7419", "::", 7419),
        ("[fe80::1%eth0]:7419", "fe80::1%eth0", 7419),
    ],
)
def test_address(given, host, port):
    assert ADDRESS(given) == Binding(host, port)
    assert str(ADDRESS(given)) == given


@pytest.mark.parametrize(
    "given",
    [
        "7419",
        "localhost",
        "",
        "::1:7419",
        "[zz]:1",
        "[1.2.3.4]:1",
        "a:65536",
        "a:-1",
        "a: 1",
        "tcp://a:1",
        "a:1\n",
        7419,
        None,
    ],
)
def test_address_refuses(given):
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's
        ADDRESS(given)


def test_web_address_is_switched_off_by_colon_zero_alone():
    read = web_address().read
    assert read(":0") is None
    assert read("127.0.0.1:0") == Binding("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("db", False),
    ],
)
def test_which_bindings_only_this_machine_reaches(host, is_local):
    assert Binding(host, 1).is_local is is_local


def test_a_secret_does_not_show_itself():
    password = secret().read("hunter2")
    assert password == "hunter2"
    assert isinstance(password, Secret)
    assert "hunter2" not in repr([password])


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (choice("a", "b"), "b", ["c", 1, None, ["a"], {}]),
        (switch(), False, ["false", 0, 1, None]),
        (text(), "A name", ["", "  ", "two\nlines", 3]),
        (whole(1, 3), 3, [0, 4, 2.0, "2", True]),
        (secret(), Secret("x"), ["", " ", 5, True]),
    ],
)
def test_the_simple_kinds(kind, good, bad):
    assert kind.read(good) == good
    for value in bad:
        with pytest.raises(ValueError):  # noqa: PT011 - the message is the caller's
            kind.read(value)


def test_a_choice_is_told_in_words():
    assert choice("always", "interval", "never").allowed == '"always", "interval" or "never"'
