"""The store in memory keeps the port's promises."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from conformance.store import StoreConformance, StoreMachine
from lineshaft.errors import UsageError
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store


class TestConformance(StoreConformance):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = MemoryStore()
        yield store
        store.close()


class MemoryMachine(StoreMachine):
    def open_store(self) -> Store:
        return MemoryStore()


TestMachine = MemoryMachine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_it_can_begin_with_rows_and_copies_them() -> None:
    rows: dict[bytes, bytes | None] = {b"b": b"2", b"a": b"1"}
    store = MemoryStore(rows)
    store.commit({b"a": None})
    assert store.scan(b"a", b"z", limit=9) == [(b"b", b"2")]
    assert rows == {b"b": b"2", b"a": b"1"}


def test_a_checkpoint_of_what_is_not_on_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ephemeral"):
        MemoryStore().checkpoint(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
