"""Two column families are one key space, whatever a range crosses and whatever was in memory at a crash."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from rocksdict import Rdict, WriteBatch

from conformance.store import contents
from copies import copied
from lineshaft.engine import keys
from lineshaft.errors import StoreBusy, StoreError
from lineshaft.store.families import READY
from lineshaft.store.rocks import RocksStore
from lineshaft.store.rocks_options import rocks_options

ROWS = {key: b"v-" + key for key in (b"A", b"Q\xff", b"R", b"R\x00a", b"Rz", b"R\xff", b"S", b"Sa", b"Z")}
MIB = 1 << 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    store = RocksStore(tmp_path / "store")
    store.commit(ROWS)
    yield store
    store.close()


def test_ready_jobs_have_a_family_of_their_own() -> None:
    first, beyond = keys.prefix_range(keys.ready_stem("", 0)[:1])
    assert (first, beyond) == READY
    assert keys.ready_stem("q" * 255, 1 << 62).startswith(first)


def test_they_lie_in_tables_of_their_own(store: RocksStore) -> None:
    store._families.flush()
    assert store.figures()["sst_files"] == 2
    ours = store._database.iter()
    ours.seek_to_first()
    found = []
    while ours.valid():
        found.append(ours.key())
        ours.next()
    del ours
    assert found == [b"A", b"Q\xff", b"S", b"Sa", b"Z"]


@pytest.mark.parametrize("limit", range(1, 11))
@pytest.mark.parametrize("reverse", [False, True])
def test_a_slice_goes_across(store: RocksStore, limit: int, reverse: bool) -> None:
    rows = sorted(ROWS.items(), reverse=reverse)
    assert store.scan(b"", b"\xff", limit=limit, reverse=reverse) == rows[:limit]
    # The values of the first four rows have so many bytes.
    reached = sum(len(value) for _, value in rows[:4])
    assert store.scan(b"", b"\xff", limit=9, limit_bytes=reached, reverse=reverse) == rows[:4]


def test_a_range_is_cleared_across(store: RocksStore) -> None:
    store.commit({b"Rm": b"new"}, [(b"Q", b"Ra"), (b"R\xff", b"Sa"), (b"Z", b"A")])
    assert sorted(contents(store)) == [b"A", b"Rm", b"Rz", b"Sa", b"Z"]


def test_a_table_ahead_of_the_log_of_another(store: RocksStore, tmp_path: Path) -> None:
    """Killed when one family was written out and the other was not, then the other way round."""
    assert store._families._ready is not None
    for number, family in enumerate([store._families._ready, store._database]):
        store.commit({b"A": b"%d" % number, b"Rz": b"%d" % number})
        family.flush()
        store.commit({b"Rlast": b"%d" % number})
        killed = RocksStore(copied(tmp_path / "store", tmp_path / f"killed-{number}"))
        assert contents(killed) == contents(store)
        killed.close()


def test_a_copy_and_a_follower_have_both(store: RocksStore, tmp_path: Path) -> None:
    store.checkpoint(tmp_path / "copy")
    with_copy = RocksStore.reading(tmp_path / "copy", log=tmp_path / "copy-log")
    assert contents(with_copy) == ROWS
    with_copy.close()
    follower = RocksStore.following(tmp_path / "store", log=tmp_path / "log", memory_bytes=8 * MIB)
    store.commit({b"Rnew": b"1", b"B": b"1"})
    follower.catch_up()
    assert contents(follower) == contents(store)
    follower.close()


def test_a_database_that_was_made_with_one_family_goes_on_with_one(tmp_path: Path) -> None:
    options = rocks_options()
    old = Rdict(str(tmp_path / "old"), options, {"default": options})
    batch = WriteBatch(True)
    for key, value in ROWS.items():
        batch.put(key, value)
    old.write(batch)
    old.close()
    del old
    store = RocksStore(tmp_path / "old")
    store.commit({b"Rnew": b"1"}, [(b"Rz", b"S")])
    rows = {key: value for key, value in ROWS.items() if not b"Rz" <= key < b"S"} | {b"Rnew": b"1"}
    assert contents(store) == rows
    assert store.get(b"Rnew") == b"1"
    follower = RocksStore.following(tmp_path / "old", log=tmp_path / "log", memory_bytes=8 * MIB)
    assert contents(follower) == rows
    follower.close()
    store.close()
    again = RocksStore(tmp_path / "old")
    assert contents(again) == rows
    again.close()


def test_a_family_of_which_little_is_written_does_not_keep_the_log(tmp_path: Path) -> None:
    store = RocksStore(tmp_path / "store")
    store.commit({b"R": b"seldom"})
    for number in range(130):
        while True:
            try:
                store.commit({b"A%d" % number: os.urandom(MIB)})
                break
            except StoreBusy:
                store._database.flush()
    logs = sum(log.stat().st_size for log in (tmp_path / "store").glob("*.log"))
    assert logs < 80 * MIB
    store.close()


def test_a_manifest_that_was_cut_off_before_the_family_was_made_is_refused(store: RocksStore, tmp_path: Path) -> None:
    """In its first life: RocksDB would pass over the rows of a family that it does not know in the log."""
    (manifest,) = store._path.glob("MANIFEST-*")
    whole = manifest.read_bytes()
    refused = 0
    for length in range(0, len(whole), 3):
        cut = copied(store._path, tmp_path / f"cut-{length}")
        (cut / manifest.name).write_bytes(whole[:length])
        try:
            opened = RocksStore(cut)
        except StoreError:
            refused += 1
            continue
        assert contents(opened) == ROWS, length
        opened.close()
    assert refused


def test_a_making_that_was_cut_short_begins_again(tmp_path: Path) -> None:
    options = rocks_options()
    Rdict(str(tmp_path / "data"), options, {"default": options}).close()
    store = RocksStore(tmp_path / "data")
    store.commit(ROWS)
    store._families.flush()
    assert store.figures()["sst_files"] == 2
    store.close()
