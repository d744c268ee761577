"""Streams: a search told as it goes on, as server-sent events, for a page that is open.

```
event: rows     {"html": rows to add, "told": how far it came, "next": the link that would go on from there}
event: end      {"told", "next"}: the page is full, or there is no more
event: failed   {"told": why it stopped}; the page's own link still goes on
```

It begins where the page stopped, and ends when the page is full or the browser goes. Without JavaScript the same is had
by following the link.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import JobView
from lineshaft.errors import LineshaftError
from lineshaft.web.lists.rows import PAGE, Row, filter_of_page, number_of, query_of
from lineshaft.web.lists.search import Count, Place, count, look_through, looked
from lineshaft.web.pages.queues import queue_jobs
from lineshaft.web.pages.set_actions import counted_so_far
from lineshaft.web.pages.sets import PATHS, asked_of, place_of, set_rows
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["count_set", "find_in_queue", "find_in_set"]

#: More searches than this at once are turned away; each takes its turn in the one search process.
MOST_STREAMS: Final = 24


class Listed(msgspec.Struct, frozen=True):
    """How a page lists what is found."""

    template: str
    page: str  #: its name in the menu
    rows: Callable[[list[JobView]], list[Row]]
    link: Callable[..., str]  #: to itself, with another query


async def find_in_set(request: Request, site: Site, name: SetName) -> Response:
    """GET /retries?stream=1&cursor=...&have=..., with the filter of the page."""
    prefix, asked = prefix_of(request), asked_of(request)
    now = site.look(lambda engine: engine.views.overview()).now
    listed = Listed(
        "set_rows.html",
        name.value,
        lambda jobs: set_rows(jobs, prefix, name),
        lambda **on: href(prefix, PATHS[name], **on, **asked),
    )
    return _streamed(site, _find(request, site, place_of(request, name, now), listed))


async def find_in_queue(request: Request, site: Site) -> Response:
    """GET /queues/NAME?stream=1&cursor=...&have=..., with the filter of the page."""
    prefix, name, wanted = prefix_of(request), request.path_params["name"], filter_of_page(request)
    listed = Listed(
        "queue_rows.html",
        "queues",
        lambda jobs: queue_jobs(jobs, prefix),
        lambda **on: href(prefix, "queues", name, **on, **query_of(wanted)),
    )
    return _streamed(site, _find(request, site, Place(wanted, queue=name), listed))


async def count_set(request: Request, site: Site, name: SetName) -> Response:
    """GET /retries?stream=1&confirm=...&cursor=...&n=...: how many match, before something is done to all of them."""
    now = site.look(lambda engine: engine.views.overview()).now
    place = Place(place_of(request, name, now).filter, name)
    return _streamed(site, _count(request, site, place))


async def _find(request: Request, site: Site, place: Place, listed: Listed) -> AsyncIterator[bytes]:
    language, query = language_of(request), request.query_params
    cursor, seen, have = query.get("cursor", ""), number_of(query.get("seen", "")), number_of(query.get("have", ""))
    if have >= PAGE:
        return
    told: dict[str, object] = {}
    async with aclosing(look_through(site, place, cursor, PAGE - have)) as parts:
        async for part in parts:
            seen += part.looked_at
            html = await _rows(request, site, listed, part.jobs) if part.jobs else ""
            following = listed.link(cursor=part.cursor, seen=seen) if part.cursor else ""
            told = {"told": looked(language, seen, site.look(place.size)), "next": following}
            yield _event("rows", {"html": html, **told})
    yield _event("end", told)


async def _rows(request: Request, site: Site, listed: Listed, jobs: list[JobView]) -> str:
    now = site.look(lambda engine: engine.views.overview()).now
    context = {"jobs": listed.rows(jobs), "page": listed.page}
    return (await site.renderer.page(request, listed.template, now, context)).decode()


async def _count(request: Request, site: Site, place: Place) -> AsyncIterator[bytes]:
    language, query = language_of(request), request.query_params
    so_far = Count(number_of(query.get("n", "")), query.get("cursor", ""), number_of(query.get("seen", "")))
    told: dict[str, object] = {}
    async with aclosing(count(site, place, so_far.cursor)) as parts:
        async for part in parts:
            so_far = so_far.and_then(part)
            told = {
                "told": looked(language, so_far.looked_at, site.look(place.size)),
                "count": counted_so_far(language, so_far),
                "next": "",
            }
            yield _event("rows", told)
    yield _event("end", told)


def _streamed(site: Site, events: AsyncIterator[bytes]) -> Response:
    if site.streams >= MOST_STREAMS:
        return PlainTextResponse("too many searches at once", 503, {"Retry-After": "5"})
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
    return StreamingResponse(_counted(site, events), media_type="text/event-stream", headers=headers)


async def _counted(site: Site, events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The events, as one of the streams that are open; what goes wrong is told as one."""
    site.streams += 1
    try:
        async for event in events:
            yield event
    except LineshaftError as error:
        yield _event("failed", {"told": str(error)})
    finally:
        site.streams -= 1


def _event(name: str, told: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(told))
