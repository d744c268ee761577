"""What a value of the configuration may be: each kind reads a TOML value and says in words what it allows.

A kind stands in the annotation of the key that has it (see `model`). Its `read` gives the value in the unit in
which the server counts (bytes, milliseconds), or raises ValueError; the message that an operator sees is made
by the caller, who knows the file and the key, from `allowed`.

Two groups of kinds have a module of their own: what has a unit is in `amounts`, where to listen in `binding`.
"""

import math
import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from lineshaft.backoff import ALLOWED, parse_backoff
from lineshaft.schedule import NAMES, Schedule, find_zone

__all__ = [
    "Kind",
    "Secret",
    "backoff_rule",
    "choice",
    "count",
    "directory",
    "entry_name",
    "json_array",
    "json_object",
    "names",
    "nats_servers",
    "need",
    "node_name",
    "patterns",
    "queue_name",
    "schedule",
    "secret",
    "switch",
    "text",
    "time_zone",
    "whole",
    "words",
]

#: Sequence numbers and counts stay well inside 64 bits with this.
_MANY: Final = 10**12


class Kind(Struct, frozen=True):
    """A kind of value."""

    allowed: str  #: completes the sentence "KEY must be ..."
    read: Callable[[Any], Any]  #: TOML value to ours; raises ValueError
    is_secret: bool = False  #: whether a refused value must stay out of messages


class Secret(str):
    """A string that does not show itself in a repr, and so in no log and no traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def need(holds: bool) -> None:
    """Raises ValueError unless it holds: how a kind refuses a value."""
    if not holds:
        raise ValueError


def choice(*words: str) -> Kind:
    """One of these words."""
    quoted = [f'"{word}"' for word in words]

    def read(value: object) -> object:
        need(value in words)
        return value

    return Kind(" or ".join([", ".join(quoted[:-1]), quoted[-1]]), read)


def backoff_rule() -> Kind:
    """How long a job waits after a failure, as `lineshaft.backoff` has it."""

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError
        parse_backoff(value)
        return value

    return Kind(ALLOWED, read)


def switch() -> Kind:
    """true or false."""

    def read(value: object) -> object:
        need(isinstance(value, bool))
        return value

    return Kind("true or false", read)


def text() -> Kind:
    """A string of one line that is not empty."""

    def read(value: object) -> object:
        need(isinstance(value, str) and value.isprintable() and bool(value.strip()))
        return value

    return Kind("a non-empty string of one line", read)


def directory() -> Kind:
    """The absolute path of a directory, which need not exist yet."""

    def read(value: object) -> object:
        need(isinstance(value, str) and value.startswith("/") and value.isprintable())
        return value

    return Kind("the absolute path of a directory", read)


def names() -> Kind:
    """A list of names."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
            raise ValueError
        return tuple(value)

    return Kind("a list of names, each a string", read)


def words(*known: str) -> Kind:
    """A list of some of these words."""
    quoted = ", ".join(f'"{word}"' for word in known)

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(word in known for word in value):
            raise ValueError
        return tuple(word for word in known if word in value)

    return Kind(f"a list of some of {quoted}", read)


def entry_name() -> Kind:
    """A name that the operator gives to something."""
    return _matching(r"[A-Za-z0-9._-]{1,100}", "1 to 100 characters out of a-z, A-Z, 0-9, dot, dash, underscore")


def node_name() -> Kind:
    """The name of a cluster or of a node in it; NATS has it in its own names."""
    return _matching(r"[A-Za-z0-9_-]{1,50}", "1 to 50 characters out of a-z, A-Z, 0-9, dash, underscore")


def nats_servers() -> Kind:
    """Where NATS is; such a URL may hold a password."""

    def read(value: object) -> tuple[str, ...]:
        given = names().read(value)
        need(len(given) > 0 and all(re.match(r"(nats|tls)://.", each) is not None for each in given))
        return tuple(given)

    return Kind('a list of URLs such as "nats://10.0.0.1:4222"', read, is_secret=True)


def queue_name() -> Kind:
    """The name of a queue, as the engine has it; stated again because one that no client can use helps nobody."""
    return _matching(r"[a-zA-Z0-9._-]{1,255}", "1 to 255 characters out of a-z, A-Z, 0-9, dot, dash, underscore")


def patterns() -> Kind:
    """A list of names of queues, in which `*` stands for any characters."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise ValueError
        need(all(re.fullmatch(r"[a-zA-Z0-9._*-]{1,255}", item) for item in value))
        return tuple(value)

    return Kind('a list of queues, each a name or a pattern with "*" for any characters', read)


def _matching(pattern: str, allowed: str) -> Kind:
    def read(value: object) -> object:
        need(isinstance(value, str) and re.fullmatch(pattern, value) is not None)
        return value

    return Kind(allowed, read)


def schedule() -> Kind:
    """A cron expression. Raises ScheduleError, which says what is wrong with it."""

    def read(value: object) -> object:
        need(isinstance(value, str))
        Schedule(str(value))
        return value

    fields = '"MINUTE HOUR DAY MONTH WEEKDAY", with SECOND before them if you like'
    return Kind(f'{fields} (as "*/5 * * * *"), or one of {", ".join(NAMES)}', read)


def time_zone() -> Kind:
    """The IANA name of a time zone."""

    def read(value: object) -> object:
        find_zone(value if isinstance(value, str) else "")
        return value

    return Kind('the name of a time zone, such as "UTC" or "Europe/Madrid"', read)


def json_array() -> Kind:
    """An array of what JSON can hold."""

    def read(value: object) -> object:
        need(isinstance(value, list) and _is_json(value))
        return value

    return Kind("an array of what JSON can hold (no dates, times, nan or inf)", read)


def json_object() -> Kind:
    """A table of what JSON can hold."""

    def read(value: object) -> object:
        need(isinstance(value, dict) and _is_json(value))
        return value

    return Kind("a table of what JSON can hold (no dates, times, nan or inf)", read)


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_json(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    # Beyond 64 bits workers read another number, or none.
    return isinstance(value, str | bool) or (isinstance(value, int) and -(2**63) <= value < 2**63)


def secret() -> Kind:
    """A password, or the absolute path of the file that holds it: that is opened by `load`, not here."""

    def read(value: object) -> Secret:
        if not isinstance(value, str) or not value.strip():
            raise ValueError
        return Secret(value)

    return Kind("a string that is not empty; leave the key out for no password", read, is_secret=True)


def whole(least: int, most: int) -> Kind:
    """A whole number from `least` to `most`."""

    def read(value: object) -> object:
        need(isinstance(value, int) and not isinstance(value, bool) and least <= value <= most)
        return value

    return Kind(f"a whole number from {least} to {most}", read)


def count() -> Kind:
    """A whole number from 1; there is no other limit than that it stays well inside 64 bits."""
    return whole(1, _MANY)
