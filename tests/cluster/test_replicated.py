"""The replicated store: to its engine it is a store like any other, whatever of it stands in the log already."""

from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.cluster.fold import Fold
from lineshaft.cluster.memory_log import MemoryLink, MemoryLog
from lineshaft.cluster.record import Record
from lineshaft.cluster.replica import Replica, merged
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.cluster.writer import FOLLOW_MS, Turn, Writer
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.errors import StoreBusy, StoreError
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Changes, KeyRange

KEYS = [bytes([kind, row]) for kind in b"BC" for row in b"012"]
RANGES = [(b"B", b"C"), (b"C", b"D")]

transactions = st.tuples(
    st.dictionaries(st.sampled_from(KEYS), st.none() | st.sampled_from([b"x", b"y"]), max_size=4),
    st.lists(st.sampled_from(RANGES), max_size=1),
)
steps = st.one_of(st.tuples(st.just("commit"), transactions), st.tuples(st.just("carry"), st.integers(1, 4)))


def made(log: MemoryLog) -> tuple[ReplicatedStore, MemoryLink, MemoryStore]:
    """A leader's store, its way to the log, and what is applied."""
    local, link = MemoryStore(), MemoryLink(log)
    replica = Replica(local, log.log_id)
    record = Record(1, 0, 0, b"")
    log.append(record.encode(), 0, "epoch")
    replica.fold.take(1, record)

    def stands(fold: Fold, turns: list[Turn]) -> None:
        store.stands(fold, turns)

    writer = Writer(
        link, replica.fold, stands, pytest.fail, soon=lambda call: call(), clock=count(0, FOLLOW_MS).__next__
    )
    store = ReplicatedStore(replica, writer)
    return store, link, local


@settings(deadline=None)
@given(st.lists(steps, max_size=30))
def test_it_reads_as_a_store_that_has_applied_everything(play: list[tuple[str, object]]) -> None:
    log, model = MemoryLog(), MemoryStore()
    store, link, local = made(log)
    for step, what in play:
        if step == "commit":
            changes, cleared = what  # type: ignore[misc]
            store.commit(dict(changes), cleared)
            model.commit(changes, cleared)
        else:
            assert isinstance(what, int)
            for _ in range(min(what, len(link.requests))):
                request = link.requests.pop(0)
                request.arrive()
                request.answer()
        for key in KEYS:
            assert store.get(key) == model.get(key)
        for start, end in [*RANGES, (b"B0", b"B2"), (b"C1", b"C2")]:
            for reverse in (False, True):
                for limit in (1, 9):
                    found = store.scan(start, end, limit=limit, reverse=reverse)
                    assert found == model.scan(start, end, limit=limit, reverse=reverse)
    link.settle()
    assert store.standing == store.committed
    assert store.writer.is_idle
    store.apply_rest()
    assert store.applied == store.committed
    applied = [row for row in local.scan(b"", b"\xff", limit=99) if row[0] != POSITION_KEY]
    assert applied == model.scan(b"", b"\xff", limit=99)


@settings(deadline=None)
@given(st.lists(transactions, min_size=1, max_size=5))
def test_several_transactions_in_one_have_the_same_effect(several: list[tuple[Changes, list[KeyRange]]]) -> None:
    one_by_one, at_once = MemoryStore(), MemoryStore()
    for store in (one_by_one, at_once):
        store.commit(dict.fromkeys(KEYS, b"before"))
    for changes, cleared in several:
        one_by_one.commit(changes, cleared)
    at_once.commit(*merged([(dict(changes), cleared) for changes, cleared in several]))
    assert at_once.scan(b"", b"\xff", limit=99) == one_by_one.scan(b"", b"\xff", limit=99)


def test_a_reader_of_the_log_has_the_same_rows() -> None:
    log = MemoryLog()
    store, link, local = made(log)
    store.commit({b"B0": b"x", b"B1": b"y"})
    store.commit({b"B0": None, b"C0": b"z"}, [(b"B", b"C")])
    link.settle()
    store.apply_rest()
    other = MemoryStore()
    replica = Replica(other, log.log_id)
    for sequence, data in enumerate(log.entries, 1):
        replica.take(sequence, data)
    assert other.scan(b"", b"\xff", limit=99) == local.scan(b"", b"\xff", limit=99)


class Busy(MemoryStore):
    """A store that asks for a pause when it is told to."""

    is_busy = False

    def commit(self, changes: Changes, cleared: object = ()) -> None:
        if self.is_busy:
            raise StoreBusy("a write stall")
        super().commit(changes, cleared)  # type: ignore[arg-type]


def test_a_local_store_that_asks_for_a_pause_holds_nobody_up() -> None:
    log = MemoryLog()
    store, link, _ = made(log)
    local = store.replica.store = Busy()
    local.is_busy = True
    store.commit({b"B0": b"x"})
    link.settle()
    assert (store.standing, store.unapplied) == (1, 1)
    assert store.get(b"B0") == b"x"
    local.is_busy = False
    store.apply_rest()
    assert store.unapplied == 0
    assert local.get(b"B0") == b"x"


def test_an_entry_is_given_again_after_a_pause() -> None:
    log = MemoryLog()
    store, link, _ = made(log)
    store.commit({b"B0": b"x"})
    link.settle()
    local = Busy()
    replica = Replica(local, log.log_id)
    replica.take(1, log.entries[0])
    local.is_busy = True
    with pytest.raises(StoreBusy):
        replica.take(2, log.entries[1])
    local.is_busy = False
    replica.take(2, log.entries[1])
    replica.take(2, log.entries[1])
    assert (local.get(b"B0"), replica.applied) == (b"x", 2)


class Counting(Busy):
    """A store that counts its commits."""

    commits = 0

    def commit(self, changes: Changes, cleared: object = ()) -> None:
        super().commit(changes, cleared)
        self.commits += 1


def rows(store: MemoryStore) -> list[tuple[bytes, bytes]]:
    return store.scan(b"", b"\xff", limit=99)


def logged(*turns: dict[bytes, bytes | None]) -> MemoryLog:
    """A log that says so, one turn in each entry."""
    log = MemoryLog()
    store, link, _ = made(log)
    for changes in turns:
        store.commit(changes)
        link.settle()
    return log


def test_a_leader_applies_in_slices_what_stands() -> None:
    store, link, _ = made(MemoryLog())
    local = store.replica.store = Counting()
    for turn in range(200):
        store.commit({b"B%03d" % turn: b"x" * 1000, b"C": b"%d" % turn})
        link.settle()
    assert store.standing == 200
    # Some of them, in one commit for each slice, the rest when it is time.
    assert 0 < store.applied < 200
    assert local.commits == store.applied // 65 == 3
    assert (store.get(b"B199"), local.get(b"B199")) == (b"x" * 1000, None)
    store.apply_rest()
    assert (store.applied, local.commits) == (200, 4)
    assert local.get(b"C") == b"199"


def test_a_reader_gathers_entries_and_writes_them_as_one() -> None:
    log = logged({b"B0": b"x"}, {b"B0": None, b"B1": b"y"})
    local = Counting()
    replica = Replica(local, log.log_id, gather_bytes=1 << 20)
    for sequence, data in enumerate(log.entries, 1):
        replica.take(sequence, data)
    assert (replica.fold.sequence, replica.applied, local.commits) == (3, 0, 0)
    replica.write()
    replica.write()
    assert (replica.applied, local.commits) == (3, 1)
    assert [key for key, _ in rows(local)] == [POSITION_KEY, b"B1"]


def test_what_was_gathered_and_is_lost_is_read_again() -> None:
    log = logged({b"B0": b"x"}, {b"B1": b"y"})
    local = MemoryStore()
    replica = Replica(local, log.log_id, gather_bytes=1 << 20)
    replica.take(1, log.entries[0])
    replica.take(2, log.entries[1])
    replica.write()
    replica.take(3, log.entries[2])
    again = Replica(local, log.log_id)
    assert again.fold.sequence == 2
    again.take(3, log.entries[2])
    assert [key for key, _ in rows(local)] == [POSITION_KEY, b"B0", b"B1"]


def test_an_entry_that_a_pause_turned_away_is_as_if_it_had_not_come() -> None:
    log = logged({b"B0": b"x"}, {b"B1": b"y" * 1000})
    local = Busy()
    replica = Replica(local, log.log_id, gather_bytes=1000)
    replica.take(1, log.entries[0])
    replica.take(2, log.entries[1])
    local.is_busy = True
    for _ in range(2):
        with pytest.raises(StoreBusy):
            replica.take(3, log.entries[2])
        with pytest.raises(StoreBusy):
            replica.write()
    assert (replica.fold.sequence, replica.applied) == (2, 0)
    local.is_busy = False
    replica.write()
    assert (local.get(b"B0"), local.get(b"B1"), replica.applied) == (b"x", None, 2)
    replica.take(3, log.entries[2])
    replica.write()
    assert (local.get(b"B1"), replica.applied) == (b"y" * 1000, 3)


@settings(deadline=None)
@given(st.lists(transactions, max_size=20), st.integers(0, 400), st.sets(st.integers(0, 20)))
def test_a_reader_that_gathers_comes_to_the_same(
    several: list[tuple[Changes, list[KeyRange]]], gather_bytes: int, writes: set[int]
) -> None:
    log = MemoryLog()
    store, link, local = made(log)
    for changes, cleared in several:
        store.commit(changes, cleared)
        link.settle()
    store.apply_rest()
    other = MemoryStore()
    replica = Replica(other, log.log_id, gather_bytes=gather_bytes)
    for sequence, data in enumerate(log.entries, 1):
        replica.take(sequence, data)
        if sequence in writes:
            replica.write()
    replica.write()
    if several:
        assert rows(other) == rows(local)


def test_a_store_that_does_not_lead_any_more_refuses() -> None:
    store, _, _ = made(MemoryLog())
    store.commit({b"B0": b"x"})
    store.close()
    with pytest.raises(StoreError, match="lead"):
        store.commit({b"B0": b"y"})


def test_a_store_that_is_paused_asks_to_wait() -> None:
    store, _, _ = made(MemoryLog())
    store.pause()
    with pytest.raises(StoreBusy):
        store.commit({b"B0": b"x"})


def test_a_copy_of_a_leader_that_was_deposed_is_refused(tmp_path: Path) -> None:
    store, _, _ = made(MemoryLog())
    store.commit({b"B0": b"x"})
    store.close()
    with pytest.raises(StoreError, match="before the copy"):
        store.checkpoint(tmp_path / "copy")
