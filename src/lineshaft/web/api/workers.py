"""The API's workers, and the jobs in their hands."""

from lineshaft.lifecycle import WorkerState
from lineshaft.web.actions import verbs
from lineshaft.web.api import records as types
from lineshaft.web.api.operation import Call, Handler
from lineshaft.web.api.shown import held_out, worker_out
from lineshaft.web.lists.rows import PAGE

__all__ = ["signal", "workers"]


async def workers(call: Call) -> types.WorkersOut:
    after = call.number("after", 0, 10**9)
    workers = call.look(lambda engine: engine.views.workers(limit=1000))
    held, more = call.look(lambda engine: engine.views.held(after=after, limit=PAGE))
    return types.WorkersOut([worker_out(one) for one in workers], [held_out(one) for one in held], more)


def signal(state: WorkerState) -> Handler:
    async def handler(call: Call) -> None:
        wid = call.path("wid")
        await call.act(state.word, f"worker {wid}", verbs.signal([wid], state))

    return handler
