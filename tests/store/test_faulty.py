"""The faulty store fails exactly where it was told to, and knows what a crash may leave."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from conformance.store import StoreConformance, StoreMachine, contents
from lineshaft.errors import StoreBusy, StoreError
from lineshaft.store.faulty import Commit, FaultyStore
from lineshaft.store.port import Store


class TestConformance(StoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = FaultyStore()
        yield store
        store.close()


class FaultyMachine(StoreMachine):
    def open_store(self) -> Store:
        return FaultyStore()


TestMachine = FaultyMachine.TestCase
TestMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def filled(commits: int) -> FaultyStore:
    store = FaultyStore({b"first": b"0"})
    for number in range(1, commits + 1):
        store.commit({b"n": b"%d" % number, b"%d" % number: b""})
    return store


def test_a_crash_keeps_the_synced_commits_and_any_prefix_of_the_others() -> None:
    store = filled(2)
    store.sync()
    store.commit({b"n": b"3"}, [(b"1", b"2")])
    store.commit({b"n": b"4"})
    assert store.unsynced == 2
    assert contents(store.crash(0)) == {b"first": b"0", b"n": b"2", b"1": b"", b"2": b""}
    assert contents(store.crash(1)) == {b"first": b"0", b"n": b"3", b"2": b""}
    assert contents(store.crash(2)) == {b"first": b"0", b"n": b"4", b"2": b""}


@pytest.mark.parametrize("kept", [-1, 3])
def test_a_crash_cannot_keep_what_was_never_written(kept: int) -> None:
    with pytest.raises(ValueError, match="cannot keep"):
        filled(2).crash(kept)


def test_what_survived_a_crash_survives_the_next() -> None:
    after = filled(3).crash(2)
    assert after.unsynced == 0
    after.commit({b"n": b"new"})
    again = after.crash(0)
    assert again.get(b"n") == b"2"
    assert contents(after.crash(1))[b"n"] == b"new"


def test_after_a_crash_the_store_is_dead_and_its_successor_is_sound() -> None:
    store = filled(1)
    store.fail_commit(2, applied=True)
    after = store.crash(1)
    with pytest.raises(StoreError):
        store.commit({b"a": b""})
    after.commit({b"a": b""})
    after.commit({b"b": b""})
    assert after.commits == 2


@pytest.mark.parametrize("applied", [False, True])
def test_a_failed_commit_poisons_and_is_on_disk_or_not(applied: bool) -> None:
    store = filled(1)
    store.fail_commit(2, applied=applied)
    with pytest.raises(StoreError, match="commit 2 failed"):
        store.commit({b"n": b"2"})
    for call in (store.sync, store.figures, lambda: store.get(b"n"), lambda: store.commit({})):
        with pytest.raises(StoreError, match="commit 2 failed"):
            call()
    assert store.unsynced == 1 + applied
    assert store.crash(store.unsynced).get(b"n") == (b"2" if applied else b"1")


def test_a_failed_sync_poisons_and_leaves_all_in_doubt() -> None:
    store = filled(1)
    store.sync()
    store.commit({b"n": b"2"})
    store.fail_sync(2)
    with pytest.raises(StoreError, match="sync 2 failed"):
        store.sync()
    with pytest.raises(StoreError, match="sync 2 failed"):
        store.commit({b"n": b"3"})
    assert [store.crash(kept).get(b"n") for kept in range(store.unsynced + 1)] == [b"1", b"2"]


def test_busy_refuses_and_counts_nothing() -> None:
    store = FaultyStore()
    store.fail_commit(2, applied=False)
    store.busy_for(2)
    for _ in range(2):
        with pytest.raises(StoreBusy):
            store.commit({b"a": b"1"})
    assert contents(store) == {}
    store.commit({b"a": b"1"})
    assert contents(store) == {b"a": b"1"}
    assert store.commits == 1
    with pytest.raises(StoreError, match="commit 2"):
        store.commit({b"a": b"2"})


def test_reads_fail_once_and_then_go_on() -> None:
    store = filled(1)
    store.fail_get(2)
    store.fail_scan(1)
    assert store.get(b"n") == b"1"
    with pytest.raises(StoreError, match="get 2"):
        store.get(b"n")
    assert store.get(b"n") == b"1"
    with pytest.raises(StoreError, match="scan 1"):
        store.scan(b"a", b"z", limit=1)
    assert store.scan(b"n", b"z", limit=1) == [(b"n", b"1")]


def test_a_sync_that_takes_its_time_covers_what_came_before_it() -> None:
    store = filled(1)
    started = store.start_sync()
    store.commit({b"n": b"2"})
    assert store.unsynced == 2
    store.finish_sync(started)
    assert store.unsynced == 1
    assert store.crash(0).get(b"n") == b"1"


def test_a_late_sync_takes_nothing_back() -> None:
    store = filled(2)
    early = store.start_sync()
    store.commit({b"n": b"3"})
    store.finish_sync(store.start_sync())
    store.finish_sync(early)
    assert store.unsynced == 0


def test_the_log_holds_copies() -> None:
    store = FaultyStore()
    changes: dict[bytes, bytes | None] = {b"a": b"1"}
    store.commit(changes, [(b"x", b"y")])
    changes.clear()
    assert store.log == [Commit({b"a": b"1"}, ((b"x", b"y"),))]
