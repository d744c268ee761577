"""A power cut below the process: a preloaded library notes what was synced; the rest is lost in whole or in part.

What the file system may do is taken at its worst within what POSIX promises and journals keep: of each file any prefix
beyond what was synced; of the names (files made, renamed, removed) any prefix, in order, beyond the last fsync of
their directory. What is lost is decided by a `Random`, so a case can be had again for the same log.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from random import Random

__all__ = ["PowerCut", "build_library"]

SOURCE = Path(__file__).with_name("powercut.c")


def build_library(directory: Path) -> Path | None:
    """The library, compiled; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = directory / "powercut.so"
    command = [compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"]
    subprocess.run(command, check=True)
    return library


@dataclass
class Named:
    """A name that was made, moved or removed, and what was known of the files then."""

    kind: str
    path: str
    to: str = ""
    grave: str = ""
    length: int | None = None  #: of the file that lies in the grave


class PowerCut:
    """What one life of a server has synced."""

    def __init__(self, library: Path, data: Path, root: Path) -> None:
        self.data = data
        self.log = root / "power.log"
        self.graves = root / "graves"
        self.graves.mkdir(exist_ok=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "POWERCUT_DIR": str(data),
            "POWERCUT_LOG": str(self.log),
            "POWERCUT_GRAVES": str(self.graves),
        }
        # As the log tells it.
        self.synced: dict[str, int] = {}
        self.names: list[Named] = []

    def cut(self, chance: Random) -> str:
        """The process is dead: lose what a power cut may take. Returns what was lost, in words."""
        self.synced, self.names = {}, []
        pids = {path.name.split(".")[0] for path in self.graves.iterdir()}
        assert len(pids) <= 1, "graves of more than one process"
        for line in self.log.read_text().splitlines():
            self._read(line, next(iter(pids), ""))
        keep = chance.choice([0, len(self.names), chance.randint(0, len(self.names))])
        undone = self.names[keep:]
        for named in reversed(undone):
            self._undo(named)
        lost = self._tear(chance)
        self.log.unlink()
        for path in self.graves.iterdir():
            path.unlink()
        return f"{len(undone)} names, {lost} bytes"

    def _read(self, line: str, pid: str) -> None:
        kind, path, *rest = line.split(" ")
        assert kind != "W", f"a file was written in its middle, which this cannot tell of: {line}"
        if kind == "S":
            self.synced[path] = int(rest[0])
        elif kind == "T":
            self.synced[path] = min(self.synced.get(path, 0), int(rest[0]))
        elif kind == "D":
            self.names = [named for named in self.names if os.path.dirname(named.to or named.path) != path]
        elif kind == "C":
            self.synced[path] = 0
            self.names.append(Named("C", path))
        elif kind == "U":
            self.names.append(Named("U", path, grave=f"{pid}.{rest[0]}", length=self.synced.pop(path, None)))
        else:
            to, number = rest
            before = self.synced.pop(to, None)
            self.names.append(Named("R", path, to, "" if number == "0" else f"{pid}.{number}", before))
            if path in self.synced:
                self.synced[to] = self.synced.pop(path)

    def _undo(self, named: Named) -> None:
        if named.kind == "C":
            Path(named.path).unlink()
            self.synced.pop(named.path, None)
            return
        if named.kind == "R":
            os.rename(named.to, named.path)
            if named.to in self.synced:
                self.synced[named.path] = self.synced.pop(named.to)
        back = named.to or named.path
        if named.grave:
            os.link(self.graves / named.grave, back)
            if named.length is not None:
                self.synced[back] = named.length

    def _tear(self, chance: Random) -> int:
        lost = 0
        for path in sorted(self.data.rglob("*")):
            synced = self.synced.get(str(path))
            if synced is None or not path.is_file():
                continue
            size = path.stat().st_size
            if size > synced:
                left = chance.choice([synced, synced, size, chance.randint(synced, size)])
                os.truncate(path, left)
                lost += size - left
        return lost
