"""Batches: how far each is, and what becomes of its callbacks."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.clock import parse_instant
from lineshaft.errors import Refusal
from lineshaft.web.language import Language
from lineshaft.web.lists.rows import PAGE
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["batch", "batches"]

#: A chain of parents is followed this far up.
MOST_PARENTS: Final = 10


async def batches(request: Request, site: Site) -> Response:
    """GET /batches"""
    language, prefix, cursor = language_of(request), prefix_of(request), request.query_params.get("cursor", "")
    found, following, unreadable = site.look(lambda engine: engine.views.batches(cursor=cursor[:100], limit=PAGE))
    return await site.page(
        request,
        "batches.html",
        "batches",
        language.gettext("Batches"),
        batches=[_shown(language, row) for row in found],
        unreadable=unreadable,
        first=href(prefix, "batches") if cursor else "",
        next=href(prefix, "batches", cursor=following) if following else "",
    )


async def batch(request: Request, site: Site) -> Response:
    """GET /batches/BID"""
    bid, language, prefix = request.path_params["bid"], language_of(request), prefix_of(request)
    try:
        row = site.look(lambda engine: engine.views.batch(bid))
    except Refusal:
        title = language.gettext("There is no such batch")
        told = language.gettext("It was forgotten some time after its end, it never was, or its record is damaged.")
        return await site.message(request, 404, title, told, href(prefix, "batches"))
    return await site.page(
        request,
        "batch.html",
        "batches",
        row["description"][:120] or bid,
        batch=_shown(language, row),
        parents=_parents(site, row),
    )


def _parents(site: Site, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The batches that this one belongs to, the nearest first."""
    found: list[dict[str, Any]] = []
    while (bid := row.get("parent_bid")) and len(found) < MOST_PARENTS:
        try:
            row = _read(site, bid)
        except Refusal:
            break
        found.append(row)
    return found


def _read(site: Site, bid: str) -> dict[str, Any]:
    return site.look(lambda engine: engine.views.batch(bid))


def _shown(language: Language, row: dict[str, Any]) -> dict[str, Any]:
    """A batch as the pages show it."""
    text, total, pending = language.gettext, row["total"], row["pending"]
    callbacks = [
        (name, {"": text("waits"), "1": text("enqueued"), "2": text("finished")}[row[key]])
        for name, key in (("complete", "complete_st"), ("success", "success_st"), ("death", "death_st"))
        if name in row["callbacks"]
    ]
    return {
        "bid": row["bid"],
        "parent": row.get("parent_bid", ""),
        "description": row["description"],
        "created": parse_instant(row["created_at"]),
        "total": total,
        "pending": pending,
        "failed": row["failed"],
        "share": (total - pending) * 100 // total if total else 100 if row.get("finished") else 0,
        "told": text("{done} of {total}").format(done=language.number(total - pending), total=language.number(total)),
        "callbacks": callbacks,
        "children": row.get("children", 0),
        "is_open": row.get("committed") is False,
        "is_finished": row.get("finished", False),
    }
