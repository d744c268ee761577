"""The same with FastAPI: a client and a worker that live as long as the application.

uvicorn fastapi_app:app
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request

from lineshaft import AsyncClient, Jobs, Worker

jobs = Jobs()


@jobs.job(keep_result=True)
async def shout(text: str) -> str:
    await asyncio.sleep(0.01)
    return text.upper()


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, AsyncClient]]:
    worker = Worker(jobs, concurrency=5)
    working = asyncio.create_task(worker.serve())
    async with AsyncClient() as client:
        yield {"jobs": client}
    worker.stop()
    await working


def job_client(request: Request) -> AsyncClient:
    client: AsyncClient = request.state.jobs
    return client


JobClient = Annotated[AsyncClient, Depends(job_client)]

app = FastAPI(lifespan=lifespan)


@app.post("/shout/{text}", status_code=202)
async def push(text: str, client: JobClient) -> dict[str, str]:
    pushed = await client.push(shout.job(text))
    return {"jid": pushed.jid}


@app.get("/jobs/{jid}")
async def result(jid: str, client: JobClient) -> dict[str, Any]:
    track = await client.track_get(jid)
    return {"state": track.state, "result": track.result or None}
