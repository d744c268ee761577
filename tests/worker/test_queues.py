"""The order in which queues are asked."""

from collections import Counter

import pytest

from lineshaft.errors import UsageError
from lineshaft.worker.queues import Queues


def test_strict() -> None:
    queues = Queues(["b", "a"])
    for knows in (True, False):
        assert {queues.fetch_command(knows_weights=knows) for _ in range(20)} == {b"FETCH b a"}


def test_a_server_that_knows_weights_draws_by_itself() -> None:
    assert Queues(["a:8", "b"]).fetch_command(knows_weights=True) == b"FETCH a:8 b:1"


def test_weighted() -> None:
    queues = Queues(["a:8", "b", "c:1"])
    first = Counter(queues.fetch_command(knows_weights=False).split()[1] for _ in range(4000))
    assert queues.names == ["a", "b", "c"]
    # 8 of 10, 1 of 10, 1 of 10; the bounds are six standard deviations away.
    assert 3040 < first[b"a"] < 3360
    assert 280 < first[b"b"] < 520
    assert {len(queues.fetch_command(knows_weights=False).split()) for _ in range(20)} == {4}


@pytest.mark.parametrize("names", [[], ["a", "a"], ["a:0"], ["a:x"], ["a:1000001"], [":3"], [""], ["a b"]])
def test_no_queues(names: list[str]) -> None:
    with pytest.raises(UsageError):
        Queues(names)
