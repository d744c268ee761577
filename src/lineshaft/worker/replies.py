"""What a server answers to the reports of a worker, and what is to be done about it."""

import logging
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from lineshaft.client.lines import decoded, line
from lineshaft.errors import PeerError, UsageError
from lineshaft.protocol.resp import ErrorReply, Reply

__all__ = [
    "check_replies",
    "fail_instead",
    "fail_unreadable",
    "is_lasting",
    "is_lineshaft",
    "is_unknown",
    "jid_in",
    "payload_of",
]

#: What a server says to a wrong password.
_WRONG_PASSWORD: Final = "Invalid password"


class _Head(msgspec.Struct):
    jid: str


_decode_head: Final = msgspec.json.Decoder(_Head).decode

log = logging.getLogger("lineshaft.worker")

#: How refusals begin that will not last.
_PASSING: Final = ("storage failed", "shutdown in progress")


def check_replies(lines: Sequence[bytes], replies: Sequence[Reply]) -> None:
    """Raise what may be over in a moment, so that the report is repeated; log other refusals of reports."""
    for one, reply in zip(lines, replies, strict=False):
        if isinstance(reply, ErrorReply):
            if reply.message.startswith(_PASSING):
                raise reply.refusal()
            if not is_unknown(one, reply):
                # The verb alone: what follows it holds results and messages of jobs.
                log.error("the server refused %s: %s", one.partition(b" ")[0].decode(), reply.message)


def payload_of(reply: Reply) -> bytes | None:
    """The job in the reply to a FETCH. Raises Refusal, PeerError."""
    if isinstance(reply, ErrorReply):
        raise reply.refusal()
    if reply is not None and not isinstance(reply, bytes):
        raise PeerError(f"the server answers FETCH with {reply!r}")
    return reply


def fail_unreadable(payload: bytes, error: Exception) -> list[bytes]:
    """What tells the server that a job cannot be read here; nothing when not even its jid can be.

    Such a one is left to its reservation, which in the end lets it die.
    """
    try:
        jid = _decode_head(payload).jid
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        log.error("the server sent a job that cannot be read: %s", error)
        return []
    log.error("a job that cannot be read failed: %s", error, extra={"jid": jid})
    return [line(b"FAIL", jid=jid, errtype=type(error).__name__, message=f"the worker cannot read this job: {error}")]


def is_lasting(failure: Exception) -> bool:
    """Whether it is of no use to try on: we come with the wrong password, or with none, or to no address at all."""
    return isinstance(failure, UsageError) or str(failure) == _WRONG_PASSWORD


def is_lineshaft(info: Reply) -> bool:
    """Whether a server that answers INFO so is one of ours. Raises PeerError."""
    return isinstance(info, bytes) and "lineshaft_version" in (decoded(info, dict[str, Any]).get("server") or ())


def is_unknown(command: bytes, reply: Reply) -> bool:
    return (
        command.startswith(b"REQUEUE ") and isinstance(reply, ErrorReply) and "unknown command" in reply.message.lower()
    )


def jid_in(report: bytes) -> str:
    """The job that an ACK, FAIL or REQUEUE of ours is about."""
    return _decode_head(report.partition(b" ")[2]).jid


def fail_instead(requeue: bytes) -> bytes:
    """What tells a server that has no REQUEUE; it costs the job a try."""
    return line(b"FAIL", jid=jid_in(requeue), errtype="Requeue", message="given back by its worker")
