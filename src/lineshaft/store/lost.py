"""What a directory of RocksDB has lost, without which RocksDB would open it as if that had never been.

    CURRENT ─> MANIFEST-n ─> the tables (*.sst)
               the write-ahead log (*.log), always one

RocksDB refuses what it cannot read. What is not there at all, it does not miss: without CURRENT it makes a new store;
a manifest that was cut off names fewer tables, and those that it does not name are deleted; without a log what was in
it is not replayed. Each of these is found here before the open, by looking alone: nothing in the directory changes.
"""

from pathlib import Path
from typing import Final

from rocksdict import AccessType, Rdict

from lineshaft.errors import StoreCorrupt
from lineshaft.store.families import READY_NAME, Families
from lineshaft.store.rocks_options import rocks_options

__all__ = ["refuse_what_is_lost"]

#: A manifest that has lost all of its tables is shorter than this; looking into a store costs a replay of its log.
_SMALL_MANIFEST_BYTES: Final = 64 << 10

_LOST_TABLES: Final = (
    "the store in {path} is damaged: its manifest names none of the tables that lie there, and an open would delete"
    " them. Copy the directory first; then run `lineshaft check -d {path}`"
)

_LOST_MANIFEST: Final = (
    "the store in {path} is damaged: {name} is missing, which leads to its tables."
    " Copy the directory first; then run `lineshaft check -d {path}`"
)

_LOST_LOG: Final = (
    "the store in {path} is damaged: its write-ahead log is missing, and an open would begin without what was in it."
    " Copy the directory first; then run `lineshaft check -d {path}`"
)

_LOST_FAMILY: Final = (
    "the store in {path} is damaged: the end of its manifest is missing, and an open would begin without the jobs in"
    " line. Copy the directory first; then run `lineshaft check -d {path}`"
)

#: What CURRENT says of a store whose making was cut short: until its first open is through there is no log.
_FIRST_MANIFEST: Final = b"MANIFEST-000001"


def refuse_what_is_lost(path: Path) -> None:
    """Raises StoreCorrupt for what RocksDB would open as if it had never been."""
    if (lost := _lost_manifest(path)) is not None:
        raise StoreCorrupt(_LOST_MANIFEST.format(path=path, name=lost))
    if _has_lost_its_log(path):
        raise StoreCorrupt(_LOST_LOG.format(path=path))
    if _has_lost_a_family(path):
        raise StoreCorrupt(_LOST_FAMILY.format(path=path))
    if _has_lost_its_tables(path):
        raise StoreCorrupt(_LOST_TABLES.format(path=path))


def _lost_manifest(path: Path) -> str | None:
    """The file that should name the tables and is not there; None when all is well, or there is no store yet."""
    try:
        current = (path / "CURRENT").read_bytes().strip()
    except FileNotFoundError:
        # Without it RocksDB makes a new store. A making that was cut short leaves its first manifest at most.
        manifests = [file.name for file in path.glob("MANIFEST-*") if file.name.encode() != _FIRST_MANIFEST]
        is_old = bool(manifests) or any(path.glob("*.sst")) or any(path.glob("*.log"))
        return "CURRENT" if is_old else None
    except OSError:
        return None
    # What is no name is RocksDB's to refuse.
    is_name = current.startswith(b"MANIFEST-") and current[9:].isdigit()
    return None if not is_name or (path / current.decode()).exists() else current.decode()


def _has_lost_its_log(path: Path) -> bool:
    """Whether a store that was open once has no write-ahead log: there is always one, be it empty."""
    try:
        current = (path / "CURRENT").read_bytes()
    except OSError:
        return False
    return current.strip() != _FIRST_MANIFEST and not any(path.glob("*.log"))


def _has_lost_a_family(path: Path) -> bool:
    """Whether a manifest was cut off before it names a family that the options of the last opens have."""
    options = [file.read_bytes() for file in path.glob("OPTIONS-*")]
    if not any(b'[CFOptions "%b"]' % READY_NAME.encode() in text for text in options):
        return False
    try:
        return READY_NAME not in Rdict.list_cf(str(path))
    except Exception:  # rocksdict raises nothing finer; the open proper says it again
        return False


def _has_lost_its_tables(path: Path) -> bool:
    """Whether tables lie in a store's directory, and yet the store looks new: then its manifest has lost them.

    RocksDB takes a manifest that was cut off for a shorter one, and deletes the tables that it does not name.
    """
    manifests = [file.stat().st_size for file in path.glob("MANIFEST-*")]
    if not any(path.glob("*.sst")) or max(manifests, default=0) > _SMALL_MANIFEST_BYTES:
        return False
    options = rocks_options()
    try:
        families = Families(path, options, AccessType.read_only(error_if_log_file_exist=False))
    except Exception:  # rocksdict raises nothing finer; the open proper says it again
        return False
    rows = None
    try:
        rows = families.database.iter()
        rows.seek_to_first()
        return not families.database.live_files() and not rows.valid()
    except Exception:  # as above: what cannot be read is not lost
        return False
    finally:
        del rows
        families.close()
