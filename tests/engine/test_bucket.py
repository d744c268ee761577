"""A bucket gives out what its rate says, to the millisecond, and never more."""

from hypothesis import given
from hypothesis import strategies as st

from lineshaft.engine.bucket import Bucket, Rate

NOW = 1_764_000_000_000


def test_a_new_bucket_is_full() -> None:
    bucket = Bucket(Rate(3, 60_000), NOW)
    assert [bucket.take(NOW) for _ in range(4)] == [True, True, True, False]


def test_the_next_token_comes_when_it_says() -> None:
    bucket = Bucket(Rate(3, 1000), NOW)
    assert bucket.next_at(NOW) == NOW
    for _ in range(3):
        bucket.take(NOW)
    at = bucket.next_at(NOW)
    assert at == NOW + 334  # a third of a second, rounded up
    assert not bucket.take(at - 1)
    assert bucket.take(at)
    assert bucket.next_at(at) == NOW + 667


def test_when_it_is_full_again() -> None:
    bucket = Bucket(Rate(10, 60_000), NOW)
    assert bucket.full_at(NOW) == NOW
    bucket.take(NOW)
    assert bucket.full_at(NOW) == NOW + 6000
    assert bucket.full_at(NOW + 5000) == NOW + 6000
    assert bucket.full_at(NOW + 9000) == NOW + 9000


def test_a_clock_that_steps_back_brings_and_takes_nothing() -> None:
    bucket = Bucket(Rate(1, 1000), NOW)
    assert bucket.take(NOW)
    assert bucket.next_at(NOW - 3_600_000) == NOW - 3_600_000 + 1000
    assert bucket.take(NOW - 3_600_000 + 1000)


def test_it_comes_back_as_it_was_written() -> None:
    bucket = Bucket(Rate(4, 1000), NOW)
    bucket.take(NOW)
    again = Bucket.restore(Rate(4, 1000), bucket.record())
    assert [again.take(NOW) for _ in range(4)] == [True, True, True, False]


def test_another_rate_keeps_the_tokens_that_fit() -> None:
    bucket = Bucket(Rate(4, 1000), NOW)
    bucket.take(NOW)
    slower = Bucket.restore(Rate(2, 60_000), bucket.record())
    assert [slower.take(NOW) for _ in range(3)] == [True, True, False]
    faster = Bucket.restore(Rate(100, 60_000), bucket.record())
    assert [faster.take(NOW) for _ in range(4)] == [True, True, True, False]


@given(
    tokens=st.integers(1, 50),
    per_ms=st.integers(1, 10_000),
    steps=st.lists(st.integers(0, 3000), min_size=1, max_size=60),
)
def test_never_more_than_the_rate_and_never_less(tokens: int, per_ms: int, steps: list[int]) -> None:
    """Whoever always takes what is there gets a full bucket and then exactly what flowed in."""
    bucket, now, taken = Bucket(Rate(tokens, per_ms), NOW), NOW, 0
    level, at = tokens * per_ms, NOW
    for step in steps:
        now += step
        level, at = min(level + (now - at) * tokens, tokens * per_ms), now
        while bucket.take(now):
            taken += 1
            level -= per_ms
        assert 0 <= level < per_ms
        assert bucket.next_at(now) == now + -(-(per_ms - level) // tokens)
    assert taken <= tokens + (now - NOW) * tokens // per_ms
