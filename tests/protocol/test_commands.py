"""The arguments of the verbs, and the exact words with which bad ones are refused."""

import msgspec
import pytest

from lineshaft.errors import Refusal
from lineshaft.protocol.commands import (
    Beat,
    Fail,
    Filter,
    Mutate,
    parse_ack,
    parse_beat,
    parse_fail,
    parse_fetch,
    parse_mutate,
    parse_names,
    parse_queue,
)


def refusal(parse: object, argument: bytes) -> str:
    with pytest.raises(Refusal) as caught:
        parse(argument)  # type: ignore[operator]
    return str(caught.value)


def test_ack() -> None:
    assert parse_ack(b'{"jid":"abcdefgh"}').jid == "abcdefgh"
    assert parse_ack(b'{"jid": "abcdefgh", "other": [1]} ').jid == "abcdefgh"
    assert parse_ack(b'{"jid":"a"}').result is msgspec.UNSET
    result = parse_ack(b'{"jid":"a","result":{"n":1.10}}').result
    assert isinstance(result, msgspec.Raw)
    assert bytes(result) == b'{"n":1.10}'
    assert bytes(parse_ack(b'{"jid":"a","result":null}').result) == b"null"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        (b"", "truncated"),
        (b" ", "truncated"),
        (b"abc", "invalid character"),
        (b"{}", "missing required field `jid`"),
        (b'{"JID":"a"}', "missing required field `jid`"),
        (b'{"jid":5}', "Expected `str`"),
        (b'{"jid":null}', "Expected `str`"),
        (b'"a"', "Expected `object`"),
        (b'{"jid":"\xff"}', "not UTF-8"),
    ],
)
def test_bad_acks(argument: bytes, named: str) -> None:
    text = refusal(parse_ack, argument)
    assert text.startswith("invalid JSON: ")
    assert named in text


@pytest.mark.parametrize(
    ("argument", "fail"),
    [
        (b'{"jid":"a","errtype":"E","message":"m","backtrace":["x","y"]}', Fail("a", "E", "m", ["x", "y"])),
        (b'{"jid":"a","errType":"E"}', Fail("a", "E", "unknown", None)),
        (b'{"jid":"a"}', Fail("a", "unknown", "unknown", None)),
        (b'{"jid":"a","errtype":"","message":"","backtrace":[]}', Fail("a", "unknown", "unknown", None)),
        (b'{"jid":"a","errtype":null,"message":null,"backtrace":null}', Fail("a", "unknown", "unknown", None)),
        (b'{"jid":"a","backtrace":["",null]}', Fail("a", "unknown", "unknown", ["", ""])),
        (b'{"jid":"a","retry_in":0.5,"x":{}}', Fail("a", "unknown", "unknown", None, 500)),
    ],
)
def test_fail(argument: bytes, fail: Fail) -> None:
    assert parse_fail(argument) == fail


def test_fail_is_trimmed() -> None:
    sent = {"jid": "a", "errtype": "é" * 101, "message": "é" * 1001, "backtrace": ["é" * 1001] * 51}
    assert parse_fail(msgspec.json.encode(sent)) == Fail("a", "é" * 100, "é" * 1000, ["é" * 1000] * 50)


@pytest.mark.parametrize("argument", [b"{}", b'{"jid":""}', b'{"jid":null}', b'{"errtype":"E"}'])
def test_fail_without_a_jid(argument: bytes) -> None:
    assert refusal(parse_fail, argument) == "missing JID"


@pytest.mark.parametrize(
    "argument", [b"", b"abc", b"[]", b'{"jid":5}', b'{"jid":"a","message":5}', b'{"jid":"a","backtrace":"x"}', b"\xff"]
)
def test_malformed_fail(argument: bytes) -> None:
    assert refusal(parse_fail, argument).startswith("invalid FAIL ")


def test_beat() -> None:
    assert parse_beat(b'{"wid":"w"}') == Beat("w")
    assert parse_beat(b'{"rss_kb":25900,"wid":"w"}') == Beat("w", 25900)
    assert parse_beat(b'{"Wid":"w","current_state":"quiet","x":1}') == Beat("w", None, "quiet")
    assert parse_beat(b'{"wid":null,"rss_kb":null,"current_state":null}') == Beat()
    for bad in (b"", b'{"wid":5}', b'{"rss_kb":"5"}', b'{"rss_kb":1e3}', b'{"rss_kb":%b}' % (b"9" * 30)):
        assert refusal(parse_beat, bad).startswith("invalid JSON: ")


def test_mutate() -> None:
    assert parse_mutate(b'{"cmd":"clear","target":"dead"}') == Mutate("clear", "dead")
    assert parse_mutate(b'{"cmd":"clear","target":"dead","filter":null}') == Mutate("clear", "dead")
    assert parse_mutate(b'{"filter":{},"cmd":"kill","target":"retries"}') == Mutate("kill", "retries", Filter())
    assert parse_mutate(
        b'{"filter":{"regexp":"*a b*","jobtype":"T","jids":["a","b"]}, "cmd":"discard", "target":"scheduled"}'
    ) == Mutate("discard", "scheduled", Filter(["a", "b"], "T", "*a b*"))
    assert parse_mutate(b'{"filter":{"jids":null,"jobtype":""},"cmd":"kill","x":1}').filter == Filter(jobtype="")


@pytest.mark.parametrize(
    "argument",
    [
        b"", b"{", b"[]", b'{"cmd":5}', b'{"cmd":"kill","target":[]}', b'{"filter":[]}', b'{"filter":{"jids":"a"}}',
        b'{"filter":{"jids":[5]}}', b'{"filter":{"JobType":"a"}}', b'{"filter":{"kind":"a"}}', b'{"cmd":"\xff"}',
    ],
)  # fmt: skip
def test_malformed_mutate(argument: bytes) -> None:
    """An odd filter too: dropping what is not understood would do the command to more jobs than were meant."""
    assert refusal(parse_mutate, argument) == "invalid format"


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
