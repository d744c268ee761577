"""The arguments of the verbs: bytes to records, with the refusals that clients match as text.

PUSH and PUSHB carry a job, which has a module of its own; what stands here is all the rest. Every function takes what
follows the verb and its space, without the line's end. What it returns is bounded in size and of the right types;
whether it makes sense (an unknown queue, a wrong target) is for the engine to say.
"""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from lineshaft.clock import parse_instant
from lineshaft.errors import Refusal
from lineshaft.fields import Decoder
from lineshaft.job import Job, decode_pushed

__all__ = [
    "SUBCOMMANDS",
    "Ack",
    "Batch",
    "Beat",
    "Fail",
    "Filter",
    "Mutate",
    "Requeue",
    "Track",
    "parse_ack",
    "parse_batch",
    "parse_beat",
    "parse_cancel",
    "parse_cron",
    "parse_fail",
    "parse_fetch",
    "parse_mutate",
    "parse_names",
    "parse_queue",
    "parse_requeue",
    "parse_track",
]

#: What a failed job carries around until it succeeds or is pruned (docs/protocol.md, "The job").
MAX_MESSAGE_LENGTH: Final = 1000
MAX_ERRTYPE_LENGTH: Final = 100
MAX_BACKTRACE_LINES: Final = 50
#: The protocol bounds the lines of a backtrace in number only; a line longer than this helps nobody.
MAX_BACKTRACE_LINE_LENGTH: Final = 1000

#: A FETCH takes its place in a line for every queue that it names.
MAX_NAMES: Final = 1000
MAX_NAME_LENGTH: Final = 1000

#: A queue this much heavier than another leaves it as good as nothing already.
MAX_WEIGHT: Final = 1_000_000

SUBCOMMANDS: Final = {
    "BATCH": ("NEW", "OPEN", "COMMIT", "STATUS"),
    "CRON": ("LIST", "RUN", "PAUSE", "RESUME"),
    "QUEUE": ("PAUSE", "RESUME", "REMOVE", "LATENCY"),
    "TRACK": ("GET", "SET"),
}
"""What may follow these verbs."""

#: What JSON's readers everywhere hold exactly; it is also repeated in INFO and in the pages.
Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]


FilterText = Annotated[str, Meta(max_length=1000)]
"""What is compared with every job."""

Wait = Annotated[float, Meta(ge=0, le=3650 * 86_400)]
"""Seconds until something is to happen: ten years at most."""


class Ack(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A job is done; `result` is the JSON that it returned, as sent."""

    jid: str
    result: Raw | UnsetType = UNSET


class Fail(Struct, frozen=True):
    """A job failed: trimmed, and with `unknown` for what was absent or empty."""

    jid: str
    errtype: str
    message: str
    backtrace: list[str] | None
    retry_in: int | None = None  #: milliseconds


class _SentFail(Struct, frozen=True, forbid_unknown_fields=True):
    """A FAIL as it was sent: anything may be absent or null, also a line of the backtrace."""

    jid: str | None = None
    errtype: str | None = None
    message: str | None = None
    backtrace: list[str | None] | None = None
    retry_in: Wait | None = None


class _SentCancel(Struct, frozen=True, forbid_unknown_fields=True):
    """A CANCEL as it was sent."""

    jid: str | None = None


class Requeue(Struct, frozen=True):
    """A worker gives a job back."""

    jid: str
    wait: int | None  #: milliseconds; None is at once


class Track(Struct, frozen=True):
    """What a TRACK SET says: trimmed, and with the instant in milliseconds."""

    jid: str
    percent: int | None
    desc: str | None
    reserve_until: int | None


class _SentTrack(Struct, frozen=True, forbid_unknown_fields=True):
    """A TRACK SET as it was sent."""

    jid: str | None = None
    percent: Annotated[int, Meta(ge=0, le=100)] | None = None
    desc: str | None = None
    reserve_until: str | None = None


class _SentRequeue(Struct, frozen=True, forbid_unknown_fields=True):
    """A REQUEUE as it was sent."""

    jid: str | None = None
    wait: Wait | None = field(default=None, name="in")


class Batch(Struct, frozen=True):
    """What a BATCH NEW asks for; callbacks as pushed jobs are, not yet admitted."""

    parent_bid: str
    description: str
    complete: Job | None
    success: Job | None
    death: Job | None


class _SentBatch(Struct, frozen=True, forbid_unknown_fields=True):
    """A BATCH NEW as it was sent."""

    parent_bid: str | None = None
    description: str | None = None
    complete: Raw = Raw(b"")
    success: Raw = Raw(b"")
    death: Raw = Raw(b"")


class Beat(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A worker process is alive; `current_state` is where it says that it stands."""

    wid: str | None = None
    rss_kb: Count | None = None
    current_state: str | None = None


class Filter(Struct, frozen=True, forbid_unknown_fields=True):
    """Which jobs a MUTATE is about; nothing set means all.

    An unknown or differently cased key is refused, unlike everywhere else: dropping it would widen the command, in
    the end to every job there is.
    """

    jids: list[str] | None = None
    jobtype: str | None = None
    regexp: str | None = None
    # Beyond the protocol; as `engine.filter` has it.
    queue: FilterText | None = None
    errtype: FilterText | None = None
    text: FilterText | None = None
    since: str | None = None
    until: str | None = None


class Mutate(Struct, frozen=True, forbid_unknown_fields=True):
    """Something is to be done to many jobs at once."""

    cmd: str | None = None
    target: str | None = None
    filter: Filter | None = None


parse_ack: Final = Decoder(Ack, exact=True).decode
"""Bytes of an ACK; its keys must be spelled exactly. Raises Refusal `invalid JSON: ...`, also without a `jid`."""

parse_beat: Final = Decoder(Beat).decode
"""Bytes of a BEAT. Raises Refusal `invalid JSON: ...`."""

_decode_batch: Final = Decoder(_SentBatch).decode
_decode_fail: Final = Decoder(_SentFail).decode
_decode_cancel: Final = Decoder(_SentCancel).decode
_decode_requeue: Final = Decoder(_SentRequeue).decode
_decode_track: Final = Decoder(_SentTrack).decode
_decode_mutate: Final = Decoder(Mutate).decode


def parse_fail(argument: bytes) -> Fail:
    """Bytes of a FAIL. Raises Refusal `invalid FAIL ...`, or `missing JID`."""
    try:
        fail = _decode_fail(argument)
    except Refusal as refusal:
        raise Refusal(f"invalid FAIL {refusal}") from None
    if not fail.jid:
        raise Refusal("missing JID")
    return Fail(
        fail.jid,
        (fail.errtype or "unknown")[:MAX_ERRTYPE_LENGTH],
        (fail.message or "unknown")[:MAX_MESSAGE_LENGTH],
        _trim_backtrace(fail.backtrace or []),
        _milliseconds(fail.retry_in),
    )


def parse_batch(argument: bytes) -> tuple[str, Batch | str]:
    """BATCH's subcommand in upper case, and what a NEW asks for, or the bid that the others name. Raises Refusal."""
    subcommand, _, rest = argument.strip().partition(b" ")
    word = subcommand.decode(errors="replace").upper()
    if word == "NEW":
        sent = _decode_batch(rest)
        return word, Batch(
            sent.parent_bid or "",
            (sent.description or "")[:MAX_MESSAGE_LENGTH],
            _callback(sent.complete),
            _callback(sent.success),
            _callback(sent.death),
        )
    if word not in SUBCOMMANDS["BATCH"]:
        raise Refusal(f"no such BATCH subcommand: {word[:50]}")
    try:
        bid = rest.strip().decode()
    except UnicodeDecodeError:
        raise Refusal("invalid batch id: not UTF-8") from None
    if not bid:
        raise Refusal("missing batch id")
    return word, bid


def _callback(sent: Raw) -> Job | None:
    return None if bytes(sent) in {b"", b"null"} else decode_pushed(bytes(sent))


def parse_cancel(argument: bytes) -> str:
    """Bytes of a CANCEL to its jid. Raises Refusal `invalid JSON: ...`, or `missing JID`."""
    jid = _decode_cancel(argument).jid
    if not jid:
        raise Refusal("missing JID")
    return jid


def parse_requeue(argument: bytes) -> Requeue:
    """Bytes of a REQUEUE. Raises Refusal `invalid JSON: ...`, or `missing JID`."""
    sent = _decode_requeue(argument)
    if not sent.jid:
        raise Refusal("missing JID")
    return Requeue(sent.jid, _milliseconds(sent.wait))


def parse_track(argument: bytes) -> str | Track:
    """TRACK's argument: the jid of a GET, or what a SET says. Raises Refusal."""
    subcommand, _, rest = argument.strip().partition(b" ")
    word = subcommand.upper()
    if word == b"GET":
        try:
            jid = rest.strip().decode()
        except UnicodeDecodeError:
            raise Refusal("invalid jid: not UTF-8") from None
        if not jid:
            raise Refusal("missing JID")
        return jid
    if word != b"SET":
        raise Refusal(f"no such TRACK subcommand: {subcommand.decode(errors='replace')[:50]}")
    sent = _decode_track(rest)
    if not sent.jid:
        raise Refusal("missing JID")
    until = None
    if sent.reserve_until:
        try:
            until = parse_instant(sent.reserve_until)
        except (ValueError, OverflowError):
            raise Refusal(f"invalid timestamp for 'reserve_until': {sent.reserve_until[:100]}") from None
    return Track(sent.jid, sent.percent, None if sent.desc is None else sent.desc[:MAX_MESSAGE_LENGTH], until)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _trim_backtrace(lines: list[str | None]) -> list[str] | None:
    return [(line or "")[:MAX_BACKTRACE_LINE_LENGTH] for line in lines[:MAX_BACKTRACE_LINES]] or None


def parse_mutate(argument: bytes) -> Mutate:
    """Bytes of a MUTATE. Raises Refusal `invalid format`."""
    try:
        return _decode_mutate(argument)
    except Refusal:
        raise Refusal("invalid format") from None


def parse_names(argument: bytes) -> list[str]:
    """Queue names, as FETCH and QUEUE list them, in their order. Raises Refusal: too many, too long, or not UTF-8.

    Whether a name could be a queue's is not checked here: `*` means all to QUEUE, and FETCH may ask in vain.
    """
    names = argument.split(None, MAX_NAMES)
    if len(names) > MAX_NAMES:
        raise Refusal(f"too many queue names: the limit is {MAX_NAMES}")
    try:
        decoded = [name.decode() for name in names]
    except UnicodeDecodeError:
        raise Refusal("invalid queue name: not UTF-8") from None
    if len(argument) > MAX_NAME_LENGTH and max(map(len, decoded), default=0) > MAX_NAME_LENGTH:
        raise Refusal(f"invalid queue name: longer than {MAX_NAME_LENGTH} characters")
    return decoded


def parse_fetch(argument: bytes) -> tuple[list[str], dict[str, int] | None]:
    """FETCH's queue names, and their weights where any has one (`name:5`); a name without one then weighs 1.

    A name that stands there twice weighs as much as both. Raises Refusal for a bad weight, and as `parse_names`.
    """
    names = parse_names(argument)
    if b":" not in argument:
        return names, None
    weights: dict[str, int] = {}
    for said in names:
        name, colon, weight = said.partition(":")
        weights[name] = weights.get(name, 0) + (_weight(said, weight) if colon else 1)
        if not name:
            raise Refusal(f"invalid queue name in '{said[:100]}': it is empty")
    return list(weights), weights


def _weight(said: str, weight: str) -> int:
    # Not `isdigit` alone: there are digits beyond ASCII.
    if weight.isascii() and weight.isdigit() and len(weight) <= len(str(MAX_WEIGHT)) and 1 <= int(weight) <= MAX_WEIGHT:
        return int(weight)
    raise Refusal(f"invalid weight in '{said[:100]}': a weight is a whole number from 1 to {MAX_WEIGHT}")


def parse_cron(argument: bytes) -> tuple[str, str]:
    """CRON's subcommand, in upper case whatever it was, and the name after it. Raises Refusal."""
    subcommand, _, rest = argument.strip().partition(b" ")
    word, name = subcommand.decode(errors="replace").upper(), rest.strip().decode(errors="replace")
    if word not in SUBCOMMANDS["CRON"]:
        raise Refusal(f"no such CRON subcommand: {word[:50]}")
    if word != "LIST" and not name:
        raise Refusal(f"CRON {word} needs the name of a periodic job")
    if word == "LIST" and name:
        raise Refusal("CRON LIST takes no name")
    return word, name


def parse_queue(argument: bytes) -> tuple[str, list[str]]:
    """QUEUE's subcommand, in upper case whatever it was, and the names after it. Raises Refusal, as `parse_names`."""
    subcommand, _, rest = argument.lstrip().partition(b" ")
    word = subcommand.decode(errors="replace").strip().upper()
    if word not in SUBCOMMANDS["QUEUE"]:
        raise Refusal(f"no such QUEUE subcommand: {word[:50]}")
    return word, parse_names(rest)
