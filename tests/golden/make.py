"""Writes the golden data directory of the present format: `python tests/golden/make.py` (with tests/ on the path).

Two directories are kept for every version of the format, made by a server of that version and never made anew once it
is released: one as a clean stop leaves it, all in tables, and one as a kill leaves it, all in the log. Beside them are
the jobs that are in both, as `lineshaft export` writes them. tests/golden/test_golden.py opens them with the server of
today.
"""

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine.test_check import fill
from golden.reading import lines_of
from lineshaft.engine.keys import FORMAT_VERSION
from lineshaft.store.rocks import RocksStore


def main() -> None:
    """Write the directories of this version, in the place of those that are there."""
    folder = Path(__file__).with_name(f"format-{FORMAT_VERSION}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        store = RocksStore(Path(scratch) / "data")
        fill(store, jid_index=True)
        # RocksDB's own chatter names the machine's paths.
        ours = shutil.ignore_patterns("LOG*", "LOCK", "OPTIONS*")
        shutil.copytree(Path(scratch) / "data", folder / "killed", ignore=ours)
        store.checkpoint(Path(scratch) / "copy")
        shutil.copytree(Path(scratch) / "copy", folder / "stopped", ignore=ours)
        store.close()
    (folder / "jobs.jsonl").write_bytes(b"\n".join(lines_of(folder / "stopped")) + b"\n")
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    print(f"{folder}: {size} bytes")


if __name__ == "__main__":
    main()
