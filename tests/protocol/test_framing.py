"""Lines come out whole, whatever the network did to them, and none beyond the limit."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.protocol.framing import LineBuffer

LIMIT = 64

CASES = [
    (b"INFO\r\n", [b"INFO"], None),
    (b"INFO\n", [b"INFO"], None),
    (b"FLUSH \r\n", [b"FLUSH "], None),
    (b"A\r\nB\nC\r\n", [b"A", b"B", b"C"], None),
    (b"\r\n", [b""], None),
    (b"\n", [b""], None),
    (b"\n\n", [b"", b""], None),
    (b"a\rb\n", [b"a\rb"], None),
    (b"a\r\r\n", [b"a\r"], None),
    (b"END", [], b"END"),
    (b"A\nEND", [b"A"], b"END"),
    (b"END\r", [], b"END"),
    (b"", [], None),
    (b"x" * LIMIT + b"\r\nA\n", [b"x" * LIMIT, b"A"], None),
    (b"x" * LIMIT + b"\n", [b"x" * LIMIT], None),
    (b"x" * LIMIT, [], b"x" * LIMIT),
]


def byte_by_byte(buffer: LineBuffer, data: bytes) -> list[bytes]:
    return [line for index in range(len(data)) for line in buffer.feed(data[index : index + 1])]


@pytest.mark.parametrize(("data", "lines", "last"), CASES)
def test_whole_and_byte_by_byte(data: bytes, lines: list[bytes], last: bytes | None) -> None:
    for feed in (LineBuffer.feed, byte_by_byte):
        buffer = LineBuffer(LIMIT)
        assert feed(buffer, data) == lines
        assert not buffer.overflowed
        assert buffer.close() == last
        assert buffer.close() is None
        assert buffer.pending_bytes == 0


@pytest.mark.parametrize(("data", "lines"), [(data, lines) for data, lines, last in CASES if last is None])
def test_trailing_bytes_wait(data: bytes, lines: list[bytes]) -> None:
    buffer = LineBuffer(LIMIT)
    assert buffer.feed(data + b"PUSH {") == lines
    assert buffer.pending_bytes == 6
    assert buffer.feed(b"}\r\n") == [b"PUSH {}"]


@pytest.mark.parametrize(
    "data",
    [
        b"A\nB\r\n" + b"x" * (LIMIT + 1) + b"\nC\n",
        b"A\nB\r\n" + b"x" * (LIMIT + 1),
        b"A\nB\r\n" + b"x" * (LIMIT + 1) + b"\r\n",
        b"A\nB\r\n" + b"x" * LIMIT + b"\r\r\n",
        b"A\nB\r\n" + b"x" * LIMIT + b"\rC\n",
        b"A\nB\r\n" + b"x" * LIMIT * 5,
    ],
)
def test_overflow(data: bytes) -> None:
    for feed in (LineBuffer.feed, byte_by_byte):
        buffer = LineBuffer(LIMIT)
        assert feed(buffer, data) == [b"A", b"B"]
        assert buffer.overflowed
        assert buffer.feed(b"C\n") == []
        assert buffer.pending_bytes == 0
        assert buffer.close() is None


def test_a_single_line_over_the_limit() -> None:
    buffer = LineBuffer(4)
    assert buffer.feed(b"1234\r\n") == [b"1234"]
    assert buffer.feed(b"12345\n") == []
    assert buffer.overflowed


def test_a_long_line_is_held_once() -> None:
    """16 MiB in small chunks: memory stays near the line's own size, and time near linear."""
    buffer = LineBuffer(16 << 20)
    chunk = b"x" * 4096
    tracemalloc.start()
    try:
        for _ in range(4096):
            assert buffer.feed(chunk) == []
        assert buffer.pending_bytes == 16 << 20
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < (16 << 20) * 1.3
    (line,) = buffer.feed(b"\r\n")
    assert len(line) == 16 << 20
    assert not buffer.overflowed


@given(st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n", b"x" * 9])), st.data())
def test_splits_do_not_matter(parts: list[bytes], data: st.DataObject) -> None:
    """However it is chopped, the lines, the overflow and what is left are the same."""
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    edges = [0, *cuts, len(whole)]
    one, many = LineBuffer(16), LineBuffer(16)
    lines = one.feed(whole)
    assert [line for a, b in pairwise(edges) for line in many.feed(whole[a:b])] == lines
    assert many.overflowed == one.overflowed
    assert many.pending_bytes == one.pending_bytes
    assert many.close() == one.close()
    if not one.overflowed and b"\r" not in whole:
        assert lines == whole.split(b"\n")[:-1]
