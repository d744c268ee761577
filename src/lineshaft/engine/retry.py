"""Retry: what becomes of a job that failed. Pure rules; what follows from them is the engine's business.

A job with `retry` n runs n + 1 times: its first failure has `retry_count` 0, and it is retried while
`retry_count` < n. 0 discards it at its first failure, a negative number lets it die at once
(docs/protocol.md, "Failures").
"""

from typing import Final

from msgspec import Struct

from lineshaft.backoff import parse_backoff
from lineshaft.clock import format_instant
from lineshaft.job import DEFAULT_RETRY, Failure, Job

__all__ = ["LOST", "RESERVATION_EXPIRED", "Dead", "Discarded", "Outcome", "Report", "Retry", "judge", "retry_delay"]


class Report(Struct, frozen=True):
    """What is told of a failure, by a worker or by the server itself; already trimmed."""

    errtype: str
    message: str
    backtrace: list[str] | None = None
    retry_in: int | None = None  #: milliseconds until the next try, if there is one, whatever else is said


RESERVATION_EXPIRED: Final = Report("ReservationExpired", "Faktory job reservation expired")
LOST: Final = Report("WorkerLost", "the worker process vanished while it held the job, and not for the first time")


#: 150^4 seconds are sixteen years.
MOST_COUNTED: Final = 150


class Retry(Struct, frozen=True):
    """The job runs again at this instant."""

    at: int


class Dead(Struct, frozen=True):
    """The job is out of retries and joins the dead set."""


class Discarded(Struct, frozen=True):
    """The job wants no second try and is gone."""


Outcome = Retry | Dead | Discarded


def retry_delay(retry_count: int, chance: float) -> int:
    """Seconds until the next try after failure number `retry_count` (from 0); `chance` is in [0, 1)."""
    # Beyond failure 150 the formula asks for decades, and in the end for years that no calendar has.
    count = min(retry_count, MOST_COUNTED)
    return count**4 + 15 + int(chance * 30) * (count + 1)


def judge(job: Job, report: Report, now: int, chance: float, backoff: str = "") -> Outcome:
    """Write the failure on the job and say what becomes of it; `backoff` is its own, or its queue's, or empty."""
    allowed = DEFAULT_RETRY if job.retry is None else job.retry
    if allowed == 0:
        return Discarded()
    before: Failure | None = job.failure
    count = 0 if before is None else before.retry_count + 1
    job.failure = failure = Failure(
        retry_count=count,
        remaining=max(allowed - count, 0),
        failed_at=format_instant(now) if before is None else before.failed_at,
        message=report.message,
        errtype=report.errtype,
        backtrace=report.backtrace,
    )
    if count >= allowed:
        return Dead()
    if report.retry_in is not None:
        at = now + report.retry_in
    elif backoff:
        at = now + parse_backoff(backoff).delay_ms(count, chance)
    else:
        at = now + retry_delay(count, chance) * 1000
    failure.next_at = format_instant(at)
    return Retry(at)
