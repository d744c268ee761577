"""The API's timed sets."""

import msgspec

from lineshaft.engine.search.filter import EVERYTHING
from lineshaft.engine.timed import SetName
from lineshaft.errors import Refusal
from lineshaft.web.actions.verbs import on_set
from lineshaft.web.api import records as types
from lineshaft.web.api.operation import MOST_ROWS, Call, Handler
from lineshaft.web.api.shown import job_out
from lineshaft.web.lists.rows import PAGE
from lineshaft.web.lists.search import Place, search

__all__ = ["bulk", "jobs_out", "timed"]


def timed(name: SetName) -> Handler:
    async def handler(call: Call) -> types.JobsOut:
        order = call.query("order")
        if order not in ("", "oldest", "newest"):
            raise Refusal("order must be oldest or newest")
        return await jobs_out(call, Place(call.filter(), name, newest=order == "newest"))

    return handler


async def jobs_out(call: Call, place: Place) -> types.JobsOut:
    """A page of jobs: what a search finds in a moment, and where the next one goes on.

    The first answer comes at once, as that of a page does; who follows its cursor wants all there is, and waits.
    """
    limit, cursor = call.number("limit", PAGE, MOST_ROWS, least=1), call.query("cursor")
    found = await search(call.site, place, cursor, limit=limit, patient=bool(cursor))
    total = call.look(place.size)
    return types.JobsOut([job_out(job) for job in found.jobs], found.cursor, found.looked_at, total, found.unreadable)


def bulk(name: SetName) -> Handler:
    async def handler(call: Call) -> types.BulkOut:
        wanted = msgspec.json.decode(call.body, type=types.BulkIn)
        if (wanted.jids is None) == (wanted.filter is None):
            raise Refusal("jids or filter must be given, and not both")
        chosen = None if wanted.filter is None else wanted.filter.filter()
        chores: list[int] = []
        verb = on_set(name, wanted.action, jids=wanted.jids, chosen=chosen, chores=chores)
        told = (
            name.value
            if chosen is None
            else f"{name.value}, all"
            if chosen == EVERYTHING
            else f"{name.value}, filtered"
        )
        moved = await call.act(wanted.action, told, verb)
        call.site.audit.await_end(chores)
        return types.BulkOut(moved, bool(chores))

    return handler
