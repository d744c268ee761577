"""What a value of the configuration may be: each kind reads a TOML value and says in words what it allows.

A kind stands in the annotation of the key that has it (see `model`). Its `read` gives the value in the unit in
which the server counts (bytes, milliseconds), or raises ValueError; the message that an operator sees is made
by the caller, who knows the file and the key, from `allowed`.
"""

import ipaddress
import math
import re
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from lineshaft.backoff import ALLOWED, parse_backoff
from lineshaft.schedule import NAMES, Schedule, find_zone

__all__ = [
    "Binding",
    "Kind",
    "Rate",
    "Secret",
    "address",
    "backoff_rule",
    "choice",
    "directory",
    "duration",
    "entry_name",
    "json_array",
    "json_object",
    "names",
    "patterns",
    "queue_name",
    "rate",
    "schedule",
    "secret",
    "size",
    "switch",
    "text",
    "time_zone",
    "web_address",
    "whole",
    "words",
]


class Kind(Struct, frozen=True):
    """A kind of value."""

    allowed: str  #: completes the sentence "KEY must be ..."
    read: Callable[[Any], Any]  #: TOML value to ours; raises ValueError
    is_secret: bool = False  #: whether a refused value must stay out of messages


class Rate(Struct, frozen=True):
    """So many in so many milliseconds."""

    tokens: int
    per_ms: int


class Secret(str):
    """A string that does not show itself in a repr, and so in no log and no traceback."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Binding(Struct, frozen=True):
    """Where to listen: an empty host is every interface, port 0 any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect; False when the host is a name that could be anything."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def choice(*words: str) -> Kind:
    """One of these words."""
    quoted = [f'"{word}"' for word in words]

    def read(value: object) -> object:
        _need(value in words)
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
        _need(isinstance(value, bool))
        return value

    return Kind("true or false", read)


def text() -> Kind:
    """A string of one line that is not empty."""

    def read(value: object) -> object:
        _need(isinstance(value, str) and value.isprintable() and bool(value.strip()))
        return value

    return Kind("a non-empty string of one line", read)


def directory() -> Kind:
    """The absolute path of a directory, which need not exist yet."""

    def read(value: object) -> object:
        _need(isinstance(value, str) and value.startswith("/") and value.isprintable())
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
        _need(len(given) > 0 and all(re.match(r"(nats|tls)://.", each) is not None for each in given))
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
        _need(all(re.fullmatch(r"[a-zA-Z0-9._*-]{1,255}", item) for item in value))
        return tuple(value)

    return Kind('a list of queues, each a name or a pattern with "*" for any characters', read)


def _matching(pattern: str, allowed: str) -> Kind:
    def read(value: object) -> object:
        _need(isinstance(value, str) and re.fullmatch(pattern, value) is not None)
        return value

    return Kind(allowed, read)


def schedule() -> Kind:
    """A cron expression. Raises ScheduleError, which says what is wrong with it."""

    def read(value: object) -> object:
        _need(isinstance(value, str))
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
        _need(isinstance(value, list) and _is_json(value))
        return value

    return Kind("an array of what JSON can hold (no dates, times, nan or inf)", read)


def json_object() -> Kind:
    """A table of what JSON can hold."""

    def read(value: object) -> object:
        _need(isinstance(value, dict) and _is_json(value))
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
        _need(isinstance(value, int) and not isinstance(value, bool) and least <= value <= most)
        return value

    return Kind(f"a whole number from {least} to {most}", read)


def rate(least: str, most: str) -> Kind:
    """So many in a time: `{ rate = 10, per = 60 }`, where the time is from `least` to `most`. Read as a Rate."""
    number, time = whole(1, 1_000_000), duration(least, most)

    def read(value: object) -> Rate:
        if not isinstance(value, dict) or set(value) != {"rate", "per"}:
            raise ValueError
        return Rate(number.read(value["rate"]), time.read(value["per"]))

    spoken = f'such as {{ rate = 10, per = "60s" }}: {number.allowed}, and {time.allowed}'
    return Kind(f"a rate {spoken}", read)


#: Decimal as disks are sold, binary as memory is; in lower case, since nobody means millibits.
_BYTES: Final = {
    "b": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}


def size(least: str, most: str) -> Kind:
    """Bytes: a whole number, or a string such as "500MB" or "16MiB". Read as an int of bytes."""

    def read(value: object) -> int:
        amount = _amount(value, _BYTES, bare=1)
        _need(_amount(least, _BYTES) <= amount <= _amount(most, _BYTES))
        return round(amount)

    return Kind(f'a number of bytes, or a string such as "500MB" or "16MiB", from {least} to {most}', read)


_MILLISECONDS: Final = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 7 * 86_400_000,
}


def duration(least: str, most: str, *, unit_ms: int = 1) -> Kind:
    """A time: a number of seconds, or a string such as "90s" or "30m". Read as an int of `unit_ms`."""

    def read(value: object) -> int:
        amount = _amount(value, _MILLISECONDS, bare=1000)
        _need(_amount(least, _MILLISECONDS) <= amount <= _amount(most, _MILLISECONDS))
        return round(amount / unit_ms)

    spoken = 'a number of seconds, or a string such as "90s", "30m", "24h" or "180d"'
    return Kind(f"{spoken}, from {least} to {most}", read)


def _amount(value: object, units: dict[str, int], *, bare: int = 1) -> float:
    """A number in units of `bare`, or text with a unit of its own. Raises ValueError."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value * bare
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", value.lower()) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    number, unit = match.groups()
    if unit not in units and unit:
        raise ValueError
    factor = units[unit] if unit else bare
    return float(number) * factor if "." in number else int(number) * factor


_ADDRESS: Final = re.compile(
    r"(?P<host>[A-Za-z0-9._-]*|\[(?P<six>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]):(?P<port>[0-9]{1,5})"
)
_ADDRESS_ALLOWED: Final = '"HOST:PORT" (as "127.0.0.1:7419", "[::1]:7419"; ":7419" is every interface)'


def address() -> Kind:
    """Where to listen."""
    return Kind(_ADDRESS_ALLOWED, _read_address)


def web_address() -> Kind:
    """Where to listen, or `:0` for nowhere, which is read as None."""

    def read(value: object) -> Binding | None:
        return None if value == ":0" else _read_address(value)

    return Kind(f'{_ADDRESS_ALLOWED}, or ":0" to switch it off', read)


def _read_address(value: object) -> Binding:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    six, port = match["six"], int(match["port"])
    _need(port <= 65_535)
    if six is not None:
        ipaddress.IPv6Address(six)
    return Binding(match["host"] if six is None else six, port)


def _need(holds: bool) -> None:
    if not holds:
        raise ValueError
