"""Where to listen, as a file has it."""

import pytest

from lineshaft.config.binding import Binding, address, web_address

ADDRESS = address().read


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
