"""Periodic jobs: when each ran and will run; run it now, let it rest."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.clock import parse_instant
from lineshaft.web.access.accounts import Role
from lineshaft.web.actions.forms import act, field_of, read_form, refused
from lineshaft.web.lists.rows import PAGE, number_of
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["on_periodic", "periodic"]


async def periodic(request: Request, site: Site) -> Response:
    """GET /periodic"""
    language, prefix = language_of(request), prefix_of(request)
    first = number_of(request.query_params.get("after", ""))
    found, size = site.look(lambda engine: engine.views.periodic(first=first, limit=PAGE))
    return await site.page(
        request,
        "periodic.html",
        "periodic",
        language.gettext("Periodic"),
        jobs=[_shown(row) for row in found],
        first=href(prefix, "periodic") if first else "",
        next=href(prefix, "periodic", after=first + PAGE) if first + PAGE < size else "",
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    instants = {name: parse_instant(row[name]) if row[name] else 0 for name in ("last_run", "next_run", "last_due")}
    return row | instants


async def on_periodic(request: Request, site: Site) -> Response:
    """POST /periodic/NAME: action=run|pause|resume."""
    name, form = request.path_params["name"], await read_form(request, "action")
    action, target = field_of(form, "action"), f"periodic {name}"
    if action == "run":
        jid = await act(request, site, Role.OPERATOR, "run", target, lambda engine: engine.cron_run(name), 1)
        return site.back_to(request, "jobs", jid, did="pushed")
    if action == "pause":
        await act(request, site, Role.OPERATOR, "pause", target, lambda engine: engine.cron_pause(name))
    elif action == "resume":
        await act(request, site, Role.OPERATOR, "resume", target, lambda engine: engine.cron_resume(name))
    else:
        return refused("action must be run, pause or resume")
    return site.back_to(request, "periodic", did="rests" if action == "pause" else "again")
