"""Greeting, HELLO and password, with the shapes that real clients send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.errors import PeerError
from lineshaft.protocol.handshake import (
    Greeting,
    Hello,
    greeting,
    hello_line,
    parse_greeting,
    parse_hello,
    password_hash,
    verify,
)

FOOBAR = "6d877f8e5544b1f2598768f817413ab8a357afffa924dedae99eb91472d4ec30"

SAMPLES = {
    "go producer": (
        b'HELLO {"hostname":"vm","wid":"","username":"","pwdhash":"","labels":["golang"],"pid":8164,"v":2}',
        Hello(v=2, hostname="vm", labels=["golang"], pid=8164, pwdhash=""),
    ),
    "go worker": (
        b'HELLO {"hostname":"vm","wid":"12t627l0os4k2","username":"","pwdhash":"","labels":["go-1.7"],"pid":1,"v":2}',
        Hello(v=2, hostname="vm", wid="12t627l0os4k2", labels=["go-1.7"], pid=1, pwdhash=""),
    ),
    "ruby": (
        b'HELLO {"wid":"","hostname":"vm","pid":7188,"labels":["ruby-3.1.7"],"username":null,"v":2}',
        Hello(v=2, hostname="vm", pid=7188, labels=["ruby-3.1.7"]),
    ),
    "rust producer": (b'HELLO {"v":2}', Hello(v=2)),
    "rust worker": (
        b'HELLO {"hostname":"vm","wid":"abcdefghijklmnopqrstuvwxyz012345","pid":7,"labels":["rust"],"v":2}',
        Hello(v=2, hostname="vm", wid="abcdefghijklmnopqrstuvwxyz012345", pid=7, labels=["rust"]),
    ),
    "node": (b'HELLO {"hostname":"vm","v":2}', Hello(v=2, hostname="vm")),
    "python faktory": (
        b'HELLO {"hostname": "vm", "pid": 7022, "labels": []}',
        Hello(v=1, hostname="vm", pid=7022),
    ),
    "pyfaktory": (b'HELLO {"v": 2}', Hello(v=2)),
    "elixir": (
        b'HELLO {"hostname":"vm","pid":1,"labels":["elixir"],"v":2,"wid":"0123456789abcdef","pwdhash":"ab"}',
        Hello(v=2, hostname="vm", pid=1, labels=["elixir"], wid="0123456789abcdef", pwdhash="ab"),
    ),
    "php": (
        b'HELLO {"hostname":"vm","wid":"worker_0123456789abcdef01234567","pid":5,"labels":[],"v":2}',
        Hello(v=2, hostname="vm", wid="worker_0123456789abcdef01234567", pid=5),
    ),
    "haskell": (
        b'HELLO {"wid":null,"hostname":"vm","pid":9,"labels":["haskell"],"v":2,"pwdhash":null}',
        Hello(v=2, hostname="vm", pid=9, labels=["haskell"]),
    ),
    "dotnet": (
        b'HELLO {"hostname":"vm","v":2,"wid":"0f8fad5b-d9cb-469f-a165","labels":null,"pid":null,"pwdhash":null}',
        Hello(v=2, hostname="vm", wid="0f8fad5b-d9cb-469f-a165"),
    ),
    "java": (b'HELLO {"v":2,"pwdhash":"ab"}', Hello(v=2, pwdhash="ab")),
    "all null": (b'HELLO {"v":null,"hostname":null,"wid":null,"pid":null,"labels":null,"username":null}', Hello(v=1)),
    "other case, unknown fields": (
        b'HELLO {"V":2,"HostName":"vm","random":{"a":[1]},"features":["results"]}',
        Hello(v=2, hostname="vm", features=["results"]),
    ),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_real_hellos(name: str) -> None:
    line, hello = SAMPLES[name]
    assert parse_hello(line) == hello


@pytest.mark.parametrize(
    "line",
    [
        b"", b"GET / HTTP/1.1", b"HELLO", b"HELLO ", b"HELLO x", b"HELLO []", b"HELLO  {}", b"hello {}", b"HELLO {",
        b"HELLO {]",
        b"HELLO {}x", b'HELLO {"v":"2"}', b'HELLO {"v":2.5}', b'HELLO {"wid":5}', b'HELLO {"labels":"a"}',
        b'HELLO {"labels":[null]}', b'HELLO {"pid":"5"}', b'HELLO {"hostname":"\xff"}', b'HELLO {"other":"\xff"}',
        b'HELLO {"a":' + b"[" * 100_000, b'HELLO {"pid":' + b"9" * 30 + b"}", b"\x16\x03\x01\x02\x00",
    ],
)  # fmt: skip
def test_anything_else_is_closed_without_a_word(line: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        parse_hello(line)
    assert str(caught.value) == ""


def test_sizes_are_bounded() -> None:
    hello = Hello(
        v=2, hostname="h" * 999, username="u" * 999, labels=["l" * 999] * 99, features=["f"] * 99, wid="w" * 200
    )
    kept = parse_hello(hello_line(hello).rstrip())
    assert (len(kept.hostname or ""), len(kept.username or "")) == (255, 255)
    assert kept.labels == ["l" * 255] * 50
    assert kept.features == ["f"] * 50
    assert kept.wid == "w" * 200


@pytest.mark.parametrize("wid", ["w" * 201, "\x001", "a\nb", "\x1b[0m"])
def test_a_wid_that_cannot_be_one_is_told(wid: str) -> None:
    with pytest.raises(PeerError, match="a wid has at most 200 characters"):
        parse_hello(hello_line(Hello(v=2, wid=wid)).rstrip())


def test_greeting() -> None:
    assert greeting() == b'+HI {"v":2}\r\n'
    assert greeting(salt="123", iterations=3) == b'+HI {"v":2,"i":3,"s":"123"}\r\n'
    for half in ({"salt": "123"}, {"iterations": 3}):
        with pytest.raises(ValueError, match="belong together"):
            greeting(**half)


def test_parse_greeting() -> None:
    assert parse_greeting('HI {"v":2}') == Greeting(2)
    assert parse_greeting('HI {"v":2,"i":3,"s":"123","new":[]}') == Greeting(2, 3, "123")
    assert parse_greeting('HI {"v":2,"s":"123"}') == Greeting(2, 1, "123")
    assert parse_greeting('HI {"v":2,"i":10000000,"s":"1"}').i == 10_000_000


@pytest.mark.parametrize(
    "text",
    ["", "HI", "HI ", "HI []", "HELLO {}", 'HI {"v":"2"}', 'HI {"i":3}', "OK",
     'HI {"v":2,"i":10000001,"s":"1"}', 'HI {"v":2,"i":0,"s":"1"}', 'HI {"v":2,"i":-1,"s":"1"}',
     'HI {"v":2,"i":1.5,"s":"1"}'],
)  # fmt: skip
def test_greetings_that_cannot_be_used(text: str) -> None:
    with pytest.raises(PeerError, match="greet"):
        parse_greeting(text)


def test_password_vectors() -> None:
    assert password_hash("foobar", "55104dc76695721d", 1545) == FOOBAR
    assert password_hash("abcde123", "123", 3) == "ef646abadf4ffba660d9bbb8de8e45576970de917b4c9da8cad96b49e64636d9"


def test_verify() -> None:
    def knows(pwdhash: str | None, v: int | None = 2) -> bool:
        return verify(Hello(v=v, pwdhash=pwdhash), "foobar", "55104dc76695721d", 1545)

    once = password_hash("foobar", "55104dc76695721d", 1)
    assert knows(FOOBAR)
    assert not knows(FOOBAR, v=1)
    assert not knows(once)
    assert knows(once, v=1)
    assert knows(once, v=None)
    assert knows(FOOBAR, v=3)
    for wrong in (None, "", FOOBAR[:-1], FOOBAR.upper(), "é" * 64):
        assert not knows(wrong)
    assert not knows(password_hash("wrong", "55104dc76695721d", 1545))


@given(st.text(max_size=20), st.text(max_size=20), st.integers(1, 20), st.text(max_size=20))
def test_only_the_password_opens(password: str, salt: str, iterations: int, other: str) -> None:
    hello = parse_hello(hello_line(Hello(v=2, pwdhash=password_hash(password, salt, iterations))).rstrip())
    assert verify(hello, password, salt, iterations)
    assert verify(hello, other, salt, iterations) == (other == password)
