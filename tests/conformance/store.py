"""The conformance suite of the store's port: subclass `StoreConformance`, provide `store`, and every promise is tried.

    class TestMine(StoreConformance):
        @pytest.fixture
        def store(self) -> Iterator[Store]:
            store = MyStore()
            yield store
            store.close()

`StoreMachine` compares an adapter with a plain dict over arbitrary histories: give a subclass `open_store`.
"""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lineshaft.errors import StoreError
from lineshaft.store.port import Store

__all__ = ["EVERYTHING", "StoreConformance", "StoreMachine", "contents"]

#: A range around every key that these tests use.
EVERYTHING = (b"", b"\xff" * 40)


def contents(store: Store) -> dict[bytes, bytes]:
    """All that the store holds, in key order."""
    return dict(store.scan(*EVERYTHING, limit=1_000_000))


def keys(rows: list[tuple[bytes, bytes]]) -> list[bytes]:
    """The keys of a slice."""
    return [key for key, _ in rows]


class StoreConformance:
    """What every adapter must do, one test per promise of the port."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """A new, empty store; the subclass says which."""
        raise NotImplementedError

    # Reading what was written.

    def test_a_missing_key_is_none(self, store: Store) -> None:
        assert store.get(b"nothing") is None

    def test_a_commit_is_visible_at_once(self, store: Store) -> None:
        store.commit({b"a": b"1", b"b": b"2"})
        assert store.get(b"a") == b"1"
        assert store.scan(b"a", b"c", limit=10) == [(b"a", b"1"), (b"b", b"2")]

    def test_overwrite_and_delete(self, store: Store) -> None:
        store.commit({b"a": b"1", b"b": b"2"})
        store.commit({b"a": b"3", b"b": None})
        assert contents(store) == {b"a": b"3"}
        assert store.get(b"b") is None

    def test_deleting_a_missing_key_changes_nothing(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.commit({b"b": None})
        assert contents(store) == {b"a": b"1"}

    def test_an_empty_commit_changes_nothing(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.commit({})
        assert contents(store) == {b"a": b"1"}

    def test_an_empty_value_is_not_a_missing_one(self, store: Store) -> None:
        store.commit({b"a": b""})
        assert store.get(b"a") == b""
        assert store.scan(b"a", b"b", limit=1) == [(b"a", b"")]

    def test_the_callers_mapping_stays_the_callers(self, store: Store) -> None:
        changes: dict[bytes, bytes | None] = {b"a": b"1"}
        store.commit(changes)
        assert changes == {b"a": b"1"}
        changes[b"a"] = b"2"
        assert store.get(b"a") == b"1"

    @pytest.mark.parametrize(
        "key", [b"\x00", b"\x00\x00", b"\xff", b"\xff\xff", b"a\x00b", bytes(range(256)), "jid\N{SNOWMAN}".encode()]
    )
    def test_a_key_may_hold_any_byte(self, store: Store, key: bytes) -> None:
        store.commit({key: key[::-1]})
        assert store.get(key) == key[::-1]
        assert store.scan(key, key + b"\x00", limit=2) == [(key, key[::-1])]
        store.commit({key: None})
        assert store.get(key) is None

    def test_a_large_value(self, store: Store) -> None:
        large = bytes(range(256)) * (8 << 12)
        store.commit({b"large": large, b"small": b"1"})
        assert store.get(b"large") == large
        assert store.scan(b"large", b"small", limit=5) == [(b"large", large)]

    # The order of a scan and where it ends.

    def test_a_scan_is_in_byte_order(self, store: Store) -> None:
        ordered = [b"\x00", b"\x00\x00", b"\x00\xff", b"\x01", b"a", b"a\x00", b"aa", b"b", b"\xfe\xff", b"\xff"]
        store.commit(dict.fromkeys(reversed(ordered), b""))
        assert keys(store.scan(*EVERYTHING, limit=100)) == ordered
        assert keys(store.scan(*EVERYTHING, limit=100, reverse=True)) == ordered[::-1]

    @pytest.mark.parametrize("reverse", [False, True])
    def test_a_scan_has_its_start_and_not_its_end(self, store: Store, reverse: bool) -> None:
        store.commit({bytes([letter]): b"" for letter in b"abcdef"})
        expected = [b"b", b"c", b"d"]
        assert keys(store.scan(b"b", b"e", limit=9, reverse=reverse)) == (expected[::-1] if reverse else expected)

    @pytest.mark.parametrize("reverse", [False, True])
    def test_bounds_between_keys(self, store: Store, reverse: bool) -> None:
        store.commit({bytes([letter]): b"" for letter in b"bdf"})
        assert keys(store.scan(b"c", b"e", limit=9, reverse=reverse)) == [b"d"]
        assert keys(store.scan(b"e", b"e\xff", limit=9, reverse=reverse)) == []
        assert keys(store.scan(b"g", b"z", limit=9, reverse=reverse)) == []
        assert keys(store.scan(b"\x00", b"a", limit=9, reverse=reverse)) == []

    @pytest.mark.parametrize("reverse", [False, True])
    def test_an_empty_or_inverted_range_has_nothing(self, store: Store, reverse: bool) -> None:
        store.commit({b"a": b"", b"b": b"", b"c": b""})
        assert store.scan(b"b", b"b", limit=9, reverse=reverse) == []
        assert store.scan(b"c", b"a", limit=9, reverse=reverse) == []

    def test_a_scan_ends_at_its_limit(self, store: Store) -> None:
        store.commit({bytes([letter]): b"" for letter in b"abcdef"})
        assert keys(store.scan(*EVERYTHING, limit=2)) == [b"a", b"b"]
        assert keys(store.scan(*EVERYTHING, limit=2, reverse=True)) == [b"f", b"e"]
        assert store.scan(*EVERYTHING, limit=0) == []

    def test_a_scan_ends_behind_the_pair_that_reaches_limit_bytes(self, store: Store) -> None:
        store.commit({bytes([letter]): b"12345" for letter in b"abcdef"})
        assert keys(store.scan(*EVERYTHING, limit=9, limit_bytes=1)) == [b"a"]
        assert keys(store.scan(*EVERYTHING, limit=9, limit_bytes=5)) == [b"a"]
        assert keys(store.scan(*EVERYTHING, limit=9, limit_bytes=6)) == [b"a", b"b"]
        assert keys(store.scan(*EVERYTHING, limit=9, limit_bytes=11, reverse=True)) == [b"f", b"e", b"d"]
        assert keys(store.scan(*EVERYTHING, limit=1, limit_bytes=11)) == [b"a"]

    def test_paging_with_the_last_key_visits_each_once(self, store: Store) -> None:
        expected = [number.to_bytes(2) for number in range(300)]
        store.commit(dict.fromkeys(expected, b"v"))
        seen: list[bytes] = []
        cursor = b""
        while rows := store.scan(cursor, b"\xff" * 4, limit=7):
            seen += keys(rows)
            cursor = rows[-1][0] + b"\x00"
        assert seen == expected

    def test_a_scan_passes_over_what_was_deleted(self, store: Store) -> None:
        everything = [number.to_bytes(2) for number in range(500)]
        store.commit(dict.fromkeys(everything, b"v"))
        store.commit(dict.fromkeys(everything[10:490], None))
        assert keys(store.scan(*EVERYTHING, limit=12)) == everything[:10] + everything[490:492]
        assert keys(store.scan(*EVERYTHING, limit=12, reverse=True)) == (everything[:10] + everything[490:])[:-13:-1]

    # Clearing ranges.

    def test_a_cleared_range_is_empty_and_its_neighbours_stay(self, store: Store) -> None:
        store.commit({bytes([letter]): b"" for letter in b"abcdef"})
        store.commit({}, [(b"b", b"d"), (b"e", b"f")])
        assert list(contents(store)) == [b"a", b"d", b"f"]
        assert store.get(b"b") is None

    def test_ranges_are_cleared_before_the_changes(self, store: Store) -> None:
        store.commit({b"a": b"old", b"b": b"old", b"c": b"old"})
        store.commit({b"b": b"new", b"c": None}, [(b"a", b"c")])
        assert contents(store) == {b"b": b"new"}

    def test_clearing_where_nothing_is_changes_nothing(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.commit({}, [(b"x", b"y")])
        assert contents(store) == {b"a": b"1"}

    def test_clearing_an_empty_or_inverted_range_changes_nothing(self, store: Store) -> None:
        store.commit({b"a": b"1", b"b": b"2", b"c": b"3"})
        store.commit({b"d": b"4"}, [(b"b", b"b"), (b"c", b"a")])
        assert contents(store) == {b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"}
        store.commit({b"e": b"5"})
        assert store.get(b"e") == b"5"

    def test_overlapping_cleared_ranges(self, store: Store) -> None:
        store.commit({bytes([letter]): b"" for letter in b"abcdef"})
        store.commit({}, [(b"a", b"d"), (b"c", b"f"), (b"b", b"c")])
        assert list(contents(store)) == [b"f"]

    def test_a_cleared_range_can_be_filled_again(self, store: Store) -> None:
        store.commit({b"a": b"1", b"b": b"2"})
        store.commit({}, [(b"a", b"z")])
        store.commit({b"b": b"3"})
        assert contents(store) == {b"b": b"3"}

    # Sync, figures, close.

    def test_sync_returns(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.sync()
        store.sync()
        assert store.get(b"a") == b"1"

    def test_sync_from_a_thread_while_commits_go_on(self, store: Store) -> None:
        done = threading.Event()
        syncs: list[int] = []
        errors: list[BaseException] = []

        def keep_syncing() -> None:
            try:
                while not done.is_set():
                    store.sync()
                    syncs.append(1)
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=keep_syncing)
        thread.start()
        count = 0
        while len(syncs) < 5 and not errors:
            store.commit({count.to_bytes(4): b"v"})
            count += 1
        done.set()
        thread.join()
        assert errors == []
        assert list(contents(store)) == [number.to_bytes(4) for number in range(count)]

    def test_figures_are_counts(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        figures = store.figures()
        assert figures
        assert all(isinstance(value, int) and value >= 0 for value in figures.values())

    def test_close_is_idempotent_and_final(self, store: Store) -> None:
        store.commit({b"a": b"1"})
        store.close()
        store.close()
        with pytest.raises(StoreError):
            store.get(b"a")
        with pytest.raises(StoreError):
            store.scan(b"a", b"b", limit=1)
        with pytest.raises(StoreError):
            store.commit({b"a": b"2"})
        with pytest.raises(StoreError):
            store.sync()
        with pytest.raises(StoreError):
            store.figures()


# Few and close-lying keys, so that histories overwrite, delete and clear what is there.
# Some lie on both sides of the edges at which RocksDB has them in other tables (`store.families`).
some_key = st.binary(max_size=2) | st.sampled_from(
    [b"\x00", b"\xff", b"a", b"a\x00", b"a\xff", b"b", b"Q\xff", b"R", b"R\x00", b"R\xff", b"S"]
)
some_changes = st.dictionaries(some_key, st.none() | st.binary(max_size=6), max_size=8)
some_ranges = st.lists(st.tuples(some_key, some_key), max_size=2)


class StoreMachine(RuleBasedStateMachine):
    """Any history of commits leaves an adapter and a dict equal, seen through any scan."""

    def open_store(self) -> Store:
        """A new, empty store; the subclass says which."""
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        """Open the store and an empty model."""
        self.store = self.open_store()
        self.model: dict[bytes, bytes] = {}

    def teardown(self) -> None:
        """Close the store."""
        if hasattr(self, "store"):
            self.store.close()

    @rule(changes=some_changes, cleared=some_ranges)
    def commit(self, changes: dict[bytes, bytes | None], cleared: list[tuple[bytes, bytes]]) -> None:
        """Commit to both."""
        self.store.commit(changes, cleared)
        for start, end in cleared:
            self.model = {key: value for key, value in self.model.items() if not start <= key < end}
        for key, value in changes.items():
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value

    @rule()
    def sync(self) -> None:
        """Sync changes nothing that can be seen."""
        self.store.sync()

    @rule(key=some_key)
    def get(self, key: bytes) -> None:
        """One value."""
        assert self.store.get(key) == self.model.get(key)

    @rule(start=some_key, end=some_key, limit=st.integers(0, 5), limit_bytes=st.integers(1, 12), reverse=st.booleans())
    def scan(self, start: bytes, end: bytes, limit: int, limit_bytes: int, reverse: bool) -> None:
        """One slice."""
        expected: list[tuple[bytes, bytes]] = []
        held = 0
        for key in sorted(self.model, reverse=reverse):
            if start <= key < end and len(expected) < limit and held < limit_bytes:
                expected.append((key, self.model[key]))
                held += len(self.model[key])
        assert self.store.scan(start, end, limit=limit, limit_bytes=limit_bytes, reverse=reverse) == expected

    @invariant()
    def same(self) -> None:
        """Both hold the same rows."""
        if hasattr(self, "store"):
            assert contents(self.store) == self.model
