"""Queues: their list, the page of one with the jobs that wait in it, and what can be done with them."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.admin.mutate import MOST_JIDS
from lineshaft.engine.engine import Engine
from lineshaft.engine.search.filter import EVERYTHING
from lineshaft.engine.views.views import JobView, QueueView
from lineshaft.lifecycle import Place as Where
from lineshaft.web.access.accounts import Role
from lineshaft.web.actions.forms import act, field_of, read_form, refused
from lineshaft.web.actions.verbs import COMMANDS, DID, on_known_queue, on_queue_jobs
from lineshaft.web.figures.pulse import MOST_QUEUES
from lineshaft.web.figures.tile import Tile
from lineshaft.web.language import Language
from lineshaft.web.lists.queues import Asked, QueueRow, listed, orders, queue_rows
from lineshaft.web.lists.rows import PAGE, Row, filter_of_page, number_of, query_of, row_of
from lineshaft.web.lists.search import Found, Place, looked, search
from lineshaft.web.pages.exports import export_selected
from lineshaft.web.pages.lanes import FEW, lanes_shown
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["confirm_queue", "on_queue", "queue", "queue_jobs", "queues"]


async def queues(request: Request, site: Site) -> Response:
    """GET /queues"""
    language, prefix, query = language_of(request), prefix_of(request), request.query_params
    asked = Asked(query.get("sort", ""), query.get("text", "").strip()[:255], number_of(query.get("after", "")))
    found = await listed(site, asked)
    await site.pace.rest()
    kept = {"sort": asked.order, "text": asked.text}
    return await site.page(
        request,
        "queues.html",
        "queues",
        language.gettext("Queues"),
        queues=queue_rows(site, language, prefix, found.queues),
        compact=False,
        asked=asked,
        size=found.size,
        followed=language.number(MOST_QUEUES) if found.size > MOST_QUEUES else "",
        orders=orders(language, prefix, asked),
        first=href(prefix, "queues", **kept) if asked.first else "",
        next=href(prefix, "queues", after=asked.first + PAGE, **kept) if found.more else "",
    )


async def queue(request: Request, site: Site) -> Response:
    """GET /queues/NAME"""
    name, language, prefix = request.path_params["name"], language_of(request), prefix_of(request)
    view = site.look(lambda engine: engine.views.queue(name))
    if view is None:
        title = language.gettext("There is no such queue")
        detail = language.gettext("It was removed, or nobody has pushed a job to it.")
        return await site.message(request, 404, title, detail, href(prefix, "queues"))
    wanted, cursor = filter_of_page(request), request.query_params.get("cursor", "")
    filtered = wanted != EVERYTHING
    place = Place(wanted, queue=name)
    # What was found stays as it is; a live page only asks for what stands around it.
    found = Found([], "", 0) if site.is_live(request) and filtered else await search(site, place, cursor)
    await site.pace.rest()
    query = query_of(wanted)
    looked_at = number_of(request.query_params.get("seen", "")) + found.looked_at
    on = {"cursor": found.cursor, "seen": looked_at if filtered else 0}
    row = queue_rows(site, language, prefix, [view])[0]
    return await site.page(
        request,
        "queue.html",
        "queues",
        name,
        queue=row,
        lanes=_lanes(site, language, name),
        tiles=_queue_tiles(language, row, view),
        jobs=queue_jobs(found.jobs, prefix),
        unreadable=found.unreadable,
        here=href(prefix, "queues", name),
        export=href(prefix, "queues", name, export=1, **query),
        wanted=wanted,
        filtered=filtered,
        looked=looked(language, looked_at, view.size) if filtered else "",
        stream=href(prefix, "queues", name, stream=1, have=len(found.jobs), **on, **query)
        if filtered and found.cursor and len(found.jobs) < PAGE
        else "",
        first=href(prefix, "queues", name, **query) if cursor else "",
        next=href(prefix, "queues", name, **on, **query) if found.cursor else "",
    )


def queue_jobs(jobs: Iterable[JobView], prefix: str) -> list[Row]:
    """Jobs as the page of a queue lists them."""
    return [row_of(job, prefix) for job in jobs]


def _lanes(site: Site, language: Language, name: str) -> dict[str, Any] | None:
    """The first lanes of a queue that has any."""
    found = site.look(lambda engine: engine.views.lanes(name, limit=FEW))
    return None if found is None else {**lanes_shown(language, found), "more": found.more}


def _queue_tiles(language: Language, row: QueueRow, queue: QueueView) -> list[Tile]:
    text, most = language.gettext, queue.max_jobs
    limit = text("of {count} at most").format(count=language.number(most)) if most is not None else ""
    return [
        Tile(text("Jobs"), row.jobs, limit),
        Tile(text("Latency"), row.latency),
        Tile(text("Rate"), row.rate),
        Tile(text("Pushed"), language.short(queue.pushed)),
        Tile(text("Processed"), language.short(queue.processed)),
        Tile(text("Failed"), language.short(queue.failed)),
    ]


async def on_queue(request: Request, site: Site) -> Response:
    """POST /queues/NAME: action=pause|resume|delete|clear, or kill_jobs|delete_jobs with jids."""
    name, form = request.path_params["name"], await read_form(request, "action", "jid")
    action, back = field_of(form, "action"), request.query_params.get("back", "")
    target = f"queue {name}"
    if action in ("pause", "resume", "delete", "clear"):
        role, what, verb = _verb(name, action)
        await act(request, site, role, what, target, on_known_queue(name, verb))
    if action in ("delete", "clear"):
        is_there = action == "clear"
        return site.back_to(request, "queues", *([name] if is_there else []), did="cleared" if is_there else "removed")
    if action in ("kill_jobs", "delete_jobs"):
        return await _on_jobs_of_queue(request, site, name, action.removesuffix("_jobs"), form.get("jid", []))
    if action == "export_jobs":
        return _export(request, site, name, form.get("jid", []))
    if action not in ("pause", "resume"):
        return refused("action must be pause, resume, delete or clear")
    where = ("queues", name) if back not in ("home", "queues") else () if back == "home" else ("queues",)
    return site.back_to(request, *where, did="paused" if action == "pause" else "resumed")


def _verb(name: str, action: str) -> tuple[Role, str, Callable[[Engine], Any]]:
    """Who may do something to a whole queue, what the audit log calls it, and how it is done."""
    verbs: dict[str, tuple[Role, str, Callable[[Engine], Any]]] = {
        "pause": (Role.OPERATOR, "pause", lambda engine: engine.pause([name])),
        "resume": (Role.OPERATOR, "resume", lambda engine: engine.resume([name])),
        "delete": (Role.ADMIN, "remove", lambda engine: engine.remove([name])),
        "clear": (Role.ADMIN, "clear", on_queue_jobs("clear", name, None)),
    }
    return verbs[action]


def _export(request: Request, site: Site, name: str, jids: list[str]) -> Response:
    """The jobs with these jids, as far as they wait in this queue, as lines of JSON."""
    if not jids:
        return site.back_to(request, "queues", name, did="nothing")
    return export_selected(request, site, f"queue {name}", [partial(_waiting, name, jid) for jid in jids[:MOST_JIDS]])


def _waiting(name: str, jid: str, engine: Engine) -> JobView | None:
    views = engine.views.find(jid)
    return next((view for view in views if view.place is Where.READY and view.queue == name), None)


async def _on_jobs_of_queue(request: Request, site: Site, name: str, action: str, jids: list[str]) -> Response:
    if not jids:
        return site.back_to(request, "queues", name, did="nothing")
    command = COMMANDS[action]
    gone = await act(
        request,
        site,
        Role.OPERATOR,
        action,
        f"queue {name}",
        on_known_queue(name, on_queue_jobs(command, name, jids[:MOST_JIDS])),
    )
    return site.back_to(request, "queues", name, did=DID[command], n=gone)


async def confirm_queue(request: Request, site: Site, verb: str) -> Response:
    """GET /queues/NAME?confirm=clear|delete"""
    name, language, prefix = request.path_params["name"], language_of(request), prefix_of(request)
    site.need(request, Role.ADMIN)
    text = language.gettext
    view = site.look(lambda engine: engine.views.queue(name))
    size = view.size if view else 0
    jobs = language.ngettext("%(num)s job", "%(num)s jobs", size)
    question = text("Remove the queue {queue}?") if verb == "delete" else text("Clear the queue {queue}?")
    return await site.page(
        request,
        "confirm.html",
        "queues",
        name,
        live=False,
        question=question.format(queue=name),
        detail=text("{jobs} that wait there are deleted and cannot be brought back. Running jobs go on.").format(
            jobs=jobs
        ),
        action=href(prefix, "queues", name),
        fields=[],
        verb=verb,
        yes=text("Remove") if verb == "delete" else text("Clear"),
        danger=True,
        back=href(prefix, "queues", name),
        samples=[],
        stream="",
        go_on="",
        looked="",
    )
