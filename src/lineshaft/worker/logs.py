"""What a worker logs: one line per run of a job, and the job's id on every line that is logged inside of one.

Records carry `jid`, `jobtype` and `queue` as attributes of their own, those of a run also `outcome` and
`duration_ms`, so that a formatter of yours finds them. `ConsoleFormatter` and `JsonFormatter` are the two of
`lineshaft work`.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

import msgspec

from lineshaft.worker.outcome import Discarded, Done, Failed, GivenBack, Killed, Outcome
from lineshaft.worker.running import RunningJob, current_job

__all__ = ["ConsoleFormatter", "JobFilter", "JsonFormatter", "log_outcome", "log_to"]

log = logging.getLogger("lineshaft.worker")

_FIELDS: Final = ("jid", "jobtype", "queue", "outcome", "duration_ms")


def log_outcome(job: RunningJob, outcome: Outcome, seconds: float) -> None:
    """One line for a run that has ended."""
    match outcome:
        case Done():
            level, word, why = logging.INFO, "done", ""
        case GivenBack():
            level, word, why = logging.INFO, "given back", ""
        case Killed() | Discarded() | Failed():
            level, why = logging.WARNING, f": {outcome.errtype}: {outcome.message}"
            word = {Killed: "dead", Discarded: "discarded"}.get(type(outcome), "failed")
            if outcome.backtrace:
                why += "\n" + "\n".join(outcome.backtrace)
    if log.isEnabledFor(level):
        about = {"outcome": word, "duration_ms": round(seconds * 1000, 3), **_about(job)}
        log.log(level, "%s %s after %.3f s%s", job.jobtype, word, seconds, why, extra=about)


def _about(job: RunningJob) -> dict[str, str]:
    return {"jid": job.jid, "jobtype": job.jobtype, "queue": job.queue}


class JobFilter(logging.Filter):
    """Puts the job that runs onto each record; for a handler, so that it sees the records of all loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass, with the job on it."""
        job = current_job.get()
        if job is not None and not hasattr(record, "jid"):
            record.__dict__.update(_about(job))
        return True


class ConsoleFormatter(logging.Formatter):
    """A line for people: time, level, the job's id if there is one, and the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        jid = getattr(record, "jid", None)
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        head = f"{time} {record.levelname:<7} {f'[{jid}] ' if jid else ''}"
        return head + _message(self, record)


class JsonFormatter(logging.Formatter):
    """A line for programs: one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        told = {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        shown = {"time": time, "level": record.levelname, "logger": record.name, "message": _message(self, record)}
        return msgspec.json.encode({**shown, **told}, enc_hook=str).decode()


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    trace = formatter.formatException(record.exc_info) if record.exc_info else ""
    return f"{record.getMessage()}\n{trace}" if trace else record.getMessage()


def log_to(form: Literal["console", "json"], level: str, stream: TextIO = sys.stderr) -> None:
    """Have all loggers of the process write to a stream, in one of the two forms."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    handler.addFilter(JobFilter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
