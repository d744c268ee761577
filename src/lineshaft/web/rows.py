"""Rows: jobs as a list shows them, and the search that finds them.

Looking for jobs goes through a place in slices, between which the loop serves others; after a tenth of a second it says
how far it came, and a link goes on from there.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from lineshaft.clock import format_instant, parse_instant
from lineshaft.engine import keys
from lineshaft.engine.filter import EVERYTHING, MOST_TEXT, Filter
from lineshaft.engine.views import JobView, Slice
from lineshaft.job import DEFAULT_QUEUE, Job
from lineshaft.web.language import Language

__all__ = ["PAGE", "Found", "Row", "filter_of", "looked", "query_of", "row_of", "search", "timed_key_of"]

#: Jobs on a page.
PAGE: Final = 50

#: Rows that one slice of a search looks at: about a millisecond.
SLICE: Final = 200
SEARCH_SECONDS: Final = 0.1

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


class Found(Struct, frozen=True):
    """What a search has found so far."""

    jobs: list[JobView]
    cursor: str  #: where it goes on; empty at the end
    looked_at: int


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
        enqueued_at=_instant(job.enqueued_at),
        errtype="" if failure is None else failure.errtype,
        message="" if failure is None else failure.message[:MESSAGE],
        href=href(view),
    )


def _instant(stamp: Any) -> int:
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
        since=_number(asked.get("since", "")),
        until=_number(asked.get("until", "")),
        group=asked.get("group", "").strip()[:16],
    )


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) <= _DIGITS else 0


async def search(
    take: Callable[[str, int], Slice], cursor: str, filter: Filter, *, limit: int = PAGE, newest: bool = False
) -> Found:
    """Jobs that match, a page of them at most, from `cursor` on; `take` reads one slice: cursor and rows."""
    rows = limit if filter == EVERYTHING else SLICE
    jobs: list[JobView] = []
    looked_at = 0
    end = time.monotonic() + SEARCH_SECONDS
    while True:
        part = take(cursor, rows)
        looked_at += part.looked_at
        jobs += part.jobs
        cursor = part.cursor
        if len(jobs) > limit:
            last = jobs[limit - 1].key
            return Found(jobs[:limit], (last if newest else keys.after(last)).hex(), looked_at)
        if not cursor or len(jobs) == limit or time.monotonic() > end:
            return Found(jobs, cursor, looked_at)
        await asyncio.sleep(0)


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


def looked(language: Language, wanted: Filter, found: Found) -> str:
    """How far a search came that goes on; empty for none."""
    if wanted == EVERYTHING or not found.cursor:
        return ""
    return language.gettext("Looked at {count} jobs so far").format(count=language.number(found.looked_at))
