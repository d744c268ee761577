"""A web application whose client and worker live as long as it does. FastAPI takes the same `lifespan`: fastapi_app.py.

    uvicorn starlette_app:app

In earnest the worker is a process of its own (`lineshaft work starlette_app`), so that the two can be scaled and
restarted apart; in development one process is handy.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lineshaft import AsyncClient, Jobs, Worker

jobs = Jobs()


@jobs.job(keep_result=True)
async def shout(text: str) -> str:
    await asyncio.sleep(0.01)
    return text.upper()


class State(TypedDict):
    jobs: AsyncClient


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[State]:
    worker = Worker(jobs, concurrency=5)
    working = asyncio.create_task(worker.serve())
    async with AsyncClient() as client:
        yield {"jobs": client}
    worker.stop()
    await working


async def push(request: Request) -> Response:
    pushed = await request.state.jobs.push(shout.job(request.path_params["text"]))
    return JSONResponse({"jid": pushed.jid}, status_code=202)


async def result(request: Request) -> Response:
    track = await request.state.jobs.track_get(request.path_params["jid"])
    return JSONResponse({"state": track.state, "result": track.result or None})


app = Starlette(
    routes=[Route("/shout/{text}", push, methods=["POST"]), Route("/jobs/{jid}", result)], lifespan=lifespan
)
