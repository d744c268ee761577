"""What can be done with one job, wherever it is; and the push of a new one."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.clock import parse_instant
from lineshaft.engine.engine import Engine
from lineshaft.errors import Refusal
from lineshaft.job import Job, decode_pushed
from lineshaft.web.access.accounts import Role
from lineshaft.web.actions.forms import act, field_of, read_form, refused
from lineshaft.web.actions.push import with_jid
from lineshaft.web.actions.verbs import DID, on_every_place, reschedule
from lineshaft.web.pages.jobs import push_form
from lineshaft.web.site import Site

__all__ = ["on_job", "push"]

ONE_LINE: Final = '{"jobtype": "example", "args": []}'


async def on_job(request: Request, site: Site) -> Response:
    """POST /jobs/JID: action=run|kill|delete|cancel|reschedule."""
    jid, form = request.path_params["jid"], await read_form(request, "action", "at")
    action = field_of(form, "action")
    back = ("busy",) if request.query_params.get("back") == "busy" else ("jobs", jid)
    if action == "reschedule":
        return await _reschedule(request, site, jid, field_of(form, "at"))
    if action not in ("run", "kill", "delete", "cancel"):
        return refused("action must be run, kill, delete, cancel or reschedule")
    if action == "cancel":
        try:
            await act(request, site, Role.OPERATOR, "cancel", f"job {jid}", lambda engine: engine.cancel(jid), 1)
        except Refusal:
            return site.back_to(request, *back, did="gone")
        return site.back_to(request, *back, did="cancelled")
    command = {"run": "requeue", "kill": "kill", "delete": "discard"}[action]
    moved = await act(
        request, site, Role.OPERATOR, action, f"job {jid}", lambda engine: on_every_place(engine, jid, command)
    )
    return site.back_to(request, *back, did=DID[command] if moved else "gone", n=moved)


async def _reschedule(request: Request, site: Site, jid: str, at: str) -> Response:
    try:
        # A browser's field for a time says no offset, and may leave the seconds out.
        instant = parse_instant(at if at[19:] else f"{at}:00Z"[:20] if len(at) == 16 else f"{at}Z")
    except (ValueError, OverflowError):
        return refused("at must be a time, as 2026-11-23T20:15:00Z")

    moved = await act(
        request, site, Role.OPERATOR, "reschedule", f"job {jid}", lambda engine: reschedule(engine, jid, instant)
    )
    return site.back_to(request, "jobs", jid, did="rescheduled" if moved else "gone")


async def push(request: Request, site: Site) -> Response:
    """POST /push: a job from the form."""
    form = await read_form(request, "action", "job")
    text = field_of(form, "job")
    try:
        if not text.strip():
            raise Refusal("write the job as JSON, such as " + ONE_LINE)
        job = decode_pushed(with_jid(text.encode()))
        await act(request, site, Role.OPERATOR, "push", f"job {job.jid}", lambda engine: _push_new(engine, job), 1)
    except (Refusal, ValueError) as error:
        return await push_form(request, site, text=text, error=str(error))
    return site.back_to(request, "jobs", job.jid, did="pushed")


def _push_new(engine: Engine, job: Job) -> None:
    """Push a job whose jid no other has. Raises Refusal."""
    if engine.views.find(job.jid):
        raise Refusal(f"there is a job {job.jid} already: leave the jid out, and a new one is made")
    engine.push(job)
