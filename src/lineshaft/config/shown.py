"""Shown: the configuration in effect as a file would have it, key by key, for those who look at a running server.

What is true of each value: written into a file under its key it is read as the same value, unless it is a secret, which
is masked, or not set, which is a dash.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import NODEFAULT, Struct
from msgspec.structs import fields

from lineshaft.config.amounts import Rate, as_duration, as_size
from lineshaft.config.model import TABLES, Config
from lineshaft.config.tables import NAMED, Key, keys_of
from lineshaft.config.toml import dotted

__all__ = ["MASKED", "UNSET", "Shown", "shown"]

MASKED: Final = "***"
UNSET: Final = "–"  # noqa: RUF001 - a dash, as tables have it

#: The tables that hold named ones, in which field, and what comes before the name in a file.
_NAMED: Final = {
    **{table: (inner, (table, inner)) for table, (inner, _) in NAMED.items()},
    "queues": ("named", ("queues",)),
    "throttles": ("named", ("throttles",)),
}


class Shown(Struct, frozen=True):
    """A key that is in effect."""

    table: str
    key: str
    value: str
    is_default: bool


def shown(config: Config) -> Iterator[Shown]:
    """Every key of every table, of the named ones and of `[[cron]]` too."""
    for table in TABLES:
        values = getattr(config, table)
        yield from _keys(table, values)
        if table in _NAMED:
            attribute, before = _NAMED[table]
            for name, entry in getattr(values, attribute).items():
                yield from _keys(dotted((*before, name)), entry)
    for cron in config.cron:
        yield from _keys("[cron]", cron)
        yield from _keys("cron.job", cron.job)


def _keys(table: str, values: Struct) -> Iterator[Shown]:
    defaults = {column.name: _default(column) for column in fields(values)}
    for name, key in keys_of(type(values)).items():
        value = getattr(values, key.attribute)
        yield Shown(table, name, _value(name, key, value), value == defaults[key.attribute])


def _default(column: Any) -> object:
    return column.default_factory() if column.default_factory is not NODEFAULT else column.default


def _value(name: str, key: Key, value: Any) -> str:
    if key.attribute == "binding" and value is None:
        return '":0"'
    if value is None:
        return UNSET
    if key.kind.is_secret:
        return MASKED
    # A field that says its unit has a key that does not: the file has the unit in the value.
    unit = "" if name == key.attribute else key.attribute.rpartition("_")[2]
    if unit == "bytes":
        return f'"{as_size(value)}"'
    if unit in ("ms", "seconds"):
        return f'"{as_duration(value if unit == "ms" else value * 1000)}"'
    return _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Rate):
        return _toml({"rate": value.tokens, "per": as_duration(value.per_ms)})
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{dotted((name,))} = {_toml(one)}' for name, one in value.items())} }}"
    return json.dumps(str(value), ensure_ascii=False)
