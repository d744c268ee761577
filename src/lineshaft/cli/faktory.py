"""What lies in a Faktory server's Redis: which jobs, in which place, in which order. It is only read here.

q:NAME           a list, pushed on the left and popped on the right   (before Faktory 1.10: NAME alone)
queues, paused   sets of names
scheduled, retries, dead      sorted sets: the job's JSON by the time it is due
working          a sorted set: {"job": {...}, "wid", "reserved_at", "expires_at"}
"""

from collections.abc import Iterator
from typing import Any, Final, Protocol

from msgspec import DecodeError, Raw, Struct
from msgspec import json as msgspec_json

from lineshaft.cli.adoption import Candidate, jid_of
from lineshaft.clock import format_instant

__all__ = ["PLACES", "Found", "Redis", "Source", "Unreadable"]

#: In the order in which they are brought: what was running comes first to the head of its queue.
PLACES: Final = ("working", "queues", "scheduled", "retries", "dead")

#: Rows that are read at a time.
SLICE: Final = 500

#: How long a dead job is kept there; its time in the sorted set may be that of its end instead of its death.
_KEPT_MS: Final = 180 * 86_400_000

#: 9999-12-31: a later time cannot be written down.
_LATEST_MS: Final = 253_402_300_799_999


class Redis(Protocol):
    """What of the client library is used."""

    def smembers(self, name: str) -> Any:
        """The members of a set."""
        ...

    def scan_iter(self, match: str, count: int) -> Any:
        """All keys of a pattern."""
        ...

    def type(self, name: str) -> Any:
        """The kind of a key, as bytes."""
        ...

    def llen(self, name: str) -> Any:
        """The length of a list."""
        ...

    def lrange(self, name: str, start: int, end: int) -> Any:
        """A part of a list, both ends included."""
        ...

    def zcard(self, name: str) -> Any:
        """The size of a sorted set."""
        ...

    def zrange(self, name: str, start: int, end: int, *, withscores: bool) -> Any:
        """A part of a sorted set, both ends included, with the scores."""
        ...


class Found(Struct, frozen=True):
    """How much there is."""

    queues: dict[str, int]
    paused: list[str]
    sets: dict[str, int]

    @property
    def total(self) -> int:
        """All jobs."""
        return sum(self.queues.values()) + sum(self.sets.values())


class Unreadable(Struct, frozen=True):
    """A row that is no job."""

    where: str
    why: str


class _Reservation(Struct):
    job: Raw


class Source:
    """A Faktory's Redis; `only` are the places that are looked at."""

    def __init__(self, redis: Redis, now: int, only: frozenset[str] = frozenset(PLACES)) -> None:
        self._redis = redis
        self._now = now
        self._only = only
        self._lists = self._find_lists() if "queues" in only else {}

    def _find_lists(self) -> dict[str, list[str]]:
        """Queue to the lists that hold its jobs; an upgraded server may have left some under the older name."""
        names = {_text(name) for name in self._redis.smembers("queues")}
        names |= {_text(key).removeprefix("q:") for key in self._redis.scan_iter("q:*", SLICE)}
        lists = {}
        for name in sorted(names):
            keys = [key for key in (name, f"q:{name}") if _text(self._redis.type(key)) == "list"]
            lists[name] = keys
        return lists

    def count(self) -> Found:
        """How much there is, now."""
        queues = {name: sum(self._redis.llen(key) for key in keys) for name, keys in self._lists.items()}
        paused = sorted(_text(name) for name in self._redis.smembers("paused")) if "queues" in self._only else []
        sets: dict[str, int] = {
            name: self._redis.zcard(name) for name in PLACES if name != "queues" and name in self._only
        }
        return Found(queues, paused, sets)

    def jobs(self) -> Iterator[Candidate | Unreadable]:
        """Every job, each queue in the order in which it would have run."""
        for place in PLACES:
            if place not in self._only:
                continue
            if place == "queues":
                for keys in self._lists.values():
                    for key in keys:
                        yield from self._list(key)
            else:
                yield from self._sorted_set(place)

    def _list(self, key: str) -> Iterator[Candidate | Unreadable]:
        """From the right, where the next to run stands."""
        end = -1
        while rows := self._redis.lrange(key, end - SLICE + 1, end):
            for job in reversed(rows):
                yield _candidate(key, "ready", job, None)
            end -= len(rows)

    def _sorted_set(self, name: str) -> Iterator[Candidate | Unreadable]:
        start = 0
        while rows := self._redis.zrange(name, start, start + SLICE - 1, withscores=True):
            for member, score in rows:
                yield self._member(name, member, round(score * 1000))
            start += len(rows)

    def _member(self, name: str, member: bytes, score_ms: int) -> Candidate | Unreadable:
        if name == "working":
            # Nobody is left who could end it: it runs again, as after a crash.
            try:
                return _candidate(name, "ready", bytes(msgspec_json.decode(member, type=_Reservation).job), None)
            except DecodeError as error:
                return Unreadable(name, f"cannot be read: {error}")
        at = min(max(score_ms, 0), _LATEST_MS)
        if name == "dead" and at > self._now:
            at = min(max(at - _KEPT_MS, 0), self._now)
        return _candidate(name, name, member, format_instant(at))


def _candidate(where: str, place: str, job: bytes, at: str | None) -> Candidate | Unreadable:
    try:
        return Candidate(place, job, jid_of(job), at)
    except ValueError as error:
        return Unreadable(where, str(error))


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
