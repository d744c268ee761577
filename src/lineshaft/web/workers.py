"""Busy: the worker processes, the jobs in their hands, and the signals they hear of."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.engine import Engine
from lineshaft.lifecycle import WorkerState
from lineshaft.web.accounts import Role
from lineshaft.web.attention import SILENT_MS
from lineshaft.web.forms import act, field_of, read_form, refused
from lineshaft.web.render import language_of
from lineshaft.web.rows import PAGE, preview
from lineshaft.web.site import Site

__all__ = ["SIGNALS", "busy", "on_workers"]

SIGNALS: Final = {state.word: state for state in (WorkerState.QUIET, WorkerState.TERMINATE)}


async def busy(request: Request, site: Site) -> Response:
    """GET /busy"""
    language, wid = language_of(request), request.query_params.get("wid", "")
    after = request.query_params.get("after", "")
    position = int(after) if after.isdecimal() and len(after) < 10 else 0
    workers = site.look(lambda engine: engine.views.workers(limit=500))
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
            if not wid or worker.wid == wid
        ],
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
    form = await read_form(request)
    state, wids = SIGNALS.get(field_of(form, "signal")), form.get("wid", [])
    if state is None or not wids:
        return refused("signal must be quiet or terminate, and wid a worker's or all")

    def verb(engine: Engine) -> None:
        for wid in wids:
            engine.signal(wid, state)

    await act(request, site, Role.OPERATOR, state.word, f"worker {', '.join(wids)}", verb)
    return site.back_to(request, "busy", did="quiet")
