"""Plenty: as much of everything as a server holds, or ten thousand, with the longest names there are."""

import json
from typing import Final

from browser.stage import Stage
from lineshaft.config import Cron, CronJob
from lineshaft.config.entries import Queue, Throttle
from lineshaft.config.model import Queues, Throttles
from lineshaft.engine.admin.adopt import Arrival
from lineshaft.engine.features.batching import Wanted
from lineshaft.job import decode_pushed
from lineshaft.lifecycle import Place

__all__ = ["fill", "laned", "periodic", "throttled"]

LONG_QUEUE: Final = "a-queue-" + "of.the-longest_name." * 12 + "123456789"
LONG_TYPE: Final = "Very::" + "Long::" * 40 + "JobType"
LONG_WORD: Final = "unbroken" * 60


def name_of(number: int) -> str:
    """The name of a queue; the first one is the longest that a queue may have."""
    return LONG_QUEUE[:255] if number == 0 else f"queue-{number:05}"


def throttled(count: int) -> Throttles:
    """Throttles of so many queues."""
    return Throttles({name_of(number): Throttle(concurrency=7, rate=100, per_ms=60_000) for number in range(count)})


def periodic(count: int) -> tuple[Cron, ...]:
    """So many periodic jobs."""
    long = [Cron(CronJob(LONG_TYPE[:200], LONG_QUEUE[:255]), "1,2,3,4,5,6,7,8,9 * * * *", name=LONG_WORD[:200])]
    return (*long, *(Cron(CronJob("Poll", f"queue-{n:05}"), "@hourly", name=f"poll-{n:05}") for n in range(1, count)))


def laned() -> Queues:
    """One queue whose lanes are told apart by customer."""
    return Queues(named={"laned": Queue(lane_by="customer")})


def fill(stage: Stage, count: int) -> None:
    """So many queues, workers with a job in hand, batches, lanes, and failed jobs, no two of which failed alike."""
    _queues(stage, count)
    for first in range(0, count, 500):
        numbers = range(first, min(first + 500, count))
        stage.do(lambda numbers=numbers: _failed(stage, numbers))
        stage.do(lambda numbers=numbers: _workers(stage, numbers))
        stage.do(lambda numbers=numbers: _batches(stage, numbers))


def _queues(stage: Stage, count: int) -> None:
    jobs = [
        {
            "queue": name_of(number),
            "jobtype": LONG_TYPE if number < 3 else "SyncUserJob",
            "args": [number, LONG_WORD if number < 3 else "short"],
        }
        for number in range(count)
    ]
    stage.push(*jobs)
    stage.push(*[{"queue": "laned", "custom": {"customer": f"c{number}"}} for number in range(count)])
    stage.push(*[{"queue": name_of(0), "args": [number]} for number in range(300)])


def _failed(stage: Stage, numbers: range) -> None:
    arrivals, later = {}, stage.clock() + 3_600_000
    for number in numbers:
        for place in (Place.RETRIES, Place.DEAD):
            job = {
                "jid": f"{place.value}-{number:08}" + (LONG_WORD[:400] if number < 2 else ""),
                "jobtype": LONG_TYPE if number < 3 else f"Job{number % 97}",
                "queue": name_of(number),
                "args": [LONG_WORD if number < 3 else "short"],
                "failure": {
                    "retry_count": 3,
                    "failed_at": "2025-11-01T10:00:00Z",
                    "message": LONG_WORD
                    if number < 3
                    else f"no {'abcdefghij'[number % 10]}{'klmnopqrst'[number // 10 % 10]}",
                    "errtype": ("E" + LONG_WORD)[:100] if number < 3 else f"Errno{number}",
                    "backtrace": [LONG_WORD, "app/jobs/sync.rb:41"],
                },
            }
            arrivals[len(arrivals)] = Arrival(
                decode_pushed(json.dumps(job).encode()), place, later if place is Place.RETRIES else None
            )
    for first in range(0, len(arrivals), 1000):
        chosen = [arrivals[place] for place in range(first, min(first + 1000, len(arrivals)))]
        outcome = stage.server.engine.adopt(dict(enumerate(chosen)))
        assert not outcome.refused, outcome.refused


def _workers(stage: Stage, numbers: range) -> None:
    engine = stage.server.engine
    for number in numbers:
        wid = f"worker-{number:06}" if number > 2 else f"{number}-{LONG_WORD}"[:255]
        labels = tuple(f"label-{n}-{LONG_WORD[:40]}" for n in range(9)) if number < 3 else ("python",)
        engine.connect(wid, (LONG_WORD if number < 3 else f"host-{number:05}")[:250], 4711, labels)
        engine.beat(wid, 180_000, None)
        engine.fetch([name_of(number)], wid)
        # It says nothing more, and is not to be taken for lost while its pages are looked at.
        engine.state.workers.present[wid].heard_at += 3_600_000


def _batches(stage: Stage, numbers: range) -> None:
    for number in numbers:
        description = LONG_WORD if number < 3 else f"import of file {number}"
        callback = decode_pushed(json.dumps({"jid": f"batch-done-{number:06}", "jobtype": "Done", "args": []}).encode())
        stage.server.engine.batch_new(Wanted("", description[:500], None, callback, None))
