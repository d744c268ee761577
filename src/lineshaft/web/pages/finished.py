"""Finished: what the history keeps of jobs that are over."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.clock import parse_instant
from lineshaft.job import DEFAULT_QUEUE, decode_stored
from lineshaft.web.lists.rows import PAGE, preview
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["finished"]


async def finished(request: Request, site: Site) -> Response:
    """GET /finished: what the history keeps."""
    language, prefix, cursor = language_of(request), prefix_of(request), request.query_params.get("cursor", "")
    rows, following, unreadable = site.look(lambda engine: engine.views.history(cursor=cursor, limit=PAGE))
    kept_ms = site.backend.settings().history_ms
    return await site.page(
        request,
        "finished.html",
        "finished",
        language.gettext("Finished"),
        told=language.gettext("kept {span}").format(span=language.span(kept_ms)) if kept_ms else "",
        jobs=[_over(row) for row in rows],
        unreadable=unreadable,
        first=href(prefix, "finished") if cursor else "",
        next=href(prefix, "finished", cursor=following) if following else "",
    )


def _over(row: dict[str, Any]) -> dict[str, Any]:
    """A finished job as the list shows it."""
    job = decode_stored(bytes(row["job"]))
    started, ended = row["started_at"], parse_instant(row["finished_at"])
    return {
        **row,
        "jobtype": job.jobtype,
        "queue": job.queue or DEFAULT_QUEUE,
        "args": preview(job),
        "ended": ended,
        "took_ms": ended - parse_instant(started) if started else None,
    }
