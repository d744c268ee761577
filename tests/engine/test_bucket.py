"""The token bucket: exact in whole milliseconds, never more than its rate at once, and never locked by a clock."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from lineshaft.engine.bucket import Bucket

START = 1_700_000_000_000


def drain(bucket: Bucket, now: int) -> int:
    taken = 0
    while bucket.has_token(now):
        bucket.take(now)
        taken += 1
    return taken


def test_a_full_bucket_gives_its_rate_and_then_one_by_one() -> None:
    bucket = Bucket(100, 60_000, at=START)
    assert bucket.tokens(START) == 100
    assert drain(bucket, START) == 100
    assert bucket.next_at(START) == START + 600
    assert drain(bucket, START + 599) == 0
    assert drain(bucket, START + 600) == 1
    assert drain(bucket, START + 3600) == 5
    assert drain(bucket, START + 10**9) == 100, "more than its rate is never there"


def test_what_does_not_divide_is_not_lost() -> None:
    bucket = Bucket(7, 1000, at=START)
    assert drain(bucket, START) == 7
    times = []
    now = START
    for _ in range(14):
        now = bucket.next_at(now)
        bucket.take(now)
        times.append(now - START)
    assert times[:3] == [143, 286, 429]
    assert times[6] == 1000
    assert times[13] == 2000, "exact after a whole round, whatever was rounded up on the way"


def test_a_clock_that_is_set_back_neither_gives_nor_locks() -> None:
    bucket = Bucket(1, 1000, at=START)
    bucket.take(START)
    hour = 3_600_000
    assert not bucket.has_token(START - hour)
    assert bucket.next_at(START - hour) == START - hour + 1000
    assert bucket.has_token(START - hour + 1000)


def test_another_rate_goes_on_with_the_debt() -> None:
    bucket = Bucket(10, 1000)
    bucket.owe(4 * 60_000, 60_000, START, START)
    assert bucket.tokens(START) == 6
    bucket.owe(400 * 60_000, 60_000, START, START)
    assert bucket.tokens(START) == 0
    bucket.owe(10 * 1000, 1000, START + 9_000_000, START)
    assert bucket.next_at(START) == START + 100, "an instant to come is now"


@given(
    rate=st.integers(1, 50),
    per=st.integers(1, 5000),
    steps=st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 5)), max_size=50),
)
def test_against_fractions(rate: int, per: int, steps: list[tuple[int, int]]) -> None:
    bucket, level, now = Bucket(rate, per, at=START), Fraction(rate), START
    for passed, wanted in steps:
        now += passed
        level = min(level + Fraction(passed * rate, per), Fraction(rate))
        for _ in range(wanted):
            assert bucket.has_token(now) == (level >= 1)
            assert bucket.tokens(now) == level.__floor__()
            if level >= 1:
                bucket.take(now)
                level -= 1
            else:
                later = bucket.next_at(now)
                assert level + Fraction((later - now) * rate, per) >= 1
                assert level + Fraction((later - 1 - now) * rate, per) < 1
