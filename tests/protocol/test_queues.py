"""The names of queues in FETCH and QUEUE, and the exact words with which bad ones are refused."""

import pytest

from lineshaft.errors import Refusal
from lineshaft.protocol.queues import parse_fetch, parse_names, parse_queue


def refusal(parse: object, argument: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        parse(argument)  # type: ignore[operator]
    return str(caught.value)


def test_names() -> None:
    assert parse_names(b"critical default") == ["critical", "default"]
    assert parse_names(b"  a \t b  ") == ["a", "b"]
    assert parse_names(b"critical:5 *") == ["critical:5", "*"]
    assert parse_names(b"") == parse_names(b" ") == []
    assert parse_names("é".encode()) == ["é"]
    assert len(parse_names(b"q " * 1000)) == 1000


def test_bad_names() -> None:
    assert refusal(parse_names, b"a \xff") == "invalid queue name: not UTF-8"
    assert refusal(parse_names, b"q " * 1001) == "too many queue names: the limit is 1000"
    assert refusal(parse_names, b"q" * 1001) == "invalid queue name: longer than 1000 characters"
    assert parse_names(b"q" * 1000) == ["q" * 1000]


def test_queue() -> None:
    assert parse_queue(b"PAUSE a b") == ("PAUSE", ["a", "b"])
    assert parse_queue(b"pause *") == ("PAUSE", ["*"])
    assert parse_queue(b"Latency  a ") == ("LATENCY", ["a"])
    assert parse_queue(b"RESUME") == parse_queue(b" resume ") == ("RESUME", [])
    assert refusal(parse_queue, b"what a") == "no such QUEUE subcommand: WHAT"
    assert refusal(parse_queue, b"") == refusal(parse_queue, b" ") == "no such QUEUE subcommand: "
    assert refusal(parse_queue, b"\xff a") == "no such QUEUE subcommand: \ufffd"
    assert refusal(parse_queue, b"PAUSE \xff") == "invalid queue name: not UTF-8"


def test_fetch_names_and_weights() -> None:
    assert parse_fetch(b"critical default") == (["critical", "default"], None)
    assert parse_fetch(b"a a") == (["a", "a"], None), "without weights nothing is looked at"
    assert parse_fetch(b"critical:5 default:3 bulk") == (
        ["critical", "default", "bulk"],
        {"critical": 5, "default": 3, "bulk": 1},
    )
    assert parse_fetch(b"a:2 b a a:1000000") == (["a", "b"], {"a": 1000003, "b": 1})
    assert parse_fetch(b"a:007") == (["a"], {"a": 7})


@pytest.mark.parametrize(
    "said", ["a:0", "a:-1", "a:+1", "a:1.0", "a:1e3", "a:", "a:x", "a:1:1", "a:1000001", "a:\u0663"]
)
def test_a_bad_weight(said: str) -> None:
    expected = f"invalid weight in '{said}': a weight is a whole number from 1 to 1000000"
    assert refusal(parse_fetch, f"b:1 {said} c".encode()) == expected


def test_a_weight_of_nothing_and_a_long_name() -> None:
    assert refusal(parse_fetch, b":5") == "invalid queue name in ':5': it is empty"
    assert len(refusal(parse_fetch, b"q" * 900 + b":x")) < 200
    assert refusal(parse_fetch, b"a:1 \xff") == "invalid queue name: not UTF-8"
