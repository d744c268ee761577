"""Busy: the worker processes, the jobs in their hands, and the signals they hear of."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.lifecycle import WorkerState
from lineshaft.web.access.accounts import Role
from lineshaft.web.actions.forms import act, field_of, read_form, refused
from lineshaft.web.actions.verbs import signal
from lineshaft.web.lists.rows import PAGE, number_of, preview
from lineshaft.web.pages.attention import SILENT_MS
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["SIGNALS", "busy", "on_workers"]

#: Workers on a page: whoever has more finds one by its wid.
MOST_WORKERS: Final = 100

SIGNALS: Final = {state.word: state for state in (WorkerState.QUIET, WorkerState.TERMINATE)}


async def busy(request: Request, site: Site) -> Response:
    """GET /busy"""
    language, prefix, wid = language_of(request), prefix_of(request), request.query_params.get("wid", "")
    position, first = number_of(request.query_params.get("after", "")), number_of(request.query_params.get("from", ""))
    workers = site.look(lambda engine: engine.views.workers(limit=MOST_WORKERS, first=first, wid=wid))
    await site.pace.rest()
    held, more = site.look(lambda engine: engine.views.held(after=position, limit=PAGE, holder=wid))
    now = site.look(lambda engine: engine.views.overview()).now
    return await site.page(
        request,
        "busy.html",
        "busy",
        language.gettext("Busy"),
        wid=wid,
        workers=[
            {
                **{name: getattr(worker, name) for name in worker.__struct_fields__},
                "silent": now - worker.heard_at > SILENT_MS,
            }
            for worker in workers
        ],
        first_workers=href(prefix, "busy") if first else "",
        next_workers=href(prefix, "busy", **{"from": first + MOST_WORKERS}) if len(workers) == MOST_WORKERS else "",
        held=[
            {
                **{name: getattr(job, name) for name in job.__struct_fields__},
                "jobtype": job.job.jobtype if job.job else job.jid,
                "args": preview(job.job) if job.job else "",
            }
            for job in held
        ],
        after=position,
        next=more,
    )


async def on_workers(request: Request, site: Site) -> Response:
    """POST /busy: signal=quiet|terminate, wid=...|all: the worker hears of it with its next BEAT."""
    form = await read_form(request, "signal", "wid")
    state, wids = SIGNALS.get(field_of(form, "signal")), form.get("wid", [])
    if state is None or not wids:
        return refused("signal must be quiet or terminate, and wid a worker's or all")

    await act(request, site, Role.OPERATOR, state.word, f"worker {', '.join(wids)}", signal(wids, state))
    return site.back_to(request, "busy", did="quiet")
