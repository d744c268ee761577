"""The API's batches and periodic jobs."""

from collections.abc import Callable, Mapping
from typing import Any

from lineshaft.engine.engine import Engine
from lineshaft.errors import Refusal, Unavailable
from lineshaft.web.api import records as types
from lineshaft.web.api.operation import MOST_ROWS, Call, Handler
from lineshaft.web.api.shown import batch_out, periodic_out
from lineshaft.web.lists.rows import PAGE

__all__ = ["batch", "batches", "on_periodic", "periodic"]


async def batches(call: Call) -> types.BatchesOut:
    found, following, _ = call.look(lambda engine: engine.views.batches(cursor=call.query("cursor")[:100], limit=PAGE))
    return types.BatchesOut([batch_out(row) for row in found], following)


async def batch(call: Call) -> types.BatchOut:
    try:
        return batch_out(call.look(lambda engine: engine.views.batch(call.path("bid"))))
    except Unavailable:
        raise
    except Refusal:
        raise Refusal("no such batch", "NOTFOUND") from None


async def periodic(call: Call) -> list[types.PeriodicOut]:
    first = call.number("after", 0, 10**6)
    found, _ = call.look(lambda engine: engine.views.periodic(first=first, limit=MOST_ROWS))
    return [periodic_out(row) for row in found]


def on_periodic(what: str) -> Handler:
    async def handler(call: Call) -> types.Made:
        name = call.path("name")
        verbs: Mapping[str, Callable[[Engine], Any]] = {
            "run": lambda engine: engine.cron_run(name),
            "pause": lambda engine: engine.cron_pause(name),
            "resume": lambda engine: engine.cron_resume(name),
        }
        try:
            jid = await call.act(what, f"periodic {name}", verbs[what])
        except Unavailable:
            raise
        except Refusal as refusal:
            raise Refusal(str(refusal), "NOTFOUND" if "no such" in str(refusal) else refusal.code) from None
        return types.Made(jid or "")

    return handler
