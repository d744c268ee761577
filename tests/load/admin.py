"""Operators of a soak: they look, pause, act on many jobs at once, remove and back up."""

import json
import shutil

from load.stage import Stage
from load.wire import Wire

__all__ = ["admin"]


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
