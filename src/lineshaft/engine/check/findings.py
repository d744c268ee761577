"""Findings: what a check of a store has to say, and the words for places in it."""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

from msgspec import Struct, field

from lineshaft.clock import format_instant
from lineshaft.engine import keys
from lineshaft.lifecycle import Place

__all__ = [
    "SETS", "Finding", "Law", "MalformedKey", "Report", "Severity", "Tally", "instant_shown", "shown",
]  # fmt: skip

#: The place that the code of a set in its keys stands for.
SETS: Final = {b"s": Place.SCHEDULED, b"r": Place.RETRIES, b"d": Place.DEAD}


class MalformedKey(Exception):
    """A key is not made as those of its kind are."""


class Severity(StrEnum):
    """How bad it is."""

    DAMAGE = "damage"  #: something is lost, or goes wrong when it is met
    UNTIDY = "untidy"  #: does no harm


class Law(StrEnum):
    """What must be true of a store, named for how it is broken."""

    FORMAT = "unknown format"
    UNREADABLE = "unreadable rows"
    KEY = "unknown key"
    RECORD = "broken record"
    SET_ASIDE = "row set aside"
    JOB = "broken job"
    MISPLACED = "job in the wrong place"
    DOUBLE = "number used twice"
    UNREACHABLE = "job out of reach"
    CURSOR = "job before the cursor"
    SIZE = "wrong size"
    SEQUENCE = "sequence too low"
    LEASE = "lease of another job"
    LEASED_TWICE = "job leased twice"
    EXPIRY = "nothing that ends it"
    HISTORY = "history entry astray"
    ENDED = "leases that have all ended"
    LANE = "lane out of step"
    STUCK = "lane that is never served"
    BUCKET = "impossible bucket"
    PERIODIC = "periodic job that contradicts itself"
    CHORE = "unknown chore"
    BATCH = "batch counted wrongly"
    GROUP = "failures counted wrongly"
    NOTE = "impossible note"
    NOT_INDEXED = "job not in the index"
    ASTRAY = "index entry of another job"
    STALE = "index entry of no job"


class Finding(Struct, frozen=True):
    """One thing that is not as it must be."""

    law: Law
    key: str  #: where, in words; see `shown`
    what: str
    severity: Severity = Severity.DAMAGE


class Report(Protocol):
    """Who is told what is wrong."""

    def __call__(self, law: Law, key: bytes, what: str, severity: Severity = ..., /) -> None:
        """One thing that is not as it must be."""


class Tally(Struct):
    """What was seen so far."""

    rows: int = 0
    #: Jobs by place; those of removed queues that wait to be swept are in none.
    places: dict[Place, int] = field(
        default_factory=lambda: dict.fromkeys(
            (Place.READY, Place.LEASED, Place.SCHEDULED, Place.RETRIES, Place.DEAD), 0
        )
    )
    removed: int = 0


def instant_shown(instant: int) -> str:
    """An instant in words, whatever number it is."""
    try:
        return format_instant(instant)
    except (ValueError, OverflowError, OSError):
        return f"{instant} ms"


def shown(key: bytes) -> str:
    """A key in words; one that is not made as ours are, as its bytes."""
    try:
        return _SHOWN[key[:1]](key)
    except (KeyError, IndexError, ValueError):
        return repr(key)


def _shown_ready(key: bytes) -> str:
    name, generation, priority = keys.ready_parts(key)
    lane = keys.ready_lane(key)
    if len(key) != len(name.encode()) + 19 + (0 if lane is None else len(lane) + 1):
        raise ValueError
    inside = "" if lane is None else f", lane {lane.decode()}" if lane else ", common lane"
    return f"queue {name}{inside}, priority {priority}, order {keys.ready_order(key)} (generation {generation})"


def _shown_about_lanes(key: bytes) -> str:
    name, generation, kind = keys.lanes_parts(key)
    behind = key[11 + key[1] :]
    what = {b"l": f"lane {behind[1:].decode()}", b"t": f"turn {int.from_bytes(behind)}"}.get(kind, f"age {behind!r}")
    return f"queue {name}, {what} (generation {generation})"


def _shown_timed(key: bytes) -> str:
    if len(key) != 18:
        raise ValueError
    return f"{SETS[key[1:2]]}, {instant_shown(keys.timed_due(key))}, order {keys.timed_order(key)}"


def _shown_entry(key: bytes) -> str:
    if len(key) != int.from_bytes(key[1:3]) + 11:
        raise ValueError
    return f"index entry of {key[3:-8].decode()}, seq {keys.where_seq(key)}"


def _shown_batch(key: bytes) -> str:
    if key[:2] == b"Bm" and len(key) > 10:
        return f"job {int.from_bytes(key[-8:])} of batch {key[2:-8].decode()}"
    return {b"b": "batch ", b"j": "callback of batch ", b"m": "jobs of batches"}[key[1:2]] + key[2:].decode()


def _shown_number(word: str) -> Callable[[bytes], str]:
    return lambda key: f"{word} {int.from_bytes(key[1:])}" if len(key) == 9 else repr(key)


def _shown_text(word: str) -> Callable[[bytes], str]:
    return lambda key: f"{word} {key[1:].decode()}".rstrip()


_SHOWN: Final[dict[bytes, Callable[[bytes], str]]] = {
    b"A": _shown_text("position in the log"),
    b"B": _shown_batch,
    b"C": _shown_number("chore"),
    b"D": _shown_text("day"),
    b"F": _shown_text("format"),
    b"G": _shown_text("totals"),
    b"I": _shown_text("watermark of the index"),
    b"J": _shown_text("periodic job"),
    b"K": _shown_text("worker"),
    b"L": _shown_number("leases of turn"),
    b"M": _shown_text("throttle of the queue"),
    b"Z": lambda key: f"note of {instant_shown(keys.note_at(key))}",
    b"N": _shown_text("sequence"),
    b"O": _shown_about_lanes,
    b"Q": _shown_text("queue"),
    b"R": _shown_ready,
    b"S": lambda key: f"set {SETS[key[1:]]}",
    b"T": _shown_timed,
    b"V": _shown_ready,
    b"W": _shown_entry,
}
