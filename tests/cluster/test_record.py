"""The record: bytes and back, and what is not one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.cluster.record import (
    HEADER_BYTES,
    Leadership,
    Record,
    UnknownVersion,
    cut,
    decode_leadership,
    decode_record,
    decode_transactions,
    encode_leadership,
    encode_transaction,
    join,
)
from lineshaft.errors import StoreError

changes = st.dictionaries(st.binary(max_size=9), st.none() | st.binary(max_size=9), max_size=5)
ranges = st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), max_size=2)


@settings(deadline=None)
@given(st.lists(st.tuples(changes, ranges), max_size=4), st.integers(1, 50))
def test_turns_come_out_as_they_went_in(
    turns: list[tuple[dict[bytes, bytes | None], list[tuple[bytes, bytes]]]], limit: int
) -> None:
    pieces = cut(join([encode_transaction(*turn) for turn in turns]), limit)
    records = [Record(7, number, len(pieces) - number, piece) for number, piece in enumerate(pieces, 1)]
    read = [decode_record(record.encode()) for record in records]
    assert read == records
    assert all(len(record.encode()) <= limit + HEADER_BYTES for record in records)
    assert decode_transactions(b"".join(record.body for record in records)) == turns


def test_who_leads_is_in_the_record_that_begins_an_epoch() -> None:
    leadership = Leadership("a", "life-1")
    assert decode_leadership(encode_leadership(leadership)) == leadership


@pytest.mark.parametrize("data", [b"", b"LSH", b"hello, this is somebody else's message", b"lsh" + bytes(40)])
def test_what_others_wrote_is_no_record(data: bytes) -> None:
    assert decode_record(data) is None


def test_a_newer_version_ends_the_reading() -> None:
    data = bytearray(Record(1, 1, 0, b"x").encode())
    data[3] += 1
    with pytest.raises(UnknownVersion, match="upgrade"):
        decode_record(bytes(data))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\x01"])
def test_a_body_that_no_leader_wrote_is_an_error_of_the_store(body: bytes) -> None:
    with pytest.raises(StoreError):
        decode_transactions(body)
    with pytest.raises(StoreError):
        decode_leadership(body)
