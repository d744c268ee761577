"""The arguments of the verbs, and the exact words with which bad ones are refused."""

import msgspec
import pytest

from lineshaft.errors import Refusal
from lineshaft.protocol.commands import Beat, Fail, parse_ack, parse_beat, parse_fail


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
