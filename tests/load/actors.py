"""Who takes part in a soak: producers, workers, admins and browsers, which between them use every feature.

They run in one loop, each at a pace of its own, so that the load is the same all the time however fast the server is.
What each has done is counted in `Ledger.done`, so that a run can tell whether every feature was really used; what was
promised to them is in `Ledger.live`.
"""

import asyncio
import json
import random
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load.wire import Wire
from wire_client import WireError

__all__ = ["CONFIG", "Ledger", "Stage", "admin", "browser", "crowd", "get_page", "instant", "producer", "worker"]

#: What is kept after its end is kept for a short time, so that a run comes to its full size early. Tracks, which have
#: no such setting, stay for half an hour.
CONFIG = """
[storage]
memory = "16MiB"
[workers]
recover_after = "3s"
[retention]
results = "1m"
batches = "1m"
batches_open = "1m"
dead_max = 500
[history]
completed = "1m"
[throttles]
throttled = { concurrency = 4, rate = 30, per = "1s" }
[queues.lanes]
lane_by = "tenant"
lane_concurrency = 2
[queues.strict]
lane_by = "tenant"
lane_order = "strict"
backoff = "fixed:1"
[[cron]]
name = "often"
schedule = "*/2 * * * * *"
[cron.job]
type = "Often"
"""

QUEUES = ("q0", "q1", "q2")
WORKED = "q0:4 q1:2 q2 lanes strict throttled default probe"

#: What a run must have done for it to say anything about that feature.
FEATURES = """
push pushb scheduled unique notunique tracked expiring batch nested_batch lane strict throttled cancel ack result
track_set track_get fail retry dead requeue beat worker_died mutate remove pause backup inspect cron_run
browser_page browser_live storm slow_reader silent
"""


@dataclass
class Ledger:
    """What was done, and which jobs must still be on the server."""

    #: Pushed and answered +OK, and nothing was sent that may have ended it.
    live: set[str] = field(default_factory=set)
    done: Counter[str] = field(default_factory=Counter)
    #: Replies that nobody expected; a run with any has failed.
    errors: Counter[str] = field(default_factory=Counter)

    def unused(self) -> set[str]:
        """The features that nobody has used so far."""
        return {feature for feature in FEATURES.split() if not self.done[feature]}


@dataclass
class Stage:
    """Where all of them act; `every` stretches all pauses."""

    port: int
    web_port: int
    scratch: Path
    ledger: Ledger
    chance: random.Random
    every: float = 1.0
    #: How many jobs each connection of a worker lives.
    life: int = 400
    wires: list[Wire] = field(default_factory=list)

    async def connect(self, hello: dict[str, Any] | None = None) -> Wire:
        """A connection, which the end of the run closes if nobody else has."""
        made = await Wire.connect(self.port, hello)
        self.wires = [*(wire for wire in self.wires if not wire.is_lost), made]
        return made

    async def close(self) -> None:
        """Close what is still open; what was closed before is seen to by the loop's next turns."""
        for wire in self.wires:
            wire.close(abort=True)
        await asyncio.sleep(0.1)

    async def pause(self, seconds: float) -> None:
        """Wait for about so long, never in step with others."""
        await asyncio.sleep(self.every * seconds * self.chance.uniform(0.5, 1.5))

    async def forever(self, act: Callable[["Stage", str], Awaitable[None]], name: str) -> None:
        """Play an actor again and again: a connection that ends is made anew."""
        life = 0
        while True:
            life += 1
            try:
                await act(self, f"{name}-{life}")
            except WireError as error:
                self.ledger.errors[f"{name}: {error}"] += 1
                await self.pause(0.5)
            except OSError as error:
                self.ledger.errors[f"{name}: {error!r}"] += 1
                await self.pause(0.5)


def instant(seconds: float) -> str:
    """So many seconds from now, as the protocol writes it."""
    at = time.time() + seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"


# Producers


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


# Workers


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


# Operators


async def admin(stage: Stage, name: str) -> None:
    """Looks, pauses, mutates, removes and backs up, for ever."""
    wire = await stage.connect()
    done, count = stage.ledger.done, 0
    while True:
        count += 1
        await wire.ask(b"INFO")
        await wire.ask(b"QUEUE LATENCY q0 q1")
        for what in ({"what": "queues"}, {"what": "jobs", "place": "retries", "text": "again"}, {"what": "history"}):
            await wire.ask(b"INSPECT " + json.dumps(what).encode())
        done["inspect"] += 1
        await wire.ask(b"QUEUE PAUSE q2")
        await stage.pause(0.3)
        await wire.ask(b"QUEUE RESUME q2")
        done["pause"] += 1
        await wire.ask(b"CRON RUN often")
        done["cron_run"] += 1
        for number in range(20):
            jid = f"{name}-{count}-{number}-removed"
            await wire.ask(b"PUSH " + json.dumps({"jid": jid, "jobtype": "T", "args": [], "queue": "removed"}).encode())
        await wire.ask(b"QUEUE REMOVE removed")
        done["remove"] += 1
        await wire.ask(b'MUTATE {"cmd":"requeue","target":"retries","filter":{"text":"again"}}')
        await wire.ask(b'MUTATE {"cmd":"discard","target":"dead","filter":{"regexp":"*\\"Fatal\\"*"}}')
        done["mutate"] += 1
        if count % 10 == 1:
            await _back_up(stage, wire)
        await stage.pause(5)


async def _back_up(stage: Stage, wire: Wire) -> None:
    copy = stage.scratch / "copy"
    await wire.ask(b"BACKUP " + json.dumps({"dir": str(copy)}).encode())
    shutil.rmtree(copy)
    stage.ledger.done["backup"] += 1


PAGES = (
    "/",
    "/queues",
    "/queues/q0",
    "/retries",
    "/retries?text=again",
    "/scheduled",
    "/morgue",
    "/busy",
    "/batches",
    "/finished",
    "/limits",
    "/periodic",
    "/server",
    "/metrics",
    "/stats",
    "/health",
)


async def browser(stage: Stage, _: str) -> None:
    """An open dashboard: it listens for news, and looks at one page after the other."""
    live = asyncio.create_task(_listen(stage))
    try:
        for page in PAGES:
            head, body = await get_page(stage.web_port, page)
            assert head.startswith(b"HTTP/1.1 200"), (page, head[:100])
            assert body, page
            stage.ledger.done["browser_page"] += 1
            await stage.pause(2)
    finally:
        live.cancel()
        with suppress(asyncio.CancelledError):
            await live


async def _listen(stage: Stage) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.web_port)
    try:
        writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while line := await reader.readline():
            stage.ledger.done["browser_live"] += line.startswith(b"data:")
    finally:
        writer.close()


async def get_page(port: int, path: str) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return head, body
    finally:
        writer.close()


async def crowd(stage: Stage, _: str) -> None:
    """Those who come in a crowd and go, one that never reads what it asks for, and one that never says a word."""
    done = stage.ledger.done
    wires = await asyncio.gather(*[stage.connect() for _ in range(50)])
    for wire in wires:
        wire.close()
    done["storm"] += 1
    deaf = await stage.connect()
    assert deaf.transport is not None
    deaf.transport.pause_reading()
    for _ in range(1000):
        deaf.send(b"INFO")
    reader, silent = await asyncio.open_connection("127.0.0.1", stage.port)
    try:
        await reader.read()  # until the server closes it, for want of a HELLO
    finally:
        silent.close()
    done["silent"] += 1
    deaf.close(abort=True)
    done["slow_reader"] += 1
    await stage.pause(12)
