"""Amounts: numbers with a unit, as a file has them and as the server counts; read, and said again.

    "16MiB"  <->  16777216     a size, in bytes; a bare number is bytes
    "90s"    <->  90000        a time, in milliseconds; a bare number is seconds

What is said is read as the same amount again. Units may be written in any case, since nobody means millibits.
"""

import re
from typing import Final

from msgspec import Struct

from lineshaft.config.kinds import Kind, need, whole

__all__ = ["Rate", "as_duration", "as_size", "duration", "rate", "size"]

#: Decimal as disks are sold, binary as memory is.
_BYTES: Final = {
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
}

#: The largest first, as a time is said.
_MILLISECONDS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}

#: As they are read. Nobody is told of weeks: days are what the defaults are given in.
_READ_BYTES: Final = {unit.lower(): count for unit, count in _BYTES.items()}
_READ_MILLISECONDS: Final = {**_MILLISECONDS, "w": 7 * 86_400_000}


class Rate(Struct, frozen=True):
    """So many in so many milliseconds."""

    tokens: int
    per_ms: int


def size(least: str, most: str) -> Kind:
    """Bytes: a whole number, or a string such as "500MB" or "16MiB". Read as an int of bytes."""

    def read(value: object) -> int:
        amount = _amount(value, _READ_BYTES, bare=1)
        need(_amount(least, _READ_BYTES) <= amount <= _amount(most, _READ_BYTES))
        return round(amount)

    return Kind(f'a number of bytes, or a string such as "500MB" or "16MiB", from {least} to {most}', read)


def duration(least: str, most: str, *, unit_ms: int = 1) -> Kind:
    """A time: a number of seconds, or a string such as "90s" or "30m". Read as an int of `unit_ms`."""

    def read(value: object) -> int:
        amount = _amount(value, _READ_MILLISECONDS, bare=1000)
        need(_amount(least, _READ_MILLISECONDS) <= amount <= _amount(most, _READ_MILLISECONDS))
        return round(amount / unit_ms)

    spoken = 'a number of seconds, or a string such as "90s", "30m", "24h" or "180d"'
    return Kind(f"{spoken}, from {least} to {most}", read)


def rate(least: str, most: str) -> Kind:
    """So many in a time: `{ rate = 10, per = 60 }`, where the time is from `least` to `most`. Read as a Rate."""
    number, time = whole(1, 1_000_000), duration(least, most)

    def read(value: object) -> Rate:
        if not isinstance(value, dict) or set(value) != {"rate", "per"}:
            raise ValueError
        return Rate(number.read(value["rate"]), time.read(value["per"]))

    spoken = f'such as {{ rate = 10, per = "60s" }}: {number.allowed}, and {time.allowed}'
    return Kind(f"a rate {spoken}", read)


def as_duration(milliseconds: int) -> str:
    """A time in the largest unit of which it is a whole number: `180d`, `90s`."""
    if not milliseconds:
        return "0s"
    return next(f"{milliseconds // ms}{unit}" for unit, ms in _MILLISECONDS.items() if milliseconds % ms == 0)


def as_size(count: int) -> str:
    """Bytes in the unit that makes the smallest whole number: `256MB`, `64MiB`."""
    number, unit = min((count // each, unit) for unit, each in _BYTES.items() if count % each == 0)
    return f"{number}{unit}"


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
