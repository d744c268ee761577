"""The lanes of a queue: what waits in each, what runs, and why none of it may start."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.views.lanes import LaneState
from lineshaft.engine.views.views import LanesView
from lineshaft.web.language import Language
from lineshaft.web.lists.rows import PAGE
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["FEW", "lanes", "lanes_shown"]

#: Lanes that the page of their queue shows; the others are a click away.
FEW: Final = 8

_KINDS: Final = {LaneState.HELD: "bad", LaneState.FULL: "accent", LaneState.RATE: "warn"}


async def lanes(request: Request, site: Site) -> Response:
    """GET /queues/NAME/lanes"""
    name, language, prefix = request.path_params["name"], language_of(request), prefix_of(request)
    after = request.query_params.get("after", "")
    found = site.look(lambda engine: engine.views.lanes(name, after=after, limit=PAGE))
    if found is None:
        title = language.gettext("This queue has no lanes")
        return await site.message(request, 404, title, "", href(prefix, "queues", name))
    last = found.lanes[-1].name if found.lanes else ""
    return await site.page(
        request,
        "lanes.html",
        "queues",
        name,
        lanes=lanes_shown(language, found),
        queue=name,
        first=href(prefix, "queues", name, "lanes") if after else "",
        next=href(prefix, "queues", name, "lanes", after=last) if found.more else "",
    )


def lanes_shown(language: Language, found: LanesView) -> dict[str, Any]:
    """Lanes as their table shows them."""
    text = language.gettext
    words = {
        LaneState.READY: text("may start"),
        LaneState.HELD: text("held by a job that waits for its retry"),
        LaneState.FULL: text("as many run as may"),
        LaneState.RATE: text("waits for its rate"),
        LaneState.EMPTY: text("nothing waits"),
    }
    return {
        "told": _rules(language, found),
        "count": found.count,
        "running": found.running,
        "rows": [
            {
                "name": lane.name,
                "shown": _plain(lane.name),
                "waiting": lane.waiting,
                "running": lane.running,
                "state": words[lane.state],
                "kind": _KINDS.get(lane.state, ""),
                "wakes_at": lane.wakes_at,
            }
            for lane in found.lanes
        ],
    }


def _plain(name: str) -> str:
    """The value that a lane is of: a text without its quotes."""
    return name[1:-1] if name[:1] == '"' and "\\" not in name else name


def _rules(language: Language, found: LanesView) -> str:
    """How lanes are told apart, and what each may do."""
    text, rules = language.gettext, found.rules
    if not rules.by:
        return text("no job joins a lane any more")
    told = [text("by {key}").format(key=rules.by)]
    if rules.strict:
        told.append(text("one after the other"))
    elif rules.concurrency is not None:
        told.append(text("{most} at once").format(most=language.number(rules.concurrency)))
    if rules.rate is not None:
        count, span = language.number(rules.rate.tokens), language.span(rules.rate.per_ms)
        told.append(text("{count} in {span}").format(count=count, span=span))
    return " · ".join(told)
