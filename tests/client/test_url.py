"""Where a URL and the environment say the server is."""

import pytest

from lineshaft.client import Address, Client, find_address, parse_url
from lineshaft.errors import UsageError


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tcp://localhost:7419", Address("localhost")),
        ("tcp://localhost", Address("localhost")),
        ("tcp://localhost/", Address("localhost")),
        ("tcp://:secret@host:1234", Address("host", 1234, password="secret")),
        ("tcp://me:p%40ss%2Fw%3Ard@host", Address("host", username="me", password="p@ss/w:rd")),
        ("tcp://me@host", Address("host", username="me")),
        ("tcp+tls://:s@faktory.example.com:443", Address("faktory.example.com", 443, is_tls=True, password="s")),
        ("tcp://[::1]:7419", Address("::1")),
    ],
)
def test_urls(url: str, address: Address) -> None:
    assert parse_url(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "", "localhost", "localhost:7419", "http://localhost", "tcp://", "tcp://:7419", "tcp://host:secret", "tcp://host:70000",
        "tcp://host/secret", "tcp://:secret#@host", "tcp://:sec/ret@host", "tcp://[::1", "tcp://host?secret",
    ],
)  # fmt: skip
def test_no_urls(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_url(url)
    assert "not the URL of a server" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_environment() -> None:
    assert find_address(None, {}) == Address("localhost", 7419)
    assert find_address(None, {"FAKTORY_URL": ""}) == Address("localhost", 7419)
    assert find_address(None, {"FAKTORY_URL": "tcp://a"}) == Address("a")
    provided = {"FAKTORY_PROVIDER": "QUEUE_URL", "QUEUE_URL": "tcp://b:1", "FAKTORY_URL": "tcp://a"}
    assert find_address(None, provided) == Address("b", 1)
    assert find_address("tcp://c", provided) == Address("c")
    for broken in ({"FAKTORY_PROVIDER": "QUEUE_URL"}, {"FAKTORY_PROVIDER": "tcp://:secret@host"}):
        with pytest.raises(UsageError, match="name of a variable") as caught:
            find_address(None, broken)
        assert "secret" not in str(caught.value)


def test_the_password_is_not_shown() -> None:
    address = parse_url("tcp+tls://me:secret@host:1")
    assert repr(address) == "<Address tcp+tls://host:1>"
    assert repr(parse_url("tcp://[::1]")) == "<Address tcp://[::1]:7419>"


def test_who_is_not_there_is_named() -> None:
    with (
        Client("tcp://:secret@127.0.0.1:1", reconnect=False) as client,
        pytest.raises(ConnectionRefusedError) as caught,
    ):
        client.info()
    assert str(caught.value) == "[Errno 111] Connection refused: 'tcp://127.0.0.1:1'"
