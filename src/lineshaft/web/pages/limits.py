"""Limits: the throttled queues, what of each limit is taken, and who waits."""

from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.web.language import Language
from lineshaft.web.lists.rows import number_of
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["limits"]

#: Queues on a page.
MOST_SHOWN: Final = 100


async def limits(request: Request, site: Site) -> Response:
    """GET /limits"""
    language, prefix = language_of(request), prefix_of(request)
    first = number_of(request.query_params.get("after", ""))
    found = site.look(lambda engine: list(islice(engine.views.throttles(), first, first + MOST_SHOWN + 1)))
    return await site.page(
        request,
        "limits.html",
        "limits",
        language.gettext("Limits"),
        limits=[_shown(language, row) for row in found[:MOST_SHOWN]],
        first=href(prefix, "limits") if first else "",
        next=href(prefix, "limits", after=first + MOST_SHOWN) if len(found) > MOST_SHOWN else "",
    )


def _shown(language: Language, row: dict[str, Any]) -> dict[str, Any]:
    """A throttle as the page shows it: each of its limits in words, and how full it is."""
    text, parts = language.gettext, []
    if row["concurrency"] is not None:
        told = text("{most} at once").format(most=language.number(row["concurrency"]))
        taken = text("{count} held").format(count=language.number(row["held"]))
        parts.append({"told": told, "taken": taken, "share": min(100 * row["held"] // row["concurrency"], 100)})
    if row["worker"] is not None:
        told = text("{most} per worker").format(most=language.number(row["worker"]))
        full = text("{full} of {count} workers are full").format(
            full=language.number(row["workers_full"]), count=language.number(row["workers"])
        )
        share = 100 * row["workers_full"] // row["workers"] if row["workers"] else 0
        parts.append({"told": told, "taken": full, "share": share})
    if row["rate"] is not None:
        told = text("{count} in {span}").format(
            count=language.number(row["rate"]), span=language.span(row["per"] * 1000)
        )
        left = int(row["tokens"] or 0)
        taken = text("{count} left").format(count=language.number(left))
        parts.append({"told": told, "taken": taken, "share": 100 - min(100 * left // row["rate"], 100)})
    return {"name": row["name"], "waiting": row["waiting"], "parts": parts, "timeout": row["timeout"]}
