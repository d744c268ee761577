"""The list of queues: which of them, by name, size or latency.

Names and sizes are in memory, so all queues are looked through for each page; a latency has to be read (`latencies`).
"""

import asyncio
from heapq import nsmallest
from typing import Any

from msgspec import Struct

from lineshaft.engine.views.views import QueueView
from lineshaft.web.language import Language
from lineshaft.web.render import href
from lineshaft.web.rows import PAGE
from lineshaft.web.site import Site

__all__ = ["Asked", "Listed", "listed", "orders"]


class Asked(Struct, frozen=True):
    """What a list of queues is to show."""

    order: str = ""  #: size, latency, or anything else for the names
    text: str = ""  #: stands somewhere in the name
    first: int = 0  #: place of the first one


class Listed(Struct, frozen=True):
    """A page of the list."""

    queues: list[QueueView]
    size: int  #: all that match
    more: bool


def _views(site: Site, names: list[str]) -> list[QueueView]:
    found = site.look(lambda engine: [engine.views.queue(name) for name in names])
    return [view for view in found if view is not None]


async def listed(site: Site, asked: Asked) -> Listed:
    """A page of queues. Raises StoreError."""
    weights: dict[str, float] = await site.latencies.read() if asked.order == "latency" else {}
    sizes = site.look(lambda engine: engine.views.queue_sizes(asked.text))
    if asked.order == "size":
        weights = dict(sizes)
    places = nsmallest(asked.first + PAGE + 1, ((-weights.get(name, 0), name) for name, _ in sizes))
    names = [name for _, name in places[asked.first :]]
    await asyncio.sleep(0)
    return Listed(_views(site, names[:PAGE]), len(sizes), len(names) > PAGE)


def orders(language: Language, prefix: str, asked: Asked) -> list[dict[str, Any]]:
    """The orders to choose from, as links."""
    text = language.gettext
    titles = {"": text("by name"), "size": text("by size"), "latency": text("by latency")}
    current = asked.order if asked.order in titles else ""
    return [
        {"title": title, "href": href(prefix, "queues", sort=name, text=asked.text), "current": name == current}
        for name, title in titles.items()
    ]
