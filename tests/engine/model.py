"""The small model that the engine is compared with: every job, its place, and what it is part of, as lists and dicts.

It knows nothing of keys, windows or cursors, and counts by looking at everything.
"""

import copy
import json
from collections import defaultdict
from dataclasses import dataclass, field
from fractions import Fraction

from engine.batch_model import ModelBatches
from lineshaft.engine.records import LaneRules
from lineshaft.engine.settings import Periodic, Throttle
from lineshaft.schedule import Schedule

START = 1_700_000_000_000


def job_bytes(jid: str, queue: str, priority: int, retry: int, at: str | None, custom: dict[str, object]) -> bytes:
    at_field = f',"at":"{at}"' if at else ""
    if custom:
        at_field += f',"custom":{json.dumps(custom)}'
    return (
        f'{{"jid":"{jid}","jobtype":"T{priority}","args":[1],"queue":"{queue}",'
        f'"priority":{priority},"retry":{retry}{at_field}}}'
    ).encode()


@dataclass
class ModelJob:
    seq: int
    jid: str
    queue: str
    priority: int
    retry: int
    place: str = "ready"
    order: int = 0
    due: int = 0
    failures: int = 0
    recoveries: int = 0
    former: str = ""
    holder: str = ""
    granted: int = 0
    since: int = 0
    until: int = 0
    unique: str = ""
    backoff: str = ""
    expires: int = 1 << 60
    track: bool = False
    cancelled: bool = False
    tenant: str | None = None
    #: Where it stands in its queue: its lane, None for none; its priority there; its place.
    lane: str | None = None
    rank: int = 0
    slot: int = 0
    #: The lane and the place that it keeps while it waits in a set.
    keeps: tuple[str, int] | None = None
    #: Its queue was removed while a worker had it.
    stale: bool = False
    #: The batch that it belongs to, or, with a role, is called back about.
    bid: str = ""
    role: str = ""

    @property
    def alike(self) -> tuple[str, str]:
        return f"T{self.priority}", self.queue


@dataclass
class ModelTrack:
    seq: int
    state: str = "enqueued"
    percent: int | None = None
    until: int = 0
    result: bytes | None = None
    cancelled: bool = False
    #: Its job was removed with its queue: it ends with the sweep.
    leaving: bool = False


@dataclass
class ModelCron:
    """A periodic job that is due at every multiple of its period."""

    name: str
    period: int
    queue: str
    unique: bool = False
    catch_up: bool = False
    #: What is on disk.
    since: int = START
    last: int = 0
    paused: bool = False
    runs: int = 0
    skipped: int = 0
    #: What is in memory.
    floor: int = START

    @property
    def next_due(self) -> int | None:
        return None if self.paused else (self.floor // self.period + 1) * self.period

    def periodic(self) -> Periodic:
        schedule = Schedule(f"*/{self.period // 60_000} * * * *")
        custom: dict[str, object] = {"unique_for": 150} if self.unique else {}
        sent = job_bytes("", self.queue, 5, 0, None, custom)
        return Periodic(self.name, schedule, "T5", self.queue, sent, self.catch_up)


CRONS = [
    ModelCron("often", 60_000, "b", unique=True),
    ModelCron("full", 120_000, "c", catch_up=True),
    ModelCron("rare", 600_000, "a", catch_up=True),
]


@dataclass
class Model:
    jobs: dict[int, ModelJob] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    processed: int = 0
    failed: int = 0
    counter: int = 0
    #: What is alike, to whose lock it is and until when; those of jobs that a REMOVE took go with its sweep.
    locks: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    leaving: set[tuple[str, str]] = field(default_factory=set)
    expired: int = 0
    tracks: dict[str, ModelTrack] = field(default_factory=dict)
    now: int = START
    crons: dict[str, ModelCron] = field(default_factory=lambda: {cron.name: copy.copy(cron) for cron in CRONS})
    #: Instant, seq, jid, outcome and attempts of what is over, the oldest first.
    past: list[tuple[int, int, str, str, int]] = field(default_factory=list)
    #: Of queues with lanes: the rules; whose turn it is; who holds a lane; tokens and since when they are so many.
    rules: dict[str, LaneRules] = field(default_factory=dict)
    turns: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    holding: dict[tuple[str, str], int] = field(default_factory=dict)
    tokens: dict[tuple[str, str], tuple[Fraction, int]] = field(default_factory=dict)

    def lane_of(self, job: ModelJob) -> str | None:
        if job.queue not in self.rules:
            return None
        return "" if job.tenant is None else f'"{job.tenant}"'

    def waiting(self, queue: str, lane: str | None) -> list[ModelJob]:
        found = [j for j in self.jobs.values() if j.place == "ready" and j.queue == queue and j.lane == lane]
        return sorted(found, key=lambda job: (-job.rank, job.slot))

    def tokens_of(self, queue: str, lane: str) -> Fraction:
        rate = self.rules[queue].rate
        assert rate is not None
        before, at = self.tokens.get((queue, lane), (Fraction(rate.tokens), self.now))
        return min(before + Fraction((self.now - at) * rate.tokens, rate.per_ms), Fraction(rate.tokens))

    def may_start(self, queue: str, lane: str) -> bool:
        rules = self.rules.get(queue, LaneRules())
        leased = (j for j in self.jobs.values() if j.place == "leased" and not j.stale)
        running = sum(1 for job in leased if (job.queue, job.lane) == (queue, lane))
        most = 1 if rules.strict else rules.concurrency or 1000
        is_held = rules.strict and (queue, lane) in self.holding
        has_token = rules.rate is None or self.tokens_of(queue, lane) >= 1
        return bool(self.waiting(queue, lane)) and running < most and not is_held and has_token

    def judge(self, queue: str, lane: str | None) -> None:
        if lane is None:
            return
        turns, may_start = self.turns[queue], self.may_start(queue, lane)
        if may_start and lane not in turns:
            turns.append(lane)
        elif not may_start and lane in turns:
            turns.remove(lane)

    def lanes(self, queue: str) -> set[str]:
        """Those that may start a job."""
        found = {job.lane for job in self.line(queue) if job.lane is not None}
        return {lane for lane in found if self.may_start(queue, lane)}

    def next(self, queue: str) -> ModelJob | None:
        """Who is fetched next."""
        plain, turns = self.waiting(queue, None)[:1], self.turns[queue]
        laned = self.waiting(queue, turns[0])[:1] if turns else []
        found = plain + laned if queue in self.rules else laned + plain
        return found[0] if found else None

    def lease(self, job: ModelJob) -> None:
        job.place = "leased"
        if job.lane is not None:
            rules = self.rules.get(job.queue)
            if rules is not None and rules.rate is not None:
                self.tokens[job.queue, job.lane] = (self.tokens_of(job.queue, job.lane) - 1, self.now)
            self.turns[job.queue].remove(job.lane)
            self.judge(job.queue, job.lane)

    def stand(self, job: ModelJob, lane: str | None, slot: int) -> None:
        strict = lane is not None and job.queue in self.rules and self.rules[job.queue].strict
        job.place, job.lane, job.slot, job.stale = "ready", lane, slot, False
        job.rank = 5 if strict else job.priority
        self.judge(job.queue, lane)

    def keep_place(self, job: ModelJob) -> None:
        """It goes to wait in a set."""
        # A queue that was removed while the job was out has no lane that it could hold.
        is_strict = job.queue in self.known and job.queue in self.rules and self.rules[job.queue].strict
        if job.lane is not None and is_strict:
            job.keeps = (job.lane, job.slot)
            self.holding[job.queue, job.lane] = job.seq
        self.judge(job.queue, job.lane)

    def let_go(self, job: ModelJob) -> None:
        """It waits in a set no more."""
        if job.keeps is not None:
            lane, _ = job.keeps
            if self.holding.get((job.queue, lane)) == job.seq:
                del self.holding[job.queue, lane]
                self.judge(job.queue, lane)

    has_history: bool = False
    #: What the hooks have pushed: the follow-ups of every move that is on disk, and no other.
    has_hooks: bool = False
    told: list[str] = field(default_factory=list)
    #: Tokens that are missing from the bucket of a queue, and as of when.
    owed: dict[str, tuple[Fraction, int]] = field(default_factory=dict)

    def held(self, name: str, limits: Throttle) -> list[ModelJob]:
        leased = [job for job in self.jobs.values() if job.place == "leased" and job.queue == name]
        return [job for job in leased if limits.timeout is None or job.since + limits.timeout > self.now]

    def missing(self, name: str, limits: Throttle) -> Fraction:
        debt, at = self.owed.get(name, (Fraction(0), self.now))
        return max(debt - Fraction((self.now - at) * (limits.rate or 0), limits.per), Fraction(0))

    def admits(self, name: str, holder: str, limits: Throttle | None) -> bool:
        if limits is None:
            return True
        held = self.held(name, limits)
        own = [job for job in held if job.holder == holder]
        return (
            (limits.concurrency is None or len(held) < limits.concurrency)
            and (limits.worker is None or len(own) < limits.worker)
            and (limits.rate is None or limits.rate - self.missing(name, limits) >= 1)
        )

    batches: ModelBatches = field(default_factory=ModelBatches)
    #: The jobs of batches that are being swept with their queue: they end with the sweep.
    swept: list[ModelJob] = field(default_factory=list)
    #: Callbacks by bid and role: jid, retry, custom.
    wanted: dict[tuple[str, str], tuple[str, int, dict[str, object]]] = field(default_factory=dict)

    def turn(self, job: ModelJob, state: str) -> None:
        """A job of a batch has come into another state, or a callback into that slot."""
        batch = self.batches.by_bid.get(job.bid)
        if batch is None:
            return
        if job.role:
            batch.slots[job.role] = {"failing": "enqueued"}.get(state, state)
        else:
            batch.states[job.seq] = state
            batch.died |= state == "dead"
        self.batches.follow(job.bid, self.now, self.call)

    def call(self, bid: str, role: str) -> None:
        jid, retry, custom = self.wanted.pop((bid, role))
        job = ModelJob(self.take(), jid, "calls", 5, retry, bid=bid, role=role)
        job.track = custom.get("track") == 1
        if "expires_in" in custom:
            job.expires = self.now + int(str(custom["expires_in"])) * 1000
        if job.track:
            self.tracks[jid] = ModelTrack(job.seq)
        self.jobs[job.seq] = job
        self.stand(job, None, job.seq)
        self.known.add("calls")

    def keep(self, job: ModelJob, outcome: str) -> None:
        if self.has_history:
            self.past = sorted([*self.past, (self.now, job.seq, job.jid, outcome, job.failures + 1)])

    def tell(self, kind: str, jid: str) -> None:
        if self.has_hooks:
            self.told.append(f"{kind}-{jid}")

    def note(self, job: ModelJob, state: str, *, ended: bool = False) -> None:
        track = self.tracks.get(job.jid)
        if job.track and track is not None and track.seq == job.seq:
            track.state = state
            track.until = self.now + 1800_000 if ended else 0

    def take(self) -> int:
        self.counter += 1
        return self.counter

    def line(self, queue: str) -> list[ModelJob]:
        waiting = [job for job in self.jobs.values() if job.place == "ready" and job.queue == queue]
        return sorted(
            waiting, key=lambda job: (job.lane is not None, len(job.lane or ""), job.lane, -job.rank, job.slot)
        )

    def timed(self, place: str) -> list[ModelJob]:
        return sorted((job for job in self.jobs.values() if job.place == place), key=lambda job: (job.due, job.order))

    def enter(self, job: ModelJob) -> None:
        if job.place == "dead":
            self.turn(job, "failing")
        self.let_go(job)
        lane, slot = self.lane_of(job), self.take()
        if job.keeps is not None and job.keeps[0] == lane and self.rules[job.queue].strict:
            slot = job.keeps[1]
        job.keeps = None
        self.stand(job, lane, slot)
        self.known.add(job.queue)
        self.note(job, "enqueued")

    def put_back(self, job: ModelJob) -> None:
        self.stand(job, self.lane_of(job) if job.stale else job.lane, job.slot)
        self.known.add(job.queue)
        self.note(job, "enqueued")

    def leased(self, jid: str, holder: str) -> ModelJob | None:
        held = [job for job in self.jobs.values() if job.place == "leased" and job.jid == jid]
        own = [job for job in held if job.holder == holder]
        by_grant = sorted(own or held, key=lambda job: job.granted)
        return by_grant[0] if by_grant else None

    def taken_back(self, jid: str, holder: str) -> ModelJob | None:
        """The job that was taken back from this worker and waits."""
        waiting = [j for j in self.jobs.values() if j.place == "ready" and j.jid == jid and j.former == holder]
        return min(waiting, key=lambda job: job.seq, default=None)

    def release(self, job: ModelJob) -> None:
        if self.locks.get(job.alike, (0, 0))[0] == job.seq:
            del self.locks[job.alike]

    def drop(self, job: ModelJob, state: str = "failed", *, swept: bool = False) -> None:
        if swept:
            self.swept.append(job)
        else:
            self.turn(job, "done" if state == "success" else "lost")
        self.release(job)
        self.note(job, state, ended=True)
        del self.jobs[job.seq]
        self.let_go(job)
        self.judge(job.queue, job.lane)

    def expire(self, job: ModelJob) -> None:
        self.drop(job)
        self.expired += 1

    def die(self, job: ModelJob, now: int) -> None:
        self.release(job)
        self.note(job, "dead")
        self.let_go(job)
        job.place, job.due, job.order, job.keeps = "dead", now, self.take(), None
        self.judge(job.queue, job.lane)
        self.tell("dead", job.jid)
        self.turn(job, "dead")

    def fail(self, job: ModelJob, now: int, retry_in: float | None = None) -> None:
        self.processed += 1
        self.failed += 1
        if job.cancelled or job.retry == 0:
            self.keep(job, "cancelled" if job.cancelled else "discarded")
        if not job.cancelled:
            self.tell("fail", job.jid)
        count, job.failures = job.failures, job.failures + 1
        job.recoveries, job.former = 0, ""
        if job.cancelled or job.retry == 0:
            self.drop(job)
        elif count >= job.retry:
            self.die(job, now)
        else:
            delays = {
                "fixed:30": 30,
                "linear:60": 60 * (count + 1),
                "exponential:3:5:20~10": 1.05 * min(5 * 3**count, 20),
                "": count**4 + 15 + 15 * (count + 1),
            }
            self.note(job, "failed")
            if not job.role:
                self.turn(job, "failing")
            delay = delays[job.backoff] if retry_in is None else retry_in
            job.place, job.due, job.order = "retries", now + round(delay * 1000), self.take()
            self.keep_place(job)
