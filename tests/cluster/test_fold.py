"""The fold: which entries count, for whatever order they stand in."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.cluster.fold import Fold, Gap, Verdict
from lineshaft.cluster.record import Record


def entry(name: str, more: int = 0) -> Record:
    epoch, _, number = name.partition(".")
    return Record(int(epoch), int(number), more, name.encode())


def fold_all(names: list[str]) -> tuple[Fold, list[str]]:
    fold, counted = Fold(), []
    for sequence, name in enumerate(names, 1):
        if fold.take(sequence, entry(name)) is not Verdict.SKIPPED:
            counted.append(name)
        fold.parts = []
    return fold, counted


def test_the_overlap_of_pipelined_appends() -> None:
    # The new leader's epoch took the sequence that the old one's second record expected: that one was refused, and the
    # third and fourth, which expected one more each, were accepted.
    _, counted = fold_all(["1.0", "1.1", "2.0", "1.3", "1.4", "2.1", "2.2"])
    assert counted == ["1.0", "1.1", "2.0", "2.1", "2.2"]


def test_a_record_whose_predecessor_was_refused_waits_to_be_sent_again() -> None:
    _, counted = fold_all(["1.0", "1.1", "1.3", "1.2", "1.3", "1.3"])
    assert counted == ["1.0", "1.1", "1.2", "1.3"]


def test_every_log_of_five_entries_counts_each_epoch_in_order_and_none_after_a_newer() -> None:
    names = ["1.0", "1.1", "1.2", "2.0", "2.1", "2.2"]
    for log in product(names, repeat=5):
        fold, counted = fold_all(list(log))
        numbers = [tuple(map(int, name.split("."))) for name in counted]
        assert numbers == sorted(set(numbers))
        for epoch in (1, 2):
            own = [number for of, number in numbers if of == epoch]
            assert own == list(range(len(own)))
        assert (fold.epoch, fold.number) == (numbers[-1] if numbers else (0, 0))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["1.0", "1.1", "1.2", "2.0", "2.1", "3.0", "3.1"]), max_size=30), st.integers(0, 30))
def test_who_stops_and_reads_on_agrees_with_who_read_it_whole(log: list[str], stop: int) -> None:
    whole, _ = fold_all(log)
    stop = min(stop, len(log))
    first, _ = fold_all(log[:stop])
    again = Fold(first.sequence, first.epoch, first.number)
    for sequence, name in enumerate(log[stop:], stop + 1):
        again.take(sequence, entry(name))
        again.parts = []
    assert (again.sequence, again.epoch, again.number) == (whole.sequence, whole.epoch, whole.number)


def test_a_transaction_in_parts_counts_with_its_last() -> None:
    fold = Fold()
    fold.take(1, entry("1.0"))
    assert fold.take(2, Record(1, 1, 2, b"a")) is Verdict.PART
    assert fold.take(3, Record(1, 3, 0, b"out of order")) is Verdict.SKIPPED
    assert fold.take(4, Record(1, 2, 1, b"b")) is Verdict.PART
    assert fold.take(5, Record(1, 3, 0, b"c")) is Verdict.WHOLE
    assert fold.take_body() == b"abc"


def test_a_new_epoch_drops_parts_that_never_became_whole() -> None:
    fold = Fold()
    fold.take(1, entry("1.0"))
    fold.take(2, Record(1, 1, 1, b"half"))
    assert fold.take(3, entry("2.0")) is Verdict.EPOCH
    assert fold.take(4, Record(1, 2, 0, b"the other half")) is Verdict.SKIPPED
    assert fold.take(5, entry("2.1")) is Verdict.WHOLE
    assert fold.take_body() == b"2.1"


def test_a_gap_is_an_error_and_changes_nothing() -> None:
    fold = Fold()
    fold.take(1, entry("1.0"))
    with pytest.raises(Gap):
        fold.take(3, entry("1.2"))
    assert (fold.sequence, fold.number) == (1, 0)


def test_what_others_wrote_is_skipped() -> None:
    fold = Fold()
    fold.take(1, entry("1.0"))
    assert fold.take(2, None) is Verdict.SKIPPED
    assert fold.take(3, entry("1.1")) is Verdict.WHOLE
