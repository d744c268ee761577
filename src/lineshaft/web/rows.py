"""Rows: jobs as a list shows them, and the filters that choose them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from lineshaft.clock import format_instant, parse_instant
from lineshaft.engine.filter import MOST_TEXT, Filter
from lineshaft.engine.views import JobView
from lineshaft.job import DEFAULT_QUEUE, Job

__all__ = ["PAGE", "Row", "filter_of", "instant_of", "number_of", "preview", "query_of", "row_of", "timed_key_of"]

#: Jobs on a page.
PAGE: Final = 50

#: Letters of the arguments that a list shows.
PREVIEW: Final = 240
MESSAGE: Final = 200

#: Beyond this many letters a number is none that a page has written.
_DIGITS: Final = 15


class Row(Struct, frozen=True):
    """A job in a list."""

    id: str  #: tells it from all others, as long as it stays where it is
    key: str  #: as the forms name it: `<time>|<jid>`
    jid: str
    jobtype: str
    queue: str
    args: str
    priority: int
    tries: int
    due: int
    enqueued_at: int
    errtype: str
    message: str
    href: str = ""


def preview(job: Job) -> str:
    """The beginning of a job's arguments."""
    raw = bytes(job.args)
    text = raw[:PREVIEW].decode("utf-8", "replace")
    return text if len(raw) <= PREVIEW else text + "…"


def timed_key_of(view: JobView) -> str:
    """A job of a timed set as the forms name it."""
    return f"{format_instant(view.due)}|{view.jid}"


def row_of(view: JobView, href: Callable[[JobView], str]) -> Row:
    """A job as a list shows it."""
    job, failure = view.job, view.job.failure
    return Row(
        id=view.key.hex(),
        key=timed_key_of(view) if view.due else view.jid,
        jid=view.jid,
        jobtype=job.jobtype,
        queue=job.queue or DEFAULT_QUEUE,
        args=preview(job),
        priority=view.priority,
        tries=0 if failure is None else failure.retry_count + 1,
        due=view.due,
        enqueued_at=instant_of(job.enqueued_at),
        errtype="" if failure is None else failure.errtype,
        message="" if failure is None else failure.message[:MESSAGE],
        href=href(view),
    )


def instant_of(stamp: Any) -> int:
    """The instant that a job or a record names; 0 for none, and for what is no time."""
    try:
        return parse_instant(stamp) if isinstance(stamp, str) and stamp else 0
    except (ValueError, OverflowError):
        return 0


def filter_of(asked: Mapping[str, str]) -> Filter:
    """The filter that a query or a form asks for; what makes no sense asks for nothing."""
    return Filter(
        jobtype=asked.get("jobtype", "").strip()[:MOST_TEXT],
        queue=asked.get("queue", "").strip()[:255],
        errtype=asked.get("errtype", "").strip()[:MOST_TEXT],
        text=asked.get("text", "").strip()[:MOST_TEXT],
        since=number_of(asked.get("since", "")),
        until=number_of(asked.get("until", "")),
        group=asked.get("group", "").strip()[:16],
    )


def query_of(wanted: Filter) -> dict[str, object]:
    """The filter as the query of a link."""
    return {
        "text": wanted.text,
        "jobtype": wanted.jobtype,
        "queue": wanted.queue,
        "errtype": wanted.errtype,
        "since": wanted.since,
        "until": wanted.until,
        "group": wanted.group,
    }


def number_of(text: str) -> int:
    """A number of a query; 0 for what is none."""
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else 0
