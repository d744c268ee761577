"""The arguments of verbs: bytes to records, with the refusals that clients match as text.

PUSH and PUSHB carry a job, which has a module of its own (`lineshaft.job`). FETCH and QUEUE name queues (`queues`);
what operators use is in `admin`. What stands here is all the rest: what producers and workers say of jobs and batches.

Every function takes what follows the verb and its space; the line's end may still be there. What it returns is bounded
in size and of the right types; whether it makes sense (an unknown queue, a wrong target) is for the engine to say.
"""

from typing import Annotated, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from lineshaft.errors import Refusal
from lineshaft.fields import Decoder, instant_of
from lineshaft.job import Job, decode_pushed

__all__ = [
    "SUBCOMMANDS",
    "Ack",
    "Batch",
    "Beat",
    "Fail",
    "Requeue",
    "Track",
    "parse_ack",
    "parse_batch",
    "parse_beat",
    "parse_cancel",
    "parse_fail",
    "parse_requeue",
    "parse_track",
]

#: What a failed job carries around until it succeeds or is pruned (docs/protocol.md, "The job").
MAX_MESSAGE_LENGTH: Final = 1000
MAX_ERRTYPE_LENGTH: Final = 100
MAX_BACKTRACE_LINES: Final = 50
#: The protocol bounds the lines of a backtrace in number only; a line longer than this helps nobody.
MAX_BACKTRACE_LINE_LENGTH: Final = 1000

SUBCOMMANDS: Final = {
    "BATCH": ("NEW", "OPEN", "COMMIT", "STATUS"),
    "CRON": ("LIST", "RUN", "PAUSE", "RESUME"),
    "QUEUE": ("PAUSE", "RESUME", "REMOVE", "LATENCY"),
    "TRACK": ("GET", "SET"),
}
"""What may follow these verbs."""

#: What JSON's readers everywhere hold exactly; it is also repeated in INFO and in the pages.
Count = Annotated[int, Meta(ge=-(2**53), le=2**53)]


#: So many jobs has no worker; a server that is asked to compare more would have others wait.
MAX_HOLDING: Final = 10_000

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
    """A worker process is alive; `current_state` is where it says that it stands.

    `holding`, after it has connected again, are all jobs that it has.
    """

    wid: str | None = None
    rss_kb: Count | None = None
    current_state: str | None = None
    holding: Annotated[list[str], Meta(max_length=MAX_HOLDING)] | None = None


parse_ack: Final = Decoder(Ack, exact=True).decode
"""Bytes of an ACK; its keys must be spelled exactly. Raises Refusal `invalid JSON: ...`, also without a `jid`."""

parse_beat: Final = Decoder(Beat).decode
"""Bytes of a BEAT. Raises Refusal `invalid JSON: ...`."""

_decode_batch: Final = Decoder(_SentBatch).decode
_decode_fail: Final = Decoder(_SentFail).decode
_decode_cancel: Final = Decoder(_SentCancel).decode
_decode_requeue: Final = Decoder(_SentRequeue).decode
_decode_track: Final = Decoder(_SentTrack).decode


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
    return Track(
        sent.jid,
        sent.percent,
        None if sent.desc is None else sent.desc[:MAX_MESSAGE_LENGTH],
        instant_of("reserve_until", sent.reserve_until),
    )


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _trim_backtrace(lines: list[str | None]) -> list[str] | None:
    return [(line or "")[:MAX_BACKTRACE_LINE_LENGTH] for line in lines[:MAX_BACKTRACE_LINES]] or None
