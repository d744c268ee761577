"""A scene: what a server of a busy shop looks like, for the screenshots and for tests that want one of everything."""

import json
import math
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from browser.stage import Stage
from lineshaft.clock import format_instant
from lineshaft.config import Cron, CronJob
from lineshaft.config.entries import Queue, Throttle
from lineshaft.config.model import Queues, Throttles
from lineshaft.web.figures.past import GRAINS, Note
from lineshaft.web.figures.pulse import Trend

TRACE = [
    "app/jobs/report_job.rb:41:in `render'",
    "app/jobs/report_job.rb:17:in `perform'",
    "lib/pdf/chrome.rb:88:in `wait_for_page'",
    "lib/pdf/chrome.rb:31:in `print'",
]
ERRORS = [
    ("ReportJob", "reports", "Timeout::Error", "execution expired after 30 s"),
    ("SyncUserJob", "default", "ActiveRecord::RecordNotFound", "Couldn't find User with 'id'=88213"),
    (
        "webhooks.deliver",
        "webhooks",
        "requests.exceptions.HTTPError",
        "502 Server Error for url: https://hooks.example/7",
    ),
]


@contextmanager
def played(stage: Stage) -> Iterator[None]:
    """One of everything, until the block ends."""
    chance = random.Random(3)
    stage.clear()
    with ExitStack() as stack:
        _dead_and_retries(stage, chance)
        _finished(stage)
        stage.clock.shift_ms = -252_000
        stage.push(*[_report(number) for number in range(780)])
        stage.clock.shift_ms += 226_000
        stage.push(*[{"jobtype": "import.row", "queue": "import", "args": [number]} for number in range(68)])
        stage.clock.shift_ms = 0
        stage.push(*[{"jobtype": "Mailer::Welcome", "queue": "mailers", "args": [n, "es"]} for n in range(318)])
        stage.push(*[{"jobtype": "SyncUserJob", "args": [n, {"full": n % 2 == 0}]} for n in range(1210)])
        stage.push(*[{"jobtype": "charge", "queue": "critical", "args": [n]} for n in range(3)])
        stage.push(*[_scheduled(stage, number) for number in range(310)])
        stage.do(lambda: stage.server.engine.cron_pause("poll"))
        for number in range(4):
            worker = stack.enter_context(
                stage.worker(f"c0ffee{number:02}", f"worker-{number + 1}", ("python", "reports"), 3100 + number)
            )
            for turn in range(3 + number):
                order = b"FETCH mailers reports" if turn > 2 else b"FETCH critical default reports mailers"
                worker.command(order)
        _tracked(stage, stack)
        _batches(stage)
        _lanes(stage, stack)
        _silent(stage)
        yield


def _report(number: int) -> dict[str, object]:
    day = f"2026-11-{number % 28 + 1:02}"
    return {
        "jobtype": "ReportJob",
        "queue": "reports",
        "args": [4200 + 13 * number, day, {"format": "pdf", "locale": "es"}],
    }


def _scheduled(stage: Stage, number: int) -> dict[str, object]:
    at = format_instant(stage.clock() + 60_000 + number * 947_000)
    return {"jobtype": "Digest::Weekly", "queue": "mailers", "args": [number, "weekly"], "at": at}


def _dead_and_retries(stage: Stage, chance: random.Random) -> None:
    with stage.worker("filler", "filler") as worker:
        for number in range(57):
            stage.clock.shift_ms = -round(37_000 * 1.16 ** (57 - number)) if number < 41 else -((57 - number) * 37_000)
            _fail(stage, worker, chance.choices(ERRORS, (39, 11, 7))[0], number, retry=-1)
        stage.clock.shift_ms = -8000
        for number in range(24):
            _fail(stage, worker, chance.choice(ERRORS), number, retry=25)


def _fail(stage: Stage, worker, error: tuple[str, str, str, str], number: int, retry: int) -> None:  # type: ignore[no-untyped-def]
    jobtype, queue, errtype, message = error
    args = [4200 + 13 * number, f"2026-11-{number % 28 + 1:02}", {"format": "pdf", "locale": "es"}]
    stage.push({"jobtype": jobtype, "queue": queue, "args": args, "retry": retry, "custom": {"tenant": "acme"}})
    job = json.loads(worker.command(b"FETCH " + queue.encode()))
    # None of them may come due while the scene is still being set.
    wait = {"retry_in": 300 + 37 * number} if retry > 0 else {}
    failure = {"jid": job["jid"], "errtype": errtype, "message": message, "backtrace": TRACE, **wait}
    worker.command(b"FAIL " + json.dumps(failure).encode())


def _finished(stage: Stage) -> None:
    stage.clock.shift_ms = -30_000
    stage.push(*[{"jobtype": "Mailer::Welcome", "queue": "mailers", "args": [n, "es"]} for n in range(12)])
    with stage.worker("c0ffee77", "worker-7") as worker:
        for number in range(12):
            job = json.loads(worker.command(b"FETCH mailers"))
            stage.clock.shift_ms += 130 + 71 * number
            worker.command(b"ACK " + json.dumps({"jid": job["jid"]}).encode())


def _tracked(stage: Stage, stack: ExitStack) -> None:
    """A job that tells how far it is, and one that was told to stop."""
    worker = stack.enter_context(stage.worker("beef0001", "batch-1", ("python",), 9021))
    for percent, desc in ((63, "page 63 of 100"), (12, "warming up")):
        stage.push(
            {
                "jobtype": "Export::Catalogue",
                "queue": "critical",
                "args": ["2026"],
                "custom": {"track": 1},
                "priority": 9,
            }
        )
        job = json.loads(worker.command(b"FETCH critical"))
        worker.command(b"TRACK SET " + json.dumps({"jid": job["jid"], "percent": percent, "desc": desc}).encode())
    with stage.client() as client:
        client.command(b"CANCEL " + json.dumps({"jid": job["jid"]}).encode())


def _batches(stage: Stage) -> None:
    """Batches, one of them inside another."""
    with stage.client() as client:

        def begin(description: str, parent: str = "") -> str:
            success = {"jobtype": "Import::Done", "args": [], "queue": "import"}
            told = {"description": description, "parent_bid": parent, "success": success, "complete": success}
            return str(client.command(b"BATCH NEW " + json.dumps(told).encode()).decode())

        whole = begin("Nightly import of all shops")
        part = begin("Import of shop 17", whole)
        client.command(b"BATCH COMMIT " + begin("An empty one").encode())
        for bid, count in ((whole, 30), (part, 12)):
            stage.push(
                *[
                    {"jobtype": "import.row", "queue": "import", "args": [n], "custom": {"bid": bid}}
                    for n in range(count)
                ]
            )
            client.command(b"BATCH COMMIT " + bid.encode())
    with stage.worker("c0ffee78", "worker-8") as worker:
        stage.do(lambda: stage.server.engine.resume(["import"]))
        for number in range(96):
            jid = json.loads(worker.command(b"FETCH import"))["jid"]
            verb = b"FAIL " if number == 95 else b"ACK "
            worker.command(verb + json.dumps({"jid": jid} | ({"errtype": "Boom"} if number == 95 else {})).encode())
        stage.do(lambda: stage.server.engine.pause(["import"]))


def _lanes(stage: Stage, stack: ExitStack) -> None:
    """A queue of many tenants, of which some run and one is held."""
    tenants = ["acme", "bodega-norte", "initech", "umbrella", "wayne", "zorro"]
    stage.push(
        *[
            {"jobtype": "Invoice::Sync", "queue": "invoices", "args": [n], "custom": {"tenant": tenants[n % 6]}}
            for n in range(83)
        ]
    )
    worker = stack.enter_context(stage.worker("beef0002", "worker-5", ("python",), 3109))
    jobs = [json.loads(worker.command(b"FETCH invoices")) for _ in range(3)]
    failure = {
        "jid": jobs[0]["jid"],
        "errtype": "Stripe::RateLimitError",
        "message": "Too many requests",
        "retry_in": 900,
    }
    worker.command(b"FAIL " + json.dumps(failure).encode())


#: The clock of the scene goes two days back and comes again: what has a run in them would push jobs into the picture.
CRON = (
    Cron(CronJob("ReportJob", "reports"), "30 2 1 1 *", tz="Europe/Madrid", catch_up="once", name="yearly-report"),
    Cron(CronJob("Poll", retry=0), "*/10 * * * * *", name="poll"),
    Cron(CronJob("Cleanup"), "@hourly", name="cleanup"),
)


THROTTLES = Throttles({"mailers": Throttle(concurrency=20), "reports": Throttle(rate=100, per_ms=60_000)})


def _silent(stage: Stage) -> None:
    """One of the workers has said nothing for a while."""

    def fall_silent() -> None:
        stage.server.engine.state.workers.present["c0ffee03"].heard_at -= 41_000

    stage.do(fall_silent)


def heard(stage: Stage) -> None:
    """The workers of the scene do nothing, and are not to be taken for lost; one of them is silent."""
    for worker in stage.server.engine.state.workers.present.values():
        worker.heard_at = stage.clock() - (41_000 if worker.wid == "c0ffee03" else 3000)


def past(stage: Stage) -> None:
    """What the last day looked like, since nobody waits a day for a picture; from here on the pulse stands still."""
    chance = random.Random(5)
    timer = stage.site.pulse._timer
    assert timer is not None
    timer.cancel()
    pulse, now = stage.site.pulse, stage.clock()
    for queue in stage.server.engine.state.queues:
        queue.processed += 30_400_000
        queue.failed += 310_000
    pulse.take(stage.server.engine.views.overview())
    last = pulse.past.notes["5m"][-1]
    for grain in GRAINS:
        notes, processed, failed = [], last.processed, last.failed
        for step in range(grain.length):
            at = now - step * grain.every_ms
            wave = 1700 + 350 * math.sin(step / 21) + 160 * math.sin(step / 5) + chance.gauss(0, 70)
            burst = 280 if 98 < step < 106 else 0
            dead = last.dead - min(step, 41) if grain.name == "1h" else last.dead
            busy = last.busy + chance.randint(-2, 2)
            sizes = [max(size + round(size * 0.04 * math.sin(step / 9)), 0) for size in (last.enqueued, last.retries)]
            notes.append(
                Note(at, processed, failed, sizes[0], busy, sizes[1], last.scheduled, max(dead, 0), chance.random())
            )
            processed -= round(max(wave, 0) * grain.every_ms / 1000)
            failed -= round((17 + chance.random() * 8 + burst) * grain.every_ms / 1000)
        pulse.past.notes[grain.name].clear()
        pulse.past.notes[grain.name].extend(reversed(notes))
    for _ in range(9000):
        pulse.loop.add(chance.lognormvariate(-8, 1.1))
        for name, taken in stage.server.store.durations().items():
            taken.add(chance.lognormvariate(-8.4 if name == "commit" else -6.6, 0.7))
    for name, (size, done) in stage.server.engine.views.counts((), 50).items():
        trend = pulse.queues.setdefault(name, Trend())
        trend.notes.clear()
        pace = chance.choice((3, 96, 211, 412))
        for step in range(120, -1, -1):
            wave = (
                size * (1 - 0.3 * math.sin(step / 11) * chance.random())
                if name != "reports"
                else size * (1 - step / 140)
            )
            trend.add(now - step * 5000, round(wave), done - pace * 5 * step)


QUEUES = Queues(named={"invoices": Queue(lane_by="tenant", lane_order="strict")})


__all__ = ["CRON", "QUEUES", "THROTTLES", "heard", "past", "played"]
