"""Rows: jobs as a list shows them, and the filters that choose them."""

from collections.abc import Container, Iterable
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request

from lineshaft.clock import format_instant, parse_instant
from lineshaft.engine.search.filter import MOST_TEXT, Filter
from lineshaft.engine.views.views import JobView
from lineshaft.errors import Refusal
from lineshaft.job import DEFAULT_QUEUE, Job
from lineshaft.web.render import href

__all__ = [
    "FILTER",
    "PAGE",
    "Row",
    "filter_of",
    "filter_of_page",
    "instant_of",
    "number_of",
    "preview",
    "query_of",
    "queue_href",
    "row_of",
    "timed_key_of",
]

#: Jobs on a page.
PAGE: Final = 50

#: Letters of the arguments that a list shows.
PREVIEW: Final = 240
MESSAGE: Final = 200

#: What a query or a form may ask for, and how long each may be.
FILTER: Final = {
    "jobtype": MOST_TEXT,
    "queue": 255,
    "errtype": MOST_TEXT,
    "text": MOST_TEXT,
    "since": 40,
    "until": 40,
    "group": 16,
}

#: What the address of a page of jobs may say beside its filter.
_OF_PAGE: Final = ("age", "order", "cursor", "seen", "have", "confirm", "export", "stream", "did", "n")

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
    href: str
    queue_href: str


def preview(job: Job) -> str:
    """The beginning of a job's arguments."""
    raw = bytes(job.args)
    text = raw[:PREVIEW].decode("utf-8", "replace")
    return text if len(raw) <= PREVIEW else text + "…"


def timed_key_of(view: JobView) -> str:
    """A job of a timed set as the forms name it."""
    return f"{format_instant(view.due)}|{view.jid}"


def row_of(view: JobView, prefix: str, path: str = "") -> Row:
    """A job as a list shows it; it leads to its place in the timed set of that path, or to the job wherever it is."""
    job, failure = view.job, view.job.failure
    key = timed_key_of(view) if view.due else view.jid
    return Row(
        id=view.key.hex(),
        key=key,
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
        href=href(prefix, path, key) if path else href(prefix, "jobs", view.jid),
        queue_href=queue_href(prefix, job.queue or DEFAULT_QUEUE),
    )


@lru_cache(maxsize=1000)
def queue_href(prefix: str, name: str) -> str:
    """The link to a queue; most rows of a page lead to one of a few, and lists of queues are asked for again."""
    return href(prefix, "queues", name)


def instant_of(stamp: Any) -> int:
    """The instant that a job or a record names; 0 for none, and for what is no time."""
    try:
        return parse_instant(stamp) if isinstance(stamp, str) and stamp else 0
    except (ValueError, OverflowError):
        return 0


def filter_of(asked: Iterable[tuple[str, str]], others: Container[str] = ()) -> Filter:
    """The filter that a query or a form asks for, which may have `others` beside it; what is empty asks for nothing.

    Raises Refusal for what is no filter: whoever misspells one must not have everything instead.
    """
    fields: dict[str, str] = {}
    for name, value in asked:
        if name in others:
            continue
        if name not in FILTER:
            raise Refusal(f"there is no filter {name[:60]!r}, only {', '.join(FILTER)}")
        if name in fields:
            raise Refusal(f"the filter {name} is given twice")
        if len(value) > FILTER[name] or (value and not value.strip()):
            raise Refusal(f"{name} must have a letter at least, and {FILTER[name]} at most")
        fields[name] = value.strip()
    since, until = (_bound(name, fields.pop(name, "")) for name in ("since", "until"))
    return Filter(**fields, since=since, until=until)


def filter_of_page(request: Request) -> Filter:
    """The filter in the address of a page of jobs. Raises Refusal."""
    return filter_of(request.query_params.multi_items(), _OF_PAGE)


def _bound(name: str, text: str) -> int:
    """An instant of a filter, as milliseconds or in RFC 3339; 0 for none. Raises Refusal."""
    if not text:
        return 0
    try:
        instant = int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else parse_instant(text)
    except (ValueError, OverflowError):
        instant = -1
    # 0 is no bound: nothing is before it, so that only `since` may name it.
    if instant < 0 or (instant == 0 and name == "until"):
        raise Refusal(f"{name} must be milliseconds since 1970, or a time as 2026-11-23T20:15:00Z")
    return instant


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
