"""How a run of a job ends: as a value, and as the lines that tell the server.

    returns                 Done           ACK
    raises anything         Failed         FAIL                      it is tried again, or dies
    raises Retry(in_=60)    Failed         FAIL with retry_in        the same, and says when
    raises Dead("...")      Killed         FAIL, MUTATE kill         dead at once, whatever tries are left
    raises Discard("...")   Discarded      FAIL, MUTATE discard      gone, without success
    raises Requeue(in_=60)  GivenBack      REQUEUE                   as if it had not run

ACK, FAIL and MUTATE are the protocol's own, so all but the last, and the times, work with any server of it.
"""

import logging
import traceback
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from lineshaft.client.job import Seconds, to_seconds
from lineshaft.client.lines import line

__all__ = [
    "Dead",
    "Discard",
    "Discarded",
    "Done",
    "Failed",
    "GivenBack",
    "Interrupted",
    "Killed",
    "Outcome",
    "RemoteError",
    "Requeue",
    "Retry",
    "outcome_of",
    "report",
    "report_any",
]

log = logging.getLogger("lineshaft.worker")

#: A server keeps results of up to 64 KiB; a line that it finds too long would cost the connection.
RESULT_BYTES: Final = 256 << 10

#: What a server keeps of a backtrace.
BACKTRACE_LINES: Final = 50
MESSAGE_LENGTH: Final = 1000


class Retry(Exception):
    """Raised by a job: it failed, and is to be tried again in a time, if it has a try left."""

    def __init__(self, reason: str = "asked for another try", *, in_: Seconds | None = None) -> None:
        super().__init__(reason)
        self.in_seconds = None if in_ is None else to_seconds(in_)


class Discard(Exception):
    """Raised by a job: it failed, and is not to be tried again nor kept."""


class Dead(Exception):
    """Raised by a job: it failed, and an operator is to look at it; no more tries."""


class Requeue(Exception):
    """Raised by a job: it cannot run now. It is given back, at once or for later, and no try is burned."""

    def __init__(self, reason: str = "given back", *, in_: Seconds | None = None) -> None:
        super().__init__(reason)
        self.in_seconds = None if in_ is None else to_seconds(in_)


class Interrupted(BaseException):
    """Raised inside of a job by its worker: its time is up, it was cancelled, or the worker stops."""


class RemoteError(Exception):
    """What a job raised in a child process, in words."""

    def __init__(self, errtype: str, message: str, backtrace: list[str]) -> None:
        super().__init__(errtype, message, backtrace)
        self.errtype, self.message, self.backtrace = errtype, message, backtrace

    def __str__(self) -> str:
        return f"{self.errtype}: {self.message}"


class Done(Struct, frozen=True):
    """It succeeded."""

    result: Any = None


class Failed(Struct, frozen=True):
    """It failed."""

    errtype: str
    message: str
    backtrace: list[str]
    retry_in: float | None = None  #: seconds


class Killed(Failed, frozen=True):
    """It failed, and is to be dead."""


class Discarded(Failed, frozen=True):
    """It failed, and is to be gone."""


class GivenBack(Struct, frozen=True):
    """It has not run, as far as the server need know."""

    in_seconds: float | None = None


Outcome: TypeAlias = Done | Failed | Killed | Discarded | GivenBack


def outcome_of(error: BaseException) -> Outcome:
    """What it means that a job raised this."""
    if isinstance(error, Requeue):
        return GivenBack(error.in_seconds)
    if isinstance(error, RemoteError):
        return Failed(error.errtype, error.message, error.backtrace)
    kind = Killed if isinstance(error, Dead) else Discarded if isinstance(error, Discard) else Failed
    retry_in = error.in_seconds if isinstance(error, Retry) else None
    return kind(type(error).__name__, message_of(error), backtrace_of(error), retry_in)


def message_of(error: BaseException) -> str:
    """What an exception says, in short."""
    try:
        return str(error)[:MESSAGE_LENGTH] or type(error).__name__
    except Exception:  # the boundary of a job: its exceptions are its own code
        return type(error).__name__


def backtrace_of(error: BaseException) -> list[str]:
    """Where an exception came from: the last lines, since these are the job's own."""
    if isinstance(error, Interrupted):
        return []
    lines = "".join(traceback.format_exception(error)).splitlines()
    return lines[-BACKTRACE_LINES:]


def report_any(jid: str, jobtype: str, outcome: Outcome, *, keep_result: bool, is_last_try: bool) -> list[bytes]:
    """As `report`, of any result: one that is too large is dropped, one that is no JSON makes a failure of its job."""
    try:
        lines = report(jid, outcome, keep_result=keep_result, is_last_try=is_last_try)
        if len(lines[0]) > RESULT_BYTES and isinstance(outcome, Done):
            log.warning("the result of %s is too large, and dropped", jobtype, extra={"jid": jid})
            return report(jid, Done(), keep_result=False, is_last_try=False)
        return lines
    except (TypeError, ValueError, RecursionError) as error:
        failed = Failed(type(error).__name__, f"its result cannot be written as JSON: {error}", [])
        return report(jid, failed, keep_result=False, is_last_try=is_last_try)


def report(jid: str, outcome: Outcome, *, keep_result: bool, is_last_try: bool) -> list[bytes]:
    """The commands that tell the server. Raises TypeError for a result that is no JSON."""
    match outcome:
        case Done(result):
            if keep_result and result is not None:
                return [b"ACK " + msgspec.json.encode({"jid": jid, "result": result})]
            return [b'ACK {"jid":%b}' % msgspec.json.encode(jid)]
        case GivenBack(in_seconds):
            return [line(b"REQUEUE", jid=jid, **{"in": in_seconds})]
    lines = [
        line(
            b"FAIL",
            jid=jid,
            errtype=outcome.errtype,
            message=outcome.message,
            backtrace=outcome.backtrace or None,
            retry_in=outcome.retry_in,
        )
    ]
    if isinstance(outcome, Killed | Discarded):
        cmd, target = ("kill" if isinstance(outcome, Killed) else "discard"), ("dead" if is_last_try else "retries")
        lines.append(line(b"MUTATE", cmd=cmd, target=target, filter={"jids": [jid]}))
    return lines
