"""Producers of a soak: jobs of every kind, batches, and what is cancelled before it runs."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from load.stage import Ledger, Stage
from load.wire import Wire, instant
from wire_client import WireError

__all__ = ["producer"]

QUEUES = ("q0", "q1", "q2")


async def producer(stage: Stage, name: str) -> None:
    """Pushes jobs of every kind, some 40 a second."""
    wire, count, bid = await stage.connect(), 0, ""
    run = f"{name}-{time.time_ns() & 0xFFFFFFFF:08x}"
    while True:
        if count % 40 == 0:
            bid = await _next_batch(stage, wire, bid, is_nested=count % 120 == 40)
        count += 1
        job, is_kept = _job(stage, f"{run}-{count}", count, bid)
        await _push(stage, wire, job, is_kept=is_kept)
        if count % 50 == 0:
            await _push_many(stage, wire, f"{run}-{count}")
        if count % 60 == 0:
            await _push_and_cancel(stage, wire, f"{run}-{count}-cancel")
        await stage.pause(0.025)


async def _next_batch(stage: Stage, wire: Wire, before: str, *, is_nested: bool) -> str:
    """Commit the batch that was filled, and begin the next, now and then as its child."""
    callbacks = {role: {"jobtype": "Callback", "args": [], "queue": "q0"} for role in ("success", "complete")}
    wanted: dict[str, Any] = {**callbacks, "description": "a soak"}
    if is_nested and before:
        wanted["parent_bid"] = before
        stage.ledger.done["nested_batch"] += 1
    bid: str = (await wire.ask(b"BATCH NEW " + json.dumps(wanted).encode())).decode()
    if before:
        await wire.ask(b"BATCH COMMIT " + before.encode())
        shown = await wire.ask_json(b"BATCH STATUS " + before.encode())
        assert shown["total"] >= 0
    stage.ledger.done["batch"] += 1
    return bid


def _job(stage: Stage, jid: str, count: int, bid: str) -> tuple[dict[str, Any], bool]:
    """The next job of a producer's plan, and whether it must stay until somebody ends it."""
    done, custom, is_kept = stage.ledger.done, {}, True
    job: dict[str, Any] = {"jid": jid, "jobtype": "Soak", "queue": QUEUES[count % 3], "priority": 1 + count % 9}
    job["args"] = ["x" * stage.chance.choice([0, 20, 200, 2000])]
    special = {5: "lanes", 6: "strict", 7: "throttled"}.get(count % 10)
    if special is not None:
        job["queue"], custom["tenant"] = special, f"t{count // 10 % 20}"
        done["lane" if special == "lanes" else special] += 1
    if count % 4 == 0:
        custom["bid"] = bid
    if count % 5 == 0:
        custom["track"] = 1
        done["tracked"] += 1
    if count % 7 == 0:
        custom |= {"unique_for": 20, "unique_until": "start" if count % 2 else "success"}
        job["args"] = [count % 60]
        done["unique"] += 1
    if count % 11 == 0:
        job["at"] = instant(stage.chance.uniform(0.2, 4))
        done["scheduled"] += 1
    if count % 13 == 0:
        custom["expires_in"], is_kept = stage.chance.uniform(0.05, 3), False
        done["expiring"] += 1
    if count % 31 == 0:
        job |= {"retry": -1, "jobtype": "Fatal"}
    if custom:
        job["custom"] = custom
    return job, is_kept


async def _push(stage: Stage, wire: Wire, job: dict[str, Any], *, is_kept: bool) -> None:
    ledger, jid = stage.ledger, job["jid"]
    try:
        with _promised(ledger, {jid} if is_kept else set()):
            await wire.ask(b"PUSH " + json.dumps(job).encode())
    except WireError as error:
        if not str(error).startswith("NOTUNIQUE"):
            raise
        ledger.done["notunique"] += 1
    else:
        ledger.done["push"] += 1


@contextmanager
def _promised(ledger: Ledger, jids: set[str]) -> Iterator[None]:
    """Jobs are live from before their push on, since a worker may end them before its +OK is read; not without it."""
    ledger.live |= jids
    try:
        yield
    except BaseException:
        ledger.live -= jids
        raise


async def _push_many(stage: Stage, wire: Wire, name: str) -> None:
    jobs = [{"jid": f"{name}-bulk{n}", "jobtype": "Soak", "args": [n], "queue": "q2"} for n in range(10)]
    with _promised(stage.ledger, {str(job["jid"]) for job in jobs}):
        assert await wire.ask_json(b"PUSHB " + json.dumps(jobs).encode()) == {}
    stage.ledger.done["pushb"] += 1


async def _push_and_cancel(stage: Stage, wire: Wire, jid: str) -> None:
    job = {"jid": jid, "jobtype": "Soak", "args": [], "at": instant(600), "custom": {"track": 1}}
    await wire.ask(b"PUSH " + json.dumps(job).encode())
    await wire.ask(b"CANCEL " + json.dumps({"jid": jid}).encode())
    assert (await wire.ask_json(b"TRACK GET " + jid.encode()))["cancelled"] is True
    stage.ledger.done["cancel"] += 1
    stage.ledger.done["track_get"] += 1
