"""The API's queues, and the figures of the whole server."""

from collections.abc import Callable
from typing import Any

from lineshaft.engine.engine import Engine
from lineshaft.errors import Refusal
from lineshaft.web.actions.verbs import on_known_queue, on_queue_jobs
from lineshaft.web.api import records as types
from lineshaft.web.api.operation import MOST_ROWS, Call, Handler
from lineshaft.web.api.sets import jobs_out
from lineshaft.web.api.shown import lanes_out, overview_out, queue_out
from lineshaft.web.lists.rows import PAGE
from lineshaft.web.lists.search import Place

__all__ = ["enqueued", "on_queue", "overview", "queue", "queues"]


async def overview(call: Call) -> types.OverviewOut:
    return overview_out(call.look(lambda engine: engine.views.overview()))


async def queues(call: Call) -> types.QueuesOut:
    limit = call.number("limit", PAGE, MOST_ROWS, least=1)
    found, more = call.look(lambda engine: engine.views.queues(after=call.query("after"), limit=limit))
    return types.QueuesOut([queue_out(queue) for queue in found], found[-1].name if more else "")


async def queue(call: Call) -> types.QueueOut:
    view = call.look(lambda engine: engine.views.queue(call.path("name")))
    if view is None:
        raise Refusal("no such queue", "NOTFOUND")
    return queue_out(view)


def on_queue(what: str) -> Handler:
    async def handler(call: Call) -> None:
        name = call.path("name")
        verbs: dict[str, Callable[[Engine], Any]] = {
            "pause": lambda engine: engine.pause([name]),
            "resume": lambda engine: engine.resume([name]),
            "remove": lambda engine: engine.remove([name]),
            "clear": on_queue_jobs("clear", name, None),
        }
        await call.act(what, f"queue {name}", on_known_queue(name, verbs[what]))

    return handler


async def lanes(call: Call) -> types.LanesOut:
    limit = max(call.number("limit", PAGE, MOST_ROWS, least=1), 2)
    found = call.look(
        lambda engine: engine.views.lanes(call.path("name"), after=call.query("after")[:255], limit=limit)
    )
    if found is None:
        raise Refusal("no such queue, or it has no lanes", "NOTFOUND")
    return lanes_out(found)


async def enqueued(call: Call) -> types.JobsOut:
    place = Place(call.filter(), queue=call.path("name"))
    return await jobs_out(call, place)
