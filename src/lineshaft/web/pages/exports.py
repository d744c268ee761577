"""Exports: jobs of a list as lines of JSON, some of them or all that match, which `lineshaft import` takes.

They are sent as they are found, so neither the loop nor the memory holds more than a page of them; the line at the end
tells a file that is whole from one that was cut short. Who took what is in the audit log.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from lineshaft import __version__
from lineshaft.engine.engine import Engine
from lineshaft.engine.search.filter import EVERYTHING
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.exported import first_line, job_line, last_line
from lineshaft.engine.views.views import JobView
from lineshaft.lifecycle import Place as Where
from lineshaft.web.access.security import visitor_of
from lineshaft.web.lists.rows import filter_of_page
from lineshaft.web.lists.search import Place, look_through
from lineshaft.web.pages.sets import PATHS, place_of
from lineshaft.web.site import Site

__all__ = ["export_queue", "export_selected", "export_set"]

#: More at once are turned away.
MOST_EXPORTS: Final = 8
#: Jobs that are read in one step.
STEP: Final = 100

Jobs = AsyncIterator[list[JobView]]
Find = Callable[[Engine], JobView | None]


async def export_set(request: Request, site: Site, name: SetName) -> Response:
    """GET /retries?export=1, with the filter of the page: all that matches."""
    now = site.look(lambda engine: engine.views.overview()).now
    place = place_of(request, name, now)
    return _answered(request, site, PATHS[name], _found(site, place), is_all=place.filter == EVERYTHING)


async def export_queue(request: Request, site: Site) -> Response:
    """GET /queues/NAME?export=1, with the filter of the page."""
    name, wanted = request.path_params["name"], filter_of_page(request)
    jobs = _found(site, Place(wanted, queue=name))
    return _answered(request, site, f"queue {name}", jobs, is_all=wanted == EVERYTHING)


def export_selected(request: Request, site: Site, what: str, finds: Sequence[Find]) -> Response:
    """Those that were ticked, as far as they are still there; each of `finds` looks for one."""
    return _answered(request, site, what, _selected(site, finds), is_all=False)


async def _found(site: Site, place: Place) -> Jobs:
    cursor = ""
    while True:
        async for part in look_through(site, place, cursor, STEP):
            cursor = part.cursor
            yield part.jobs
        if not cursor:
            return
        await site.pace.rest()


async def _selected(site: Site, finds: Sequence[Find]) -> Jobs:
    for find in finds:
        view = site.look(find)
        if view is not None:
            yield [view]
        await site.pace.rest()


def _answered(request: Request, site: Site, what: str, jobs: Jobs, *, is_all: bool) -> Response:
    if site.exports >= MOST_EXPORTS:
        return PlainTextResponse("too many exports at once", 503, {"Retry-After": "30"})
    name = what.removeprefix("queue ")
    headers = {"Content-Disposition": f'attachment; filename="{name}.jsonl"'}
    told = f"{what}, all" if is_all else what
    return StreamingResponse(_lines(request, site, told, jobs), media_type="application/x-ndjson", headers=headers)


async def _lines(request: Request, site: Site, told: str, jobs: Jobs) -> AsyncIterator[bytes]:
    site.exports += 1
    counts: Counter[Where] = Counter()
    outcome = "cut short"
    try:
        yield first_line(site.pulse.now(), __version__) + b"\n"
        async for some in jobs:
            counts.update(view.place for view in some)
            if some:
                yield b"".join(_line(view) + b"\n" for view in some)
        yield last_line(counts) + b"\n"
        outcome = ""
    finally:
        site.exports -= 1
        who = visitor_of(request).name
        site.audit.note(site.pulse.now(), who, "export", told, counts.total(), outcome=outcome)


def _line(view: JobView) -> bytes:
    lease = view.lease
    worker = "" if lease is None or lease.holder.startswith("\0") else lease.holder
    return job_line(view.place, view.payload, view.priority, at=view.due or None, worker=worker)
