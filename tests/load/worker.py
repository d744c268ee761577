"""Workers of a soak: they finish jobs in every way there is, and die with jobs in their hands."""

import asyncio
import json
import time
from typing import Any

from load.stage import Stage
from load.wire import Wire

__all__ = ["worker"]

WORKED = "q0:4 q1:2 q2 lanes strict throttled default probe"


async def worker(stage: Stage, name: str) -> None:
    """A worker process of two connections and a heart, which dies with jobs in its hands."""
    wid = f"{name}-{time.time_ns() & 0xFFFFFFFF:08x}"
    hello = {"v": 2, "wid": wid, "hostname": "soak", "pid": 1, "labels": ["soak"], "features": ["cancel"]}
    wires = [await stage.connect(hello) for _ in range(3)]
    heart = asyncio.create_task(_beat(stage, wires.pop(), wid))
    pullers = [asyncio.create_task(_pull(stage, wire)) for wire in wires]
    try:
        await asyncio.wait(pullers, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (heart, *pullers):
            task.cancel()
        ended = await asyncio.gather(heart, *pullers, return_exceptions=True)
        for wire in wires:
            wire.close(abort=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
    stage.ledger.done["worker_died"] += 1
    await stage.pause(1)


async def _beat(stage: Stage, wire: Wire, wid: str) -> None:
    try:
        while True:
            await wire.ask(b"BEAT " + json.dumps({"wid": wid, "rss_kb": 1000}).encode())
            stage.ledger.done["beat"] += 1
            await stage.pause(3)
    finally:
        wire.close(abort=True)


async def _pull(stage: Stage, wire: Wire) -> None:
    """Fetch and work; returns with a job in hand, as one that dies."""
    count = 0
    while count < stage.life:
        job = await wire.ask_json(b"FETCH " + WORKED.encode())
        if job is not None:
            count += 1
            await _work(stage, wire, job, count)
    while await wire.ask_json(b"FETCH " + WORKED.encode()) is None:
        pass


async def _work(stage: Stage, wire: Wire, job: dict[str, Any], count: int) -> None:
    """What becomes of one job."""
    ledger, jid = stage.ledger, job["jid"]
    if job.get("custom", {}).get("track"):
        await wire.ask(b"TRACK SET " + json.dumps({"jid": jid, "percent": 50, "desc": "half"}).encode())
        ledger.done["track_set"] += 1
    told: dict[str, Any] = {"jid": jid}
    verb = "ACK"
    if job["jobtype"] == "Fatal":
        verb, told = "FAIL", {**told, "errtype": "Fatal", "message": "dies at once"}
        ledger.live.discard(jid)
        ledger.done["dead"] += 1
    elif count % 13 == 0:
        verb = "FAIL"
        told |= {"errtype": "Soak", "message": "again", "retry_in": 1 + count % 3, "backtrace": ["a", "b"]}
        ledger.done["fail"] += 1
    elif count % 17 == 0:
        verb = "REQUEUE"
        told |= {"in": 1} if count % 2 else {}
        ledger.done["requeue"] += 1
    else:
        ledger.live.discard(jid)
        ledger.done["retry"] += "failure" in job
        if count % 3 == 0:
            told["result"] = {"count": count}
            ledger.done["result"] += 1
        ledger.done["ack"] += 1
    await wire.ask(f"{verb} {json.dumps(told)}".encode())
