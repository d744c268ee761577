"""`lineshaft push`: one job from the command line."""

import re
import secrets
from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import Parameter
from msgspec import DecodeError, Raw
from msgspec import json as msgspec_json

from lineshaft.cli.reach import reach
from lineshaft.clock import format_instant, parse_instant, system_clock
from lineshaft.config.amounts import duration
from lineshaft.errors import UsageError

__all__ = ["build_job", "parse_args", "parse_at", "push"]

_DELAY = duration("0s", "36500d")


def push(
    jobtype: str,
    /,
    *args: str,
    queue: str | None = None,
    at: str | None = None,
    priority: int | None = None,
    custom: Annotated[str | None, Parameter(metavar="JSON")] = None,
    retry: int | None = None,
    reserve_for: int | None = None,
    jid: str | None = None,
) -> int:
    """Push one job and print its jid. FAKTORY_URL says to which server [default: tcp://localhost:7419].

    Parameters
    ----------
    jobtype
        The type, by which a worker finds the code.
    args
        The arguments: one JSON array, or each as a JSON value of its own.
    queue
        The queue [default: default].
    at
        When it is to run: RFC 3339, or from now on as +90s, +10m, +24h.
    priority
        From 1 to 9, 9 first [default: 5].
    custom
        A JSON object that travels with the job.
    retry
        How often it is tried again; 0 discards it when it fails, -1 lets it die [default: 25].
    reserve_for
        How many seconds a worker may take [default: 1800].
    jid
        The id of the job, at least 8 characters [default: a random one].
    """
    job = build_job(
        jobtype,
        args,
        queue=queue,
        at=at,
        priority=priority,
        custom=custom,
        retry=retry,
        reserve_for=reserve_for,
        jid=jid,
        now=system_clock(),
    )
    with reach() as client:
        client.push(job)
    print(job["jid"])
    return 0


def build_job(
    jobtype: str,
    args: Sequence[str],
    *,
    queue: str | None = None,
    at: str | None = None,
    priority: int | None = None,
    custom: str | None = None,
    retry: int | None = None,
    reserve_for: int | None = None,
    jid: str | None = None,
    now: int,
) -> dict[str, Any]:
    """The job that the words on the command line describe; args and custom keep their bytes.

    Checked here is what the server would not refuse but silently read otherwise, or could only refuse as bad JSON.
    Raises UsageError.
    """
    if priority is not None and not 1 <= priority <= 9:
        raise UsageError(f"--priority must be from 1 to 9, 9 first, not {priority}")
    for name, number in (("--retry", retry), ("--reserve-for", reserve_for)):
        if number is not None and not -(2**31) <= number < 2**31:
            raise UsageError(f"{name} must fit in 32 bits, not {number}")
    job = {
        "jid": jid if jid is not None else secrets.token_hex(12),
        "jobtype": jobtype,
        "args": parse_args(args),
        "queue": queue,
        "at": None if at is None else parse_at(at, now),
        "priority": priority,
        "custom": None if custom is None else _json("--custom", custom, "{", "a JSON object"),
        "retry": retry,
        "reserve_for": reserve_for,
    }
    return {name: value for name, value in job.items() if value is not None}


def parse_args(words: Sequence[str]) -> Raw:
    """The args of a job: of one word that is a JSON array, its elements; else each word is one JSON value.

    So an array as the only argument is written `[[1, 2]]`. Raises UsageError.
    """
    values = [_json("ARGS", word, "", "JSON (a string needs its own quotes: '\"text\"')") for word in words]
    if len(values) == 1 and words[0].lstrip().startswith("["):
        return values[0]
    return Raw(b"[" + b",".join(bytes(value) for value in values) + b"]")


def parse_at(text: str, now: int) -> str:
    """A time as the protocol writes it, from RFC 3339 or `+10m`. Raises UsageError."""
    try:
        if not text.startswith("+"):
            parse_instant(text)
            return text
        if re.search("[a-z]$", text) is None:
            raise ValueError
        return format_instant(now + _DELAY.read(text[1:]))
    except ValueError:
        raise UsageError(
            f'--at must be RFC 3339 with an offset (2026-01-31T08:00:00Z), or +90s, +10m, +24h, not "{text}"'
        ) from None


def _json(name: str, text: str, opening: str, allowed: str) -> Raw:
    """The bytes of a JSON value, checked and otherwise left alone."""
    raw = text.strip().encode("utf-8", "surrogateescape")
    try:
        msgspec_json.decode(raw)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise UsageError(f"{name} must be {allowed}, not {text}") from None
    if not text.lstrip().startswith(opening):
        raise UsageError(f"{name} must be {allowed}, not {text}")
    return Raw(raw)
