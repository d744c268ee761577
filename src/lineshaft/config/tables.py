"""A document against the model: each key must be known, and each value of its kind.

The check is ours and not msgspec's, so that a refusal can say in an operator's words what is allowed, and in
which file the key stands.
"""

import re
from functools import cache
from typing import Any, Final, TypeVar, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from lineshaft.config.entries import ApiToken, AuthUser, Queue, Throttle, WebUser
from lineshaft.config.kinds import Kind
from lineshaft.config.model import AT_START, TABLES, Queues, Throttles
from lineshaft.config.toml import Document, KeyPath, dotted, keys_only
from lineshaft.schedule import ScheduleError

__all__ = ["ARRAYS", "NAMED", "Key", "keys_of", "read_table", "read_tables"]

T = TypeVar("T", bound=Struct)

#: The arrays of tables; each has a reader of its own.
ARRAYS: Final = ("cron",)

#: As the engine has it; stated again because a name that no client can use is better refused at the start.
_QUEUE_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,255}")

#: Tables that hold a table of named ones: its name and field, and what each of them is.
NAMED: Final[dict[str, tuple[str, type[Struct]]]] = {
    "auth": ("users", AuthUser),
    "web": ("users", WebUser),
    "api": ("tokens", ApiToken),
}

#: Whoever has such a name can be written into a log line and typed into a login.
_ENTRY_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,100}")


class Key(Struct, frozen=True):
    """A key of a table."""

    attribute: str  #: the field of the table's Struct
    kind: Kind
    at_start: bool  #: whether a change waits for the next start


@cache
def keys_of(shape: type[Struct]) -> dict[str, Key]:
    """The keys of a table by the name that they have in a file, in the order of the model."""
    hints = get_type_hints(shape, include_extras=True)
    keys = {}
    for column in fields(shape):
        said = getattr(hints[column.name], "__metadata__", ())
        for kind in (item for item in said if isinstance(item, Kind)):
            keys[column.encode_name] = Key(column.name, kind, AT_START in said)
    return keys


@cache
def _required(shape: type[Struct]) -> dict[str, str]:
    """The keys that must be there, and their fields."""
    return {column.encode_name: column.name for column in fields(shape) if column.required}


def read_tables(document: Document) -> dict[str, Struct]:
    """All tables that the document has, by name. Raises ConfigError for the first thing that cannot be."""
    known = ", ".join([f"[{name}]" for name in TABLES] + [f"[[{name}]]" for name in ARRAYS])
    tables: dict[str, Struct] = {}
    for name, value in document.values.items():
        if name in ARRAYS:
            continue
        if name not in TABLES:
            raise document.error((name,), f"there is no table [{dotted((name,))}]; the tables are {known}")
        if name == "queues":
            tables[name] = _read_queues(_need_table(document, (name,), value), document)
        elif name in NAMED:
            tables[name] = _read_with_named(name, _need_table(document, (name,), value), document)
        elif name == "throttles":
            throttles = _need_table(document, (name,), value)
            tables[name] = Throttles(
                {queue: _read_throttle(queue, item, document) for queue, item in throttles.items()}
            )
        else:
            tables[name] = read_table(TABLES[name], value, (name,), document)
    return tables


def read_table(shape: type[T], value: object, path: KeyPath, document: Document, **tables: object) -> T:
    """One table as its record, with the tables inside it that were read already.

    Raises ConfigError for the first thing in it that cannot be, or that is missing.
    """
    read: dict[str, Any] = dict(tables)
    keys = keys_of(shape)
    for name, item in _need_table(document, path, value).items():
        here = (*path, name)
        if name not in keys:
            inside = "".join(f", and a table [{dotted(keys_only((*path, table)))}]" for table in tables)
            raise document.error(here, f"{dotted(here)} is not a key; {_keys_in_words(path, keys)}{inside}")
        read[keys[name].attribute] = _read_value(keys[name].kind, item, here, document)
    for name in (name for name, attribute in _required(shape).items() if attribute not in read):
        raise document.error(path, f"{dotted(path)} needs {name}: {keys[name].kind.allowed}")
    return shape(**read)


def _read_value(kind: Kind, value: object, path: KeyPath, document: Document) -> Any:
    try:
        return kind.read(value)
    except ValueError as error:
        instead = "" if kind.is_secret else f", not {_shown(value)}"
        reason = f" ({error})" if isinstance(error, ScheduleError) else ""
        raise document.error(path, f"{dotted(path)} must be {kind.allowed}{instead}{reason}") from None


def _read_with_named(name: str, table: dict[str, Any], document: Document) -> Struct:
    """A table that holds, beside its keys, one of named tables."""
    inner, shape = NAMED[name]
    found = {}
    for entry, value in _need_table(document, (name, inner), table.get(inner, {})).items():
        path = (name, inner, entry)
        if _ENTRY_NAME.fullmatch(entry) is None:
            allowed = "1 to 100 characters out of a-z, A-Z, 0-9, dot, dash, underscore, @"
            raise document.error(path, f"[{dotted(path)}]: a name has {allowed}")
        found[entry] = read_table(shape, value, path, document)
    own = {key: value for key, value in table.items() if key != inner}
    return read_table(TABLES[name], own, (name,), document, **{inner: found})


def _read_queues(table: dict[str, Any], document: Document) -> Queues:
    """`[queues]` holds keys for every queue and a table for each named one; a table is told by being one."""
    own = {name: value for name, value in table.items() if not isinstance(value, dict)}
    for name, value in own.items():
        if name not in keys_of(Queues):
            known = f"{_keys_in_words(('queues',), keys_of(Queues))}, and a table [queues.NAME] per queue"
            raise document.error(("queues", name), f"{dotted(('queues', name))} is not a key; {known}")
        _read_value(keys_of(Queues)[name].kind, value, ("queues", name), document)
    named = {name: _read_queue(name, value, document) for name, value in table.items() if isinstance(value, dict)}
    return Queues(**own, named=named)


def _read_queue(name: str, table: dict[str, Any], document: Document) -> Queue:
    path = ("queues", name)
    _check_named(path, table, Queue, document)
    queue = read_table(Queue, table, path, document)
    if queue.max_jobs is not None and queue.backpressure is not None:
        complaint = "sets max_jobs and backpressure, which are the same: leave one out"
        raise document.error((*path, "backpressure"), f"[{dotted(path)}] {complaint}")
    for key in ("lane_concurrency", "lane_order", "lane_rate"):
        if key in table and queue.lane_by is None:
            raise document.error((*path, key), f"[{dotted(path)}] sets {key} and no lane_by: there are no lanes then")
    if queue.lane_order == "strict" and queue.lane_concurrency not in (None, 1):
        complaint = 'sets lane_order = "strict", and then one job of a lane runs at a time: leave lane_concurrency out'
        raise document.error((*path, "lane_concurrency"), f"[{dotted(path)}] {complaint}")
    return queue


def _read_throttle(name: str, value: object, document: Document) -> Throttle:
    """What limits one queue: something, and nothing that could have no effect."""
    path = ("throttles", name)
    if not isinstance(value, dict):
        raise document.error(path, f"{dotted(path)} must be a table, as in {name} = {{ concurrency = 4 }}")
    _check_named(path, value, Throttle, document)
    throttle = read_table(Throttle, value, path, document)
    has_slots = throttle.concurrency is not None or throttle.worker is not None
    if not has_slots and throttle.rate is None:
        raise document.error(path, f"[{dotted(path)}] limits nothing: set concurrency, worker, or rate and per")
    if (throttle.rate is None) != (throttle.per_ms is None):
        raise document.error(path, f"[{dotted(path)}] sets one of rate and per, which need each other")
    if throttle.timeout_ms is not None and not has_slots:
        raise document.error((*path, "timeout"), f"[{dotted(path)}] sets timeout, which needs concurrency or worker")
    return throttle


def _check_named(path: tuple[str, str], table: dict[str, Any], shape: type[Struct], document: Document) -> None:
    """A table that stands for a queue has a name that one can have."""
    if _QUEUE_NAME.fullmatch(path[1]) is None:
        raise document.error(
            path, f"[{dotted(path)}]: a queue name has 1 to 255 characters out of a-z, A-Z, 0-9, dot, dash, underscore"
        )
    for key, value in table.items():
        if isinstance(value, dict) and key not in keys_of(shape):
            here, quoted = (*path, key), f'[{path[0]}."{path[1]}.{key}"]'
            complaint = "is a table inside a queue; a queue name with a dot needs quotes"
            raise document.error(here, f"[{dotted(here)}] {complaint}: {quoted}")


def _need_table(document: Document, path: KeyPath, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise document.error(path, f"{dotted(path)} must be a table, written [{dotted(keys_only(path))}]")
    return value


def _keys_in_words(path: KeyPath, keys: dict[str, Key]) -> str:
    return f"the keys of [{dotted(keys_only(path))}] are {', '.join(keys)}"


def _shown(value: object) -> str:
    """A refused value as TOML would write it, cut off where it gets long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = f'"{value}"' if isinstance(value, str) else "a table" if isinstance(value, dict) else str(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
