"""Copies of a store's files: whole or not there, also to another file system."""

import os
from pathlib import Path

import pytest

from lineshaft.errors import StoreCorrupt, UsageError
from lineshaft.store.backup import MANIFEST, Manifest, missing_from, read_manifest, write_manifest
from lineshaft.store.copying import copy_files, move_files

SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.mkdir()
    (path / "small").write_bytes(b"1")
    (path / "large").write_bytes(os.urandom(3 << 20))
    (path / "a directory").mkdir()
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir() if file.is_file()}


def test_a_copy_is_the_same(source: Path, tmp_path: Path) -> None:
    counted: list[int] = []
    copy_files(source, tmp_path / "copy", counted.append)
    assert contents(tmp_path / "copy") == contents(source)
    assert sum(counted) == (3 << 20) + 1
    assert not (tmp_path / "copy.partial").exists()


def test_a_copy_that_is_given_up_leaves_nothing(source: Path, tmp_path: Path) -> None:
    def enough(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_files(source, tmp_path / "copy", enough)
    assert sorted(os.listdir(tmp_path)) == ["source"]


def test_what_a_crash_left_is_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / "copy.partial").mkdir()
    (tmp_path / "copy.partial" / "old").write_bytes(b"old")
    copy_files(source, tmp_path / "copy", lambda _: None)
    assert contents(tmp_path / "copy") == contents(source)


def test_nothing_is_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    for name in ("there", "dangling"):
        for move in (copy_files, move_files):
            with pytest.raises(UsageError, match="exists"):
                move(source, tmp_path / name, lambda _: None)


def test_no_room_is_noticed_before(source: Path, tmp_path: Path) -> None:
    huge = source / "huge"
    with huge.open("wb") as file:
        file.truncate(1 << 42)
    with pytest.raises(UsageError, match="MB are to be copied there, and"):
        copy_files(source, tmp_path / "copy", lambda _: None)
    assert not (tmp_path / "copy").exists()


def test_a_move_to_another_file_system_copies(source: Path, tmp_path: Path) -> None:
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    target = SHARED_MEMORY / f"lineshaft-{os.getpid()}"
    before, counted = contents(source), []
    try:
        move_files(source, target, counted.append)
        assert contents(target) == before
        assert sum(counted) == (3 << 20) + 1
    finally:
        copied = target.exists()
        for file in target.iterdir():
            file.unlink()
        target.rmdir()
    assert copied


def test_a_move_on_one_file_system_is_a_rename(source: Path, tmp_path: Path) -> None:
    number = (source / "large").stat().st_ino
    move_files(source, tmp_path / "target", lambda _: None)
    assert (tmp_path / "target" / "large").stat().st_ino == number


def test_a_manifest_tells_what_is_missing(source: Path) -> None:
    (source / "CURRENT").write_text("MANIFEST-000005\n")
    write_manifest(source, Manifest("0.1.0", 1, "2026-01-01T00:00:00.000Z"))
    manifest = read_manifest(source)
    assert manifest is not None
    assert manifest.files == {"CURRENT": 16, "large": 3 << 20, "small": 1}
    assert missing_from(source, manifest) == []
    (source / "small").unlink()
    (source / "large").write_bytes(b"cut")
    assert missing_from(source, manifest) == ["large has 3 bytes instead of 3145728", "small is missing"]
    (source / "CURRENT").write_text("MANIFEST-000009\n")
    assert missing_from(source, manifest) == [], "a server ran on it since: its files are others now"
    (source / "CURRENT").unlink()
    assert missing_from(source, manifest) != []


@pytest.mark.parametrize("damage", [b"{", b'{"lineshaft":"\xff","format":1,"taken_at":""}', b"[" * 2000])
def test_a_damaged_manifest_is_said_to_be_one(source: Path, damage: bytes) -> None:
    (source / MANIFEST).write_bytes(damage)
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        read_manifest(source)
