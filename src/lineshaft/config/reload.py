"""What a running server takes over from a Config that was loaded again."""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from lineshaft.config.model import TABLES, Config
from lineshaft.config.tables import keys_of
from lineshaft.config.toml import dotted

__all__ = ["take_over"]


def take_over(running: Config, fresh: Config) -> tuple[Config, list[str]]:
    """The Config to go on with, and the keys whose change waits for a restart.

    It has the keys of `fresh` but those that only a start can change, which stay as they are in `running`; so
    whoever builds settings from it cannot apply half of a change. The names are as a file writes them
    (`storage.sync`), for the log; `tls` is that of the two PEM files.
    """
    waiting: list[str] = []
    tables: dict[str, Any] = {}
    for name, shape in TABLES.items():
        tables[name] = _kept(name, shape, getattr(running, name), getattr(fresh, name), waiting)
    if fresh.tls != running.tls:
        waiting.append("tls")
    kept = replace(running, files=fresh.files, password_skipped=fresh.password_skipped, cron=fresh.cron, **tables)
    return kept, waiting


def _kept(table: str, shape: type[Struct], running: Struct, fresh: Struct, waiting: list[str]) -> Struct:
    kept = {}
    for name, key in keys_of(shape).items():
        old, new = getattr(running, key.attribute), getattr(fresh, key.attribute)
        if key.at_start and old != new:
            kept[key.attribute] = old
            waiting.append(dotted((table, name)))
    return replace(fresh, **kept)
