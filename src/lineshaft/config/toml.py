"""conf.d/*.toml, read as one document.

The files are taken in alphabetical order; their order means nothing, though, but for arrays of tables, which
append: a key that two files set is an error that names both, since whichever of them lost would be a riddle.
The document remembers which file first named each key and table, so that every complaint can say where.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lineshaft.errors import ConfigError

__all__ = ["Document", "KeyPath", "dotted", "keys_only", "read_directory"]

KeyPath = tuple[str | int, ...]
"""A key with the tables that it stands in: ("storage", "sync"). A number counts the tables of an array in one file."""


class Document:
    """What the files say together: `values`, nested as TOML nests them, and where each came from."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.files: list[Path] = []
        self._origin: dict[KeyPath, Path] = {}
        self._parts: list[tuple[Path, dict[str, Any]]] = []

    def add(self, file: Path, table: dict[str, Any]) -> None:
        """Merge the content of one file. Raises ConfigError for a key that an earlier one has set."""
        self.files.append(file)
        self._parts.append((file, table))
        self._merge(self.values, table, (), file)

    def entries(self, name: str) -> Iterator[tuple["Document", int, Any]]:
        """The tables of an array of tables: each with its number in its file, and a document of it alone for errors."""
        for file, table in self._parts:
            for number, entry in enumerate(table.get(name, ()), 1):
                alone = Document()
                alone.add(file, {name: entry})
                yield alone, number, entry

    def error(self, path: KeyPath, complaint: str) -> ConfigError:
        """A ConfigError about the key at `path`, which opens with the file that set it."""
        return ConfigError(f"{self._origin[keys_only(path)]}: {complaint}")

    def located(self, path: KeyPath) -> str:
        """The key at `path` with its file, as messages begin: `/etc/lineshaft/conf.d/a.toml: web.password`."""
        return f"{self._origin[keys_only(path)]}: {dotted(path)}"

    def _merge(self, into: dict[str, Any], table: dict[str, Any], path: KeyPath, file: Path) -> None:
        for key, value in table.items():
            here = (*path, key)
            is_new = key not in into
            if is_new:
                self._origin[here] = file
            if isinstance(value, dict) and (is_new or isinstance(into[key], dict)):
                self._merge(into.setdefault(key, {}), value, here, file)
            elif is_new:
                into[key] = value
            elif _is_table_array(value) and _is_table_array(into[key]):
                into[key] = [*into[key], *value]
            else:
                raise ConfigError(f"{dotted(here)} is set twice: in {self._origin[here]} and in {file}")


def read_directory(directory: Path) -> Document:
    """Read every `*.toml` in `directory`, which need not exist. Hidden files are left out: editors' locks.

    Raises ConfigError for what cannot be listed, read or parsed, and for a key that is set twice.
    """
    document = Document()
    for file in _toml_files(directory):
        document.add(file, _parse(file))
    return document


def dotted(path: KeyPath) -> str:
    """The key as TOML writes it: `queues."mail.out".max_jobs`; in an array of tables, `cron[2].schedule`."""
    return "".join(_dotted(key) for key in path).removeprefix(".")


def keys_only(path: KeyPath) -> KeyPath:
    """The path without numbers: where the key stands in any table of an array."""
    return tuple(key for key in path if isinstance(key, str))


def _dotted(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f'."{key}"'


def _toml_files(directory: Path) -> Sequence[Path]:
    try:
        names = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be read: {error.strerror}") from None
    return [directory / name for name in names if name.endswith(".toml") and not name.startswith(".")]


def _parse(file: Path) -> dict[str, Any]:
    try:
        content = file.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: is not UTF-8 text (byte {error.start})") from None
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        # The parser says "at end of document" where an operator wants a number as everywhere else.
        last = content.count("\n") + (not content.endswith("\n"))
        complaint = str(error).replace("at end of document", f"at line {last}, the end of the file")
        raise ConfigError(f"{file}: {complaint}") from None


def _is_table_array(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
