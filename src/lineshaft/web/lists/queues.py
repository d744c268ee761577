"""The list of queues: which of them, by name, size or latency; and how a table shows one.

Names and sizes are in memory, so all queues are looked through for each page; a latency has to be read
(`figures.latencies`).
"""

from collections.abc import Iterable
from heapq import nsmallest
from typing import Any

from msgspec import Struct

from lineshaft.engine.views.views import QueueView
from lineshaft.web.figures.pulse import Trend
from lineshaft.web.language import Language
from lineshaft.web.lists.rows import PAGE, queue_href
from lineshaft.web.render import href
from lineshaft.web.site import Site

__all__ = ["Asked", "Listed", "QueueRow", "listed", "orders", "queue_rows"]


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


class QueueRow(Struct, frozen=True):
    """A queue as a table shows it; what is written is written here, since a call from a template costs more."""

    name: str
    href: str
    size: int
    jobs: str
    latency: str
    rate: str
    points: str  #: of a small curve; empty while it is not followed
    processed: str
    failed: str
    paused: bool
    slow: bool
    full: bool


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
    await site.pace.rest()
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


def queue_rows(site: Site, language: Language, prefix: str, queues: Iterable[QueueView]) -> list[QueueRow]:
    """Queues as their table shows them; whichever these are, the pulse follows them from now on."""
    slow_ms = site.backend.settings().slow_after_ms
    shown = list(queues)
    site.pulse.show(queue.name for queue in shown)
    return [_row(language, prefix, queue, site.pulse.queues.get(queue.name), slow_ms) for queue in shown]


def _row(language: Language, prefix: str, queue: QueueView, trend: Trend | None, slow_ms: int) -> QueueRow:
    latency_ms = queue.latency_seconds * 1000
    return QueueRow(
        name=queue.name,
        href=queue_href(prefix, queue.name),
        size=queue.size,
        jobs=language.number(queue.size),
        latency=language.span(latency_ms) if queue.size else "–",
        rate=_rate(language, trend),
        points="" if trend is None else trend.points(),
        processed=language.number(queue.processed),
        failed=language.number(queue.failed),
        paused=queue.paused,
        slow=latency_ms > slow_ms,
        full=queue.max_jobs is not None and queue.size >= queue.max_jobs,
    )


def _rate(language: Language, trend: Trend | None) -> str:
    rate = None if trend is None else trend.rate()
    return "–" if rate is None else f"{language.rate(rate)} / s"
