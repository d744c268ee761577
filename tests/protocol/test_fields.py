"""What a typed decoder takes, what it refuses, and with which words."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, Struct

from lineshaft.errors import Refusal
from lineshaft.fields import HEADROOM, Decoder

ABSENT = Raw(b"")


class Record(Struct, forbid_unknown_fields=True):
    jid: str = ""
    errtype: str | None = None
    number: int | None = None
    args: Raw = ABSENT


folding = Decoder(Record)
exact = Decoder(Record, exact=True)


def refusal(data: bytes, decoder: Decoder[Record] = folding) -> str:
    with pytest.raises(Refusal) as caught:
        decoder.decode(data)
    assert caught.value.code == "ERR"
    return str(caught.value)


def test_plain_object() -> None:
    record = folding.decode(b'{"jid":"a","errtype":null,"args":[1.10, "x"]}')
    assert (record.jid, record.errtype) == ("a", None)
    assert bytes(record.args) == b'[1.10, "x"]'


def test_unknown_keys_are_dropped_and_raw_parts_kept_byte_for_byte() -> None:
    record = folding.decode(b'{"blargh":{"a":[1]},"jid":"a","args":{"b":1e400, "a":1.10}}')
    assert record.jid == "a"
    assert bytes(record.args) == b'{"b":1e400, "a":1.10}'
    assert exact.decode(b'{"blargh":1,"jid":"a"}').jid == "a"


@pytest.mark.parametrize(
    ("data", "errtype"),
    [
        (b'{"errType":"a"}', "a"),
        (b'{"ERRTYPE":"a","x":1}', "a"),
        (b'{"errtype":"a","errType":"b"}', "a"),
        (b'{"errType":"b","errtype":"a"}', "a"),
        (b'{"errType":"a","ErrType":"b"}', "b"),
        (b'{"errtype":"a","errtype":"b"}', "b"),
        (b'{"errType":"a","errType":"b"}', "b"),
        (b'{"err\\u0054ype":"a"}', "a"),
    ],
)
def test_case_of_keys(data: bytes, errtype: str) -> None:
    assert folding.decode(data).errtype == errtype


def test_exact_keys_do_not_fold() -> None:
    assert exact.decode(b'{"JID":"a"}').jid == ""


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"nonsense", "invalid character"),
        (b'{"jid":"a"}}', "trailing characters"),
        (b'{"jid":"a"} x', "trailing characters"),
        (b'{"jid":5}', "Expected `str`, got `int` - at `$.jid`"),
        (b'{"JID":5}', "Expected `str`, got `int` - at `$.jid`"),
        (b'{"odd":1,"number":"5"}', "Expected `int | null`, got `str` - at `$.number`"),
        (b"[]", "Expected `object`, got `array`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"jid":"\xff"}', "not UTF-8 (byte 8: invalid start byte)"),
        (b'{"args":["\xc3\xa9\xff"]}', "not UTF-8 (byte 12: invalid start byte)"),
        (b'{"args":"\xed\xa0\x80"}', "not UTF-8 (byte 9"),
        (b'{"odd":"\xc0\x80"}', "not UTF-8 (byte 8"),
        (b'\xef\xbb\xbf{"jid":"a"}', "invalid character"),
    ],
)
def test_refusals_name_what_is_wrong(data: bytes, named: str) -> None:
    text = refusal(data)
    assert text.startswith("invalid JSON: ")
    assert named in text


@pytest.mark.parametrize(
    "part",
    [
        b'"a\x01b"', b'"a\nb"', b'"a\x00b"', rb'"\ud800"', rb'"\udc00"', rb'"\ud800\ud800"', rb'"\ud800x      "',
        rb'"\q"', rb'"\u12"', rb'"\uZZZZ"', b"NaN", b"Infinity", b"-Infinity", b"-", b"01", b"-01", b"1.", b".5", b"1e",
        b"+1", b"0x1", b"[1,]", b'{"a":1,}', b"{1:2}", b"'a'", b"/**/1", b"[1", b"tru", b"truex", b"1 2", b"\x0c1", b"",
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", [b"args", b"ARGS", b"odd"])
def test_raw_and_dropped_parts_are_checked_as_json(key: bytes, part: bytes) -> None:
    assert refusal(b'{"%b":%b}' % (key, part)).startswith("invalid JSON: ")


@pytest.mark.parametrize(
    "part", [b"1e999", b"1" * 5000, b'{"a":1,"a":2}', rb'"\ud83d\ude00\u0000"', b'"\x7f"', '"é😀"'.encode(), b"[ ]"]
)
def test_raw_parts_are_not_judged_beyond_that(part: bytes) -> None:
    assert bytes(folding.decode(b'{"args":%b}' % part).args) == part
    assert bytes(folding.decode(b'{"odd":0,"Args":%b}' % part).args) == part


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("key", [b"args", b"odd", b"jid"])
def test_deep_nesting_is_refused(opening: bytes, closed: bool, key: bytes) -> None:
    closing = {b"[": b"]", b'{"a":': b"}"}[opening] if closed else b""
    data = b'{"%b":%b0%b}' % (key, opening * 100_000, closing * 100_000)
    assert refusal(data) == "invalid JSON: too deeply nested"
    with pytest.raises(Refusal, match="too deeply nested"):
        folding.decode_list(b"[%b]" % data)


def test_what_is_accepted_can_be_read_further_down_a_stack() -> None:
    def nested(levels: int) -> bytes:
        return b'{"args":%b%b}' % (b"[" * levels, b"]" * levels)

    accepted = 0
    for levels in range(300, 1000, 5):
        try:
            folding.decode(nested(levels))
        except Refusal:
            break
        accepted = levels
    assert 300 < accepted < 1000
    # Deeper by nearly the headroom, without the headroom's own check, as a reader of stored jobs would be.
    plain = msgspec.json.Decoder(Record).decode

    def plainly(frames: int) -> Record:
        return plainly(frames - 1) if frames else plain(nested(accepted))

    assert plainly(HEADROOM - 10).args


def test_lists() -> None:
    records = folding.decode_list(b'[{"jid":"a"},{"jid":"b","odd":1},{"ErrType":"E"}]')
    assert [(r.jid, r.errtype) for r in records] == [("a", None), ("b", None), ("", "E")]
    assert folding.decode_list(b"[]") == []


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b'[{"jid":"a"},5]', "Expected `object`, got `int` - at `$[1]`"),
        (b'[{"jid":"a","odd":1},{"JID":5}]', "Expected `str`, got `int` - at `$[1].jid`"),
        (b'[{"jid":"a"},[]]', "Expected `object`, got `array` - at `$[1]`"),
        (b'[{"jid":"a"},null]', "Expected `object`, got `null` - at `$[1]`"),
        (b'{"jid":"a"}', "Expected `array`, got `object`"),
        (b'[{"jid":"a"}', "truncated"),
        (b'[{"jid":"a"},]', "trailing comma"),
        (b'[{"odd":"\xff"}]', "not UTF-8 (byte 9"),
        (b"", "truncated"),
    ],
)
def test_a_bad_element_refuses_the_list(data: bytes, named: str) -> None:
    with pytest.raises(Refusal) as caught:
        folding.decode_list(data)
    assert str(caught.value).startswith("invalid JSON: ")
    assert named in str(caught.value)


def test_a_record_type_that_hides_odd_keys_is_a_mistake() -> None:
    class Lax(Struct):
        jid: str = ""

    with pytest.raises(AssertionError):
        Decoder(Lax)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.text(), json_values, st.dictionaries(st.text(), json_values, max_size=3), st.booleans())
def test_round_trip(jid: str, args: Any, odd: dict[str, Any], upper: bool) -> None:
    """Whatever stands around them, known fields come through, and Raw parts byte for byte."""
    known = {"jid", "errtype", "number", "args"}
    around = {key: value for key, value in odd.items() if key.lower() not in known}
    sent = msgspec.json.encode({**around, "JID" if upper else "jid": jid, "args": args})
    record = folding.decode(sent)
    assert record.jid == jid
    assert bytes(record.args) == msgspec.json.encode(args)
    assert [bytes(r.args) for r in folding.decode_list(b"[%b,%b]" % (sent, sent))] == [bytes(record.args)] * 2


@given(st.binary(max_size=60))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    """Decoding gives a record or a Refusal, never anything else."""
    for decode in (folding.decode, folding.decode_list, exact.decode):
        with suppress(Refusal):
            decode(data)
