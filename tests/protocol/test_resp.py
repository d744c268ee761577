"""Replies out and in."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.errors import PeerError, Refusal
from lineshaft.protocol.resp import NULL, OK, ErrorReply, Reply, ReplyParser, bulk, error, integer

CASES: list[tuple[bytes, Reply]] = [
    (OK, "OK"),
    (b'+HI {"v":2}\r\n', 'HI {"v":2}'),
    (b"+OK\n", "OK"),
    (b"+\r\n", ""),
    (NULL, None),
    (b"$0\r\n\r\n", b""),
    (bulk(b'{"a":"\r\n$5"}'), b'{"a":"\r\n$5"}'),
    (integer(42), 42),
    (integer(-1), -1),
    (b"-ERR Job not found abc\r\n", ErrorReply("ERR", "Job not found abc")),
    (b"-NOTUNIQUE Job not unique\r\n", ErrorReply("NOTUNIQUE", "Job not unique")),
    (b"-oh dear\r\n", ErrorReply("ERR", "oh dear")),
    (b"-ERR\r\n", ErrorReply("ERR", "")),
    ("+é\r\n".encode(), "é"),
]


@pytest.mark.parametrize(("data", "reply"), CASES)
def test_whole_byte_by_byte_and_with_trailing_bytes(data: bytes, reply: Reply) -> None:
    assert ReplyParser().feed(data) == [reply]
    parser = ReplyParser()
    assert [r for i in range(len(data)) for r in parser.feed(data[i : i + 1])] == [reply]
    assert ReplyParser().feed(data + data + b"$3\r\nab") == [reply, reply]


def test_all_at_once() -> None:
    assert ReplyParser().feed(b"".join(data for data, _ in CASES)) == [reply for _, reply in CASES]


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n", b"\r\n", b"*1\r\n", b"$x\r\n", b"$-2\r\n", b"$\r\n", b"$ 1\r\n", b":1.5\r\n",
        b":\r\n", b"+\xff\r\n", b"$1\r\nabc", b"$99999999999999999999\r\n", b"+" + b"x" * 70_000, b"$+1\r\n",
        b":1_0\r\n",
    ],
)  # fmt: skip
def test_garbage(garbage: bytes) -> None:
    with pytest.raises(PeerError):
        ReplyParser().feed(garbage)
    slow = ReplyParser()
    with pytest.raises(PeerError):
        _ = [slow.feed(garbage[index : index + 1]) for index in range(len(garbage))]
    after = ReplyParser()
    assert after.feed(OK + garbage) == ["OK"]
    assert isinstance(after.failure, PeerError)
    with pytest.raises(PeerError):
        after.feed(OK)


def test_limit() -> None:
    assert ReplyParser(limit_bytes=3).feed(bulk(b"abc")) == [b"abc"]
    with pytest.raises(PeerError, match="4 bytes"):
        ReplyParser(limit_bytes=3).feed(b"$4\r\n")


def test_errors_are_one_line() -> None:
    assert error(Refusal("Job not unique", "NOTUNIQUE")) == b"-NOTUNIQUE Job not unique\r\n"
    assert error(Refusal("a\r\nb\nc")) == b"-ERR a  b c\r\n"
    assert error(Refusal("é \ud800")) == "-ERR é ?\r\n".encode()
    long = error(Refusal("é" * 5000))
    assert len(long.decode()) == 1000 + len("-\r\n")


@given(st.text(), st.sampled_from(["ERR", "NOTUNIQUE", "SHUTDOWN"]))
def test_any_error_comes_through(text: str, code: str) -> None:
    (reply,) = ReplyParser().feed(error(Refusal(text, code)))
    assert isinstance(reply, ErrorReply)
    assert reply.code == code
    assert reply.message == f"{code} {text}"[:1000].replace("\r", " ").replace("\n", " ")[len(code) + 1 :]
    assert reply.refusal().code == code


replies = st.one_of(
    st.binary(max_size=40).map(lambda data: (bulk(data), data)),
    st.integers(-(10**15), 10**15).map(lambda number: (integer(number), number)),
    st.just((OK, "OK")),
    st.just((NULL, None)),
)


def test_what_was_searched_of_one_line_is_not_taken_for_searched_of_the_next() -> None:
    parser = ReplyParser()
    assert parser.feed(b"+OK\r") == []
    assert parser.feed(b"\n:1\r\n") == ["OK", 1]
    assert parser.feed(b"+OK\r\n+OK\r") == ["OK"]
    assert parser.feed(b"\n$2\r\n{}\r\n") == ["OK", b"{}"]


@given(st.lists(replies, max_size=8), st.data())
def test_splits_do_not_matter(pairs: list[tuple[bytes, Reply]], data: st.DataObject) -> None:
    whole = b"".join(sent for sent, _ in pairs)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6))), len(whole)]
    parser = ReplyParser()
    got = [reply for a, b in pairwise(edges) for reply in parser.feed(whole[a:b])]
    assert got == [reply for _, reply in pairs]
