"""The engine against a small model: random verbs, time, crashes at every commit; no job lost, none in two places.

The model is in `model`. After every rule the whole store is checked, and the places of all jobs are compared. A crash
keeps any number of the commits since the last sync; the model is then what it was at that commit.
"""

import copy
import json
import os
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec import structs
from msgspec.structs import replace

from engine.batch_model import ROLES, ModelBatch
from engine.model import CRONS, START, Model, ModelCron, ModelJob, ModelTrack, job_bytes
from invariants import check_memory, check_store
from lineshaft.clock import format_instant
from lineshaft.engine import index, keys, ready
from lineshaft.engine.admin.adopt import Arrival
from lineshaft.engine.admin.mutate import mutate_slice
from lineshaft.engine.admin.relane import relane
from lineshaft.engine.agenda.run import run_jid
from lineshaft.engine.engine import Engine
from lineshaft.engine.features.batching import Wanted
from lineshaft.engine.hooks import Hooks, Verdict
from lineshaft.engine.lanes import lanes, turns
from lineshaft.engine.lanes.lanes import RELANE
from lineshaft.engine.periodic import UNKNOWN, following
from lineshaft.engine.records import LaneRules, Rate, decode_lock, decode_periodic, decode_track
from lineshaft.engine.retry import Report
from lineshaft.engine.settings import QueueLimits, Settings, Throttle
from lineshaft.engine.value import split_value
from lineshaft.errors import Refusal, StoreBusy, StoreError
from lineshaft.job import Job, decode_pushed, decode_stored
from lineshaft.lifecycle import Place
from lineshaft.protocol.queues import parse_fetch
from lineshaft.store.faulty import FaultyStore

QUEUES = ["a", "b", "c"]
WORKERS = ["w1", "w2"]
HOLDERS = [*WORKERS, "\0anonymous"]
JIDS = [f"job-{n:04d}" for n in range(12)]
WISHES: list[dict[str, object]] = [
    {},
    {},
    {"a": 1},
    {"unique_for": 30},
    {"track": 1},
    {"track": True, "expires_in": 100, "unique_for": 100},
    {"track": 2},
    {"backoff": "linear:60"},
    {"backoff": "exponential:3:5:20~10", "unique_for": 100},
    {"unique_for": 0.5},
    {"unique_for": 5000},
    {"unique_for": 300, "unique_until": "start"},
    {"unique_for": 300, "expires_in": 100},
    {"expires_in": 15},
    {"expires_in": 300},
    {"expires_at": format_instant(START - 1)},
    {"expires_at": format_instant(START + 100_000), "expires_in": 80},
]

#: `b` has one rate throughout: what is owed when that changes is rounded.
THROTTLES: list[dict[str, Throttle]] = [
    {"a": Throttle(concurrency=2), "b": Throttle(rate=3, per=70_000), "c": Throttle(worker=1)},
    {"a": Throttle(concurrency=1, timeout=21_000), "b": Throttle(concurrency=2, rate=3, per=70_000)},
    {"a": Throttle(worker=2, concurrency=3, timeout=200_000), "c": Throttle(worker=1, timeout=1000)},
    {"b": Throttle(worker=1, rate=3, per=70_000)},
]

#: Of what `Engine.batches` gives of a batch.
SHOWN = ["total", "pending", "failed", "complete_st", "success_st", "committed", "finished"]


#: Strict; at most so many at once; so many in a minute; no limit at all.
RULES = [
    LaneRules("tenant", strict=True),
    LaneRules("tenant", concurrency=2),
    LaneRules("tenant", rate=Rate(2, 60_000)),
    LaneRules("tenant"),
]


def limits(rules: dict[str, LaneRules]) -> dict[str, QueueLimits]:
    """The queues as they are configured, with these lanes."""
    return {
        "a": QueueLimits(lanes=rules.get("a")),
        "b": QueueLimits(backoff="fixed:30", lanes=rules.get("b")),
        "c": QueueLimits(max_jobs=3, lanes=rules.get("c")),
    }


#: The hook lets no job with this jid in.
UNWANTED = JIDS[7]


def told(kind: str, job: Job) -> tuple[Job, ...]:
    """What the hooks of this test push when something happens to a job; nothing ever takes it out again."""
    if job.queue == "told":
        return ()
    return (decode_pushed(f'{{"jid":"{kind}-{job.jid}","jobtype":"{kind}","args":[],"queue":"told"}}'.encode()),)


def judged(job: Job) -> Verdict:
    return Verdict(refusal="unwanted") if job.jid == UNWANTED else Verdict(follow=told("push", job))


HOOKS = Hooks(
    push=judged,
    fetch=lambda job, _: told("fetch", job),
    ack=lambda job, _: told("ack", job),
    fail=lambda job, _: told("fail", job),
    dead=lambda job: told("dead", job),
)


class EngineMachine(RuleBasedStateMachine):
    has_index = True
    laned: ClassVar[dict[str, LaneRules]] = {}
    throttles: ClassVar[dict[str, Throttle]] = {}

    @initialize(has_history=st.booleans(), has_hooks=st.booleans())
    def start(self, has_history: bool, has_hooks: bool) -> None:
        self.now = START
        self.store = FaultyStore()
        self.settings = Settings(
            jid_index=self.has_index,
            recover_limit=3,
            queues=limits(self.laned),
            dead_max=4,
            history_keep=10**9 if has_history else 0,
            history_max=3,
            throttles=self.throttles,
            periodic=tuple(cron.periodic() for cron in CRONS),
            batches_keep=500_000,
            batches_open=100_000,
        )
        self.model = Model(has_history=has_history, has_hooks=has_hooks, rules=dict(self.laned))
        self.beaten: dict[str, int] = {}
        self.connected: dict[str, object] = {}
        self.engine = self.boot()
        self.engine.commit()
        self.store.sync()
        self.history = [self.snapshot()]

    def boot(self) -> Engine:
        engine = Engine(self.store, self.settings, lambda: 0.5, self.now, HOOKS if self.model.has_hooks else None)
        jobs = engine.state.periodic
        for entry in jobs.entries.values():
            # Else the first runs are spread over more than one tick.
            if entry.next_due == UNKNOWN:
                jobs.place(entry, following(entry.what, entry.floor))
        return engine

    def snapshot(self) -> tuple[Model, dict[str, int]]:
        return copy.deepcopy(self.model), dict(self.beaten)

    # What clients do

    @rule(
        jid=st.sampled_from(JIDS),
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from([1, 5, 5, 5, 9]),
        retry=st.sampled_from([-1, 0, 1, 2]),
        delay=st.sampled_from([None, None, None, 10, 100]),
        custom=st.sampled_from(WISHES),
        tenant=st.sampled_from([None, "x", "y", "z"]),
        batch=st.sampled_from([None, None, 0, 1, 2]),
    )
    def push(
        self,
        jid: str,
        queue: str,
        priority: int,
        retry: int,
        delay: int | None,
        custom: dict[str, object],
        tenant: str | None,
        batch: int | None,
    ) -> None:
        if tenant is not None:
            custom = {**custom, "tenant": tenant}
        at = None
        bid = self.model.batches.pick(batch)
        if bid:
            custom = custom | {"bid": bid}
        if delay:
            moment = self.now + delay * 1000
            at = format_instant(moment)
        full = queue == "c" and len(self.model.line("c")) >= 3
        job = decode_pushed(job_bytes(jid, queue, priority, retry, at, custom))
        if self.model.has_hooks and jid == UNWANTED:
            assert self.engine.push_bulk([job]) == {jid: "unwanted"}
            return
        if full:
            with pytest.raises(Refusal, match="full"):
                self.engine.push(job)
            return
        new = ModelJob(0, jid, queue, priority, retry, tenant=tenant)
        new.backoff = str(custom.get("backoff", "fixed:30" if queue == "b" else ""))
        if "expires_in" in custom:
            new.expires = self.now + ((delay or 0) + int(str(custom["expires_in"]))) * 1000
        if "expires_at" in custom:
            new.expires = min(new.expires, START + (100_000 if "expires_in" in custom else -1))
        if "unique_for" in custom:
            new.unique = str(custom.get("unique_until", "success"))
        errors = self.engine.push_bulk([job])
        if errors:
            assert errors == {jid: "NOTUNIQUE Job not unique"}
            assert new.unique
            held = self.model.locks.get(new.alike)
            assert new.alike in self.model.leaving if held is None else held[1] > self.now
            return
        self.model.known.add(queue)
        self.model.tell("push", jid)
        seq = new.seq = new.order = self.model.take()
        self.model.jobs[seq] = new
        if bid in self.model.batches.by_bid:
            new.bid = bid
            self.model.turn(new, "pending")
        new.track = custom.get("track") == 1
        if new.track:
            self.model.tracks[jid] = ModelTrack(seq)
        if new.unique:
            assert self.model.locks.get(new.alike, (0, 0))[1] <= self.now
            begin = self.now + (delay or 0) * 1000
            self.model.locks[new.alike] = (seq, begin + round(float(str(custom["unique_for"])) * 1000))
            self.model.leaving.discard(new.alike)
        if at:
            new.place, new.due = "scheduled", self.now + delay * 1000
        else:
            self.model.stand(new, self.model.lane_of(new), seq)

    @rule(
        jids=st.lists(st.sampled_from(JIDS), min_size=1, max_size=3),
        queue=st.sampled_from(QUEUES),
        priority=st.sampled_from([1, 5, 9]),
        place=st.sampled_from([Place.READY, Place.SCHEDULED, Place.RETRIES, Place.DEAD]),
        delay=st.sampled_from([-50, 10, 100]),
        failures=st.sampled_from([0, 1, 2]),
        tenant=st.sampled_from([None, "x", "y"]),
    )
    def adopt(
        self, jids: list[str], queue: str, priority: int, place: Place, delay: int, failures: int, tenant: str | None
    ) -> None:
        custom: dict[str, object] = {} if tenant is None else {"tenant": tenant}
        at = self.now + delay * 1000
        arrivals, taken = {}, []
        live = {job.jid for job in self.model.jobs.values()} if self.has_index else set()
        for position, jid in enumerate(jids):
            job = decode_pushed(job_bytes(jid, queue, priority, 2, None, custom))
            job.failure = {"retry_count": failures - 1} if failures else None
            arrivals[position] = Arrival(job, place, at)
            if jid not in live:
                taken.append(position)
            if self.has_index:
                live.add(jid)
        outcome = self.engine.adopt(arrivals)
        assert (outcome.adopted, outcome.refused) == (len(taken), {})
        assert outcome.known == [position for position in arrivals if position not in taken]
        for position in taken:
            seq = self.model.take()
            new = ModelJob(seq, jids[position], queue, priority, 2, order=self.model.take(), tenant=tenant)
            new.backoff, new.failures = "fixed:30" if queue == "b" else "", failures
            self.model.jobs[seq] = new
            if place is Place.READY or (place is Place.SCHEDULED and delay <= 0):
                self.model.known.add(queue)
                self.model.stand(new, self.model.lane_of(new), new.order)
            else:
                new.place, new.due = place.value, min(at, self.now) if place is Place.DEAD else at

    @rule(
        names=st.lists(st.sampled_from(QUEUES), min_size=1, max_size=3),
        weights=st.one_of(st.none(), st.none(), st.lists(st.integers(1, 3), min_size=3, max_size=3)),
        holder=st.sampled_from(HOLDERS),
    )
    def fetch(self, names: list[str], weights: list[int] | None, holder: str) -> None:
        if holder in WORKERS and holder not in self.connected:
            self.connect(holder)
        if weights is None:
            payload = self.engine.fetch(names, holder)
        else:
            said = " ".join(f"{name}:{weight}" for name, weight in zip(names, weights, strict=False))
            names, summed = parse_fetch(said.encode())
            assert summed is not None
            payload = self.engine.fetch(self.engine.weigh(summed), holder)
            # With a chance that is always the same the heaviest comes first, and of equal ones the first named.
            names.sort(key=lambda name: -summed[name])
        limits = self.settings.throttles
        names = [name for name in names if name not in self.model.paused]
        names = [name for name in names if self.model.admits(name, holder, limits.get(name))]
        expected = None
        for name in names:
            while (expected := self.model.next(name)) is not None:
                if expected.expires > self.now:
                    break
                self.model.expire(expected)
            if expected is not None:
                break
        if expected is None:
            assert payload is None
            return
        assert payload is not None
        assert decode_stored(payload).jid == expected.jid
        self.model.lease(expected)
        expected.holder, expected.until = holder, self.now + 1800_000
        expected.granted, expected.since = self.model.take(), self.now
        taken = limits.get(expected.queue)
        if taken is not None and taken.rate is not None:
            self.model.owed[expected.queue] = (self.model.missing(expected.queue, taken) + 1, self.now)
        self.model.note(expected, "working")
        self.model.tell("fetch", expected.jid)
        if expected.unique == "start":
            self.model.release(expected)

    @rule(holder=st.sampled_from(HOLDERS))
    def fetch_callback(self, holder: str) -> None:
        """Callbacks that follow from one event stand in no order that anybody may count on."""
        if holder in WORKERS and holder not in self.connected:
            self.connect(holder)
        line = self.model.line("calls")
        if any(job.expires <= self.now for job in line):
            # A tick that was lost had dropped them: which of them a FETCH meets on its way cannot be said.
            return
        payload = self.engine.fetch(["calls"], holder)
        if payload is None:
            assert not line
            return
        called = json.loads(payload)
        bid = called["custom"]["_bid"]
        job = next(job for job in line if (job.jid, job.bid, job.role) == (called["jid"], bid, called["jobtype"]))
        job.place, job.holder, job.until = "leased", holder, self.now + 1800_000
        job.granted = self.model.take()
        self.model.note(job, "working")
        self.model.tell("fetch", job.jid)

    @rule(
        roles=st.lists(st.sampled_from(list(ROLES)), min_size=1, max_size=3, unique=True),
        parent=st.sampled_from([None, None, 0, 1]),
        jid=st.sampled_from(JIDS),
        retry=st.sampled_from([-1, 0, 1]),
        custom=st.sampled_from([{}, {"track": 1}, {"expires_in": 100}]),
    )
    def batch_new(self, roles: list[str], parent: int | None, jid: str, retry: int, custom: dict[str, object]) -> None:
        above = self.model.batches.pick(parent)
        calls = {
            role: decode_pushed(
                json.dumps(
                    {"jid": jid, "jobtype": role, "args": [], "queue": "calls", "retry": retry, "custom": custom}
                ).encode()
            )
            for role in roles
        }
        wanted = Wanted(above, "", calls.get("complete"), calls.get("success"), calls.get("death"))
        if above == "b-unknown":
            with pytest.raises(Refusal, match="no such batch"):
                self.engine.batch_new(wanted)
            return
        bid = self.engine.batch_new(wanted)
        assert bid not in self.model.batches.by_bid
        slots = {role: "waiting" if role in roles else "none" for role in ROLES}
        self.model.batches.by_bid[bid] = ModelBatch(bid, above, slots, self.now, self.now + 100_000)
        self.model.wanted |= {(bid, role): (jid, retry, custom) for role in roles}
        self.model.batches.follow(above, self.now, self.model.call)

    @rule(batch=st.integers(0, 3), commit=st.booleans())
    def batch_commit(self, batch: int, commit: bool) -> None:
        bid = self.model.batches.pick(batch)
        verb = self.engine.batch_commit if commit else self.engine.batch_open
        if bid == "b-unknown":
            with pytest.raises(Refusal, match="no such batch"):
                verb(bid)
            return
        verb(bid)
        if commit:
            self.model.batches.commit(bid)
        self.model.batches.follow(bid, self.now, self.model.call)

    @rule(
        jid=st.sampled_from(JIDS), holder=st.sampled_from(HOLDERS), result=st.sampled_from([None, None, b"[1]", b"7"])
    )
    def ack(self, jid: str, holder: str, result: bytes | None) -> None:
        if result is None:
            done = self.engine.ack(jid, holder)
        else:
            done = self.engine.ack_with_result(jid, holder, result)
        job = self.model.leased(jid, holder)
        if (job is None or job.holder != holder) and self.has_index:
            job = self.model.taken_back(jid, holder) or job
        assert done == (job is not None)
        if job is not None:
            self.model.tell("ack", jid)
            self.model.keep(job, "success")
            self.model.drop(job, "success")
            self.model.processed += 1
            track = self.model.tracks.get(jid)
            if result is not None and (track is None or track.seq <= job.seq):
                own = track is not None and track.seq == job.seq
                percent = track.percent if own else None
                cancelled = own and track.cancelled
                until = self.now + 3600_000
                self.model.tracks[jid] = ModelTrack(job.seq, "success", percent, until, result, cancelled=cancelled)

    @rule(
        jid=st.sampled_from(JIDS),
        holder=st.sampled_from(HOLDERS),
        percent=st.sampled_from([None, 0, 50]),
        seconds=st.sampled_from([None, 10, 5000, 200_000]),
    )
    def track(self, jid: str, holder: str, percent: int | None, seconds: int | None) -> None:
        until = None if seconds is None else self.now + seconds * 1000
        self.engine.track_set(jid, holder, percent=percent, desc=None, reserve_until=until)
        track = self.model.tracks.get(jid)
        if track is not None and percent is not None:
            track.percent = percent
        job = self.model.leased(jid, holder)
        if job is not None and job.holder == holder and until is not None:
            job.until = max(job.until, min(until, self.now + 86_400_000))

    @rule(
        jid=st.sampled_from(JIDS), holder=st.sampled_from(HOLDERS), retry_in=st.sampled_from([None, None, None, 0, 1.5])
    )
    def fail(self, jid: str, holder: str, retry_in: float | None) -> None:
        wait = None if retry_in is None else round(retry_in * 1000)
        job = self.model.leased(jid, holder)
        if job is None:
            with pytest.raises(Refusal, match="Job not found"):
                self.engine.fail(jid, holder, Report("E", "m"))
            return
        self.engine.fail(jid, holder, Report("E", "m", retry_in=wait))
        self.model.fail(job, self.now, retry_in)

    @rule(jid=st.sampled_from(JIDS), holder=st.sampled_from(HOLDERS), seconds=st.sampled_from([None, 0, 20]))
    def requeue(self, jid: str, holder: str, seconds: int | None) -> None:
        wait = None if seconds is None else seconds * 1000
        job = self.model.leased(jid, holder)
        if job is None:
            with pytest.raises(Refusal, match="Job not found"):
                self.engine.requeue(jid, holder, wait)
            return
        self.engine.requeue(jid, holder, wait)
        if job.cancelled:
            self.model.keep(job, "cancelled")
            self.model.drop(job)
            return
        job.recoveries, job.former = 0, ""
        if wait is None:
            self.model.put_back(job)
        else:
            job.place, job.due, job.order = "scheduled", self.now + wait, self.model.take()
            self.model.keep_place(job)
            self.model.note(job, "enqueued")

    @rule(jid=st.sampled_from(JIDS), holder=st.sampled_from(HOLDERS))
    def give_back(self, jid: str, holder: str) -> None:
        self.engine.give_back(jid, holder)
        job = self.model.leased(jid, holder)
        if job is not None and job.holder == holder and job.cancelled:
            self.model.keep(job, "cancelled")
            self.model.drop(job)
        elif job is not None and job.holder == holder:
            # Its late ACK still counts.
            job.former = holder
            self.model.put_back(job)

    @rule(jid=st.sampled_from(JIDS))
    def cancel(self, jid: str) -> None:
        alike = [job for job in self.model.jobs.values() if job.jid == jid]
        held = [job for job in alike if job.place == "leased"]
        waiting = [job for job in alike if job.place not in {"leased", "dead"} and self.has_index]
        if not held and not waiting:
            with pytest.raises(Refusal, match="Job not found"):
                self.engine.cancel(jid)
            return
        self.engine.cancel(jid)
        for job in held + waiting:
            track = self.model.tracks.get(jid)
            if job.track and track is not None and track.seq == job.seq:
                track.cancelled = True
        for job in held:
            job.cancelled = True
        for job in waiting:
            self.model.drop(job)

    # What operators do

    @rule(name=st.sampled_from(QUEUES))
    def pause(self, name: str) -> None:
        self.engine.pause([name])
        self.model.paused.add(name)
        self.model.known.add(name)

    @rule(name=st.sampled_from([*QUEUES, "*"]))
    def resume(self, name: str) -> None:
        self.engine.resume([name])
        self.model.paused -= set(QUEUES) if name == "*" else {name}

    @rule(name=st.sampled_from(QUEUES))
    def remove(self, name: str) -> None:
        self.engine.remove([name])
        for job in self.model.line(name):
            if self.model.locks.get(job.alike, (0, 0))[0] == job.seq:
                self.model.leaving.add(job.alike)
            track = self.model.tracks.get(job.jid)
            if job.track and track is not None and track.seq == job.seq:
                track.leaving = True
                job.track = False
            self.model.drop(job, swept=True)
        for job in self.model.jobs.values():
            job.stale = job.stale or (job.place == "leased" and job.queue == name)
        self.model.turns[name] = []
        self.model.holding = {key: seq for key, seq in self.model.holding.items() if key[0] != name}
        self.model.tokens = {key: tokens for key, tokens in self.model.tokens.items() if key[0] != name}
        self.model.paused.discard(name)
        self.model.known.discard(name)

    @precondition(lambda self: self.store.unsynced > 3)
    @rule()
    def flush(self) -> None:
        self.engine.flush()
        model = self.model
        self.model = Model(
            counter=model.counter,
            now=self.now,
            crons=model.crons,
            has_history=model.has_history,
            has_hooks=model.has_hooks,
            rules=model.rules,
        )

    @rule(
        command=st.sampled_from(["clear", "kill", "discard", "requeue"]),
        where=st.sampled_from(["scheduled", "retries", "dead", "queue:a"]),
        jids=st.one_of(st.none(), st.lists(st.sampled_from(JIDS), max_size=3)),
        jobtype=st.sampled_from([None, None, "T5"]),
        regexp=st.sampled_from([None, None, '*"jid":"job-000[0-4]"*']),
    )
    def mutate(self, command: str, where: str, jids: list[str] | None, jobtype: str | None, regexp: str | None) -> None:
        if where == "queue:a" and command == "requeue":
            with pytest.raises(Refusal):
                self.engine.mutate(command, where, jids=jids, jobtype=jobtype, regexp=regexp)
            return
        number = self.engine.mutate(command, where, jids=jids, jobtype=jobtype, regexp=regexp)
        while number in self.engine.state.chores.active:
            mutate_slice(self.engine.state, number, self.engine.state.chores.active[number])
        found = self.model.line("a") if where == "queue:a" else self.model.timed(where)
        if jids is not None:
            found = [job for job in found if job.jid in jids]
            found.sort(key=lambda job: (jids.index(job.jid), job.seq)) if self.has_index else None
        else:
            found = [job for job in found if jobtype in (None, f"T{job.priority}")]
            found = [job for job in found if regexp is None or "job-" < job.jid < "job-0005"]
        for job in found:
            if command == "kill":
                if where != "dead":
                    self.model.die(job, self.now)
                    job.recoveries, job.former = 0, ""
            elif command == "requeue":
                self.model.enter(job)
            else:
                self.model.drop(job)

    # What time and workers do

    def connect(self, wid: str) -> None:
        self.connected[wid] = self.engine.connect(wid, "h", 1, ())
        self.engine.beat(wid, 0, None)
        self.beaten[wid] = self.now

    @rule(wid=st.sampled_from(WORKERS))
    def beat(self, wid: str) -> None:
        if wid in self.connected:
            self.engine.beat(wid, 1, None)
            self.beaten[wid] = self.now
        else:
            self.connect(wid)

    @rule(seconds=st.sampled_from([1, 20, 61, 200, 2000]))
    def time_passes(self, seconds: int) -> None:
        self.now = self.model.now = self.now + seconds * 1000
        self.engine.advance(self.now)
        while self.engine.tick() <= self.now:
            pass
        model, now = self.model, self.now
        for place in ("scheduled", "retries"):
            for job in model.timed(place):
                if job.due <= now:
                    model.enter(job)
        leased = sorted((j for j in model.jobs.values() if j.place == "leased"), key=lambda j: j.granted)
        for job in leased:
            if job.until <= now:
                model.fail(job, now)
        gone = {wid for wid, heard in self.beaten.items() if heard + 60_000 <= now}
        for job in leased:
            if job.place == "leased" and job.seq in model.jobs and job.holder in gone:
                if job.cancelled:
                    model.keep(job, "cancelled")
                    model.drop(job)
                elif job.recoveries + 1 >= 3:
                    model.fail(job, now)
                else:
                    job.recoveries, job.former = job.recoveries + 1, job.holder
                    model.put_back(job)
        for wid in gone:
            self.beaten.pop(wid)
            self.connected.pop(wid, None)
        del model.past[:-3]
        dead = model.timed("dead")
        for job in dead[: max(len(dead) - 4, 0)]:
            model.drop(job, "dead")
        self.ends_by_time(model, now)
        for job in model.swept:
            model.turn(job, "lost")
        model.swept.clear()
        for track in (track for track in model.tracks.values() if track.leaving):
            track.state, track.until, track.leaving = "failed", now + 1800_000, False
        model.tracks = {jid: track for jid, track in model.tracks.items() if not 0 < track.until <= now}
        model.locks = {alike: lock for alike, lock in model.locks.items() if lock[1] > now}
        due = [cron for cron in model.crons.values() if cron.next_due is not None and cron.next_due <= now]
        skipped = {run.name: run.reason for run in self.engine.take_skipped_runs()}
        for cron in sorted(due, key=lambda cron: cron.next_due or 0):
            cron.last = cron.floor = now // cron.period * cron.period
            if self.may_run(cron, refusal=skipped.pop(cron.name, None)):
                self.run_cron(cron, run_jid(cron.name, cron.last))
            else:
                cron.skipped += 1
        assert not skipped
        # A tick did the rest of every sweep.
        model.leaving.clear()
        self.adopt_turns()

    def adopt_turns(self) -> None:
        """Lanes were woken, several at once: which they are is known, and the engine says in which order."""
        for name in QUEUES:
            lanes = self.turns_of(name)
            # A lane whose token came while the server was away is woken by the first tick, which is due.
            asleep = self.model.lanes(name) - set(lanes)
            assert not asleep or (self.model.rules[name].rate and self.engine.state.expiries.next_at <= self.now)
            assert set(lanes) == self.model.lanes(name) - asleep
            assert len(lanes) == len(set(lanes))
            self.model.turns[name] = lanes

    def turns_of(self, name: str) -> list[str]:
        queue = self.engine.state.queues.by_name.get(name)
        if queue is None or queue.lanes is None:
            return []
        start, end = keys.prefix_range(queue.lanes.turns.prefix)
        return [lane.decode() for _, lane in self.engine.state.turn.scan(start, end, limit=1 << 30)]

    @precondition(lambda self: self.laned)
    @rule(rules=st.sampled_from([None, *RULES]))
    def reload(self, rules: LaneRules | None) -> None:
        """The lanes of a queue are switched on, off, or get other limits."""
        own = {**self.model.rules}
        own.pop("b", None)
        if rules is not None:
            own["b"] = rules
        self.model.rules = own
        self.settings = structs.replace(self.settings, queues=limits(own))
        self.engine.apply(self.settings)
        self.take_rules()

    def take_rules(self) -> None:
        """Let the chore that judges all lanes come to its end."""
        active = self.engine.state.chores.active
        while chore := next(((n, record) for n, record in active.items() if record.kind == RELANE), None):
            relane(self.engine.state, *chore)
        rules = self.model.rules
        for key in [key for key in self.model.tokens if key[0] not in rules or rules[key[0]].rate is None]:
            del self.model.tokens[key]
        self.adopt_turns()

    def may_run(self, cron: ModelCron, refusal: str | None) -> bool:
        """Whether the model lets a run come in; `refusal` is what the engine said."""
        alike = ("T5", cron.queue)
        if cron.queue == "c" and len(self.model.line("c")) >= 3:
            assert refusal is not None
            assert "is full" in refusal
        elif cron.unique and alike in self.model.leaving and alike not in self.model.locks:
            assert refusal in (None, "NOTUNIQUE Job not unique")
        elif cron.unique and self.model.locks.get(alike, (0, 0))[1] > self.now:
            assert refusal == "NOTUNIQUE Job not unique"
        else:
            assert refusal is None
        return refusal is None

    def run_cron(self, cron: ModelCron, jid: str) -> None:
        model = self.model
        cron.runs += 1
        model.tell("push", jid)
        model.known.add(cron.queue)
        seq = model.take()
        job = model.jobs[seq] = ModelJob(seq, jid, cron.queue, 5, 0, order=seq)
        model.stand(job, model.lane_of(job), seq)
        job.backoff = "fixed:30" if cron.queue == "b" else ""
        if cron.unique:
            job.unique = "success"
            model.locks[job.alike] = (seq, self.now + 150_000)
            model.leaving.discard(job.alike)

    @rule(name=st.sampled_from(list(Model().crons)))
    def cron_run(self, name: str) -> None:
        cron, jid, refusal = self.model.crons[name], "", None
        try:
            jid = self.engine.cron_run(name)
        except Refusal as refused:
            refusal = refused.text
        if self.may_run(cron, refusal):
            assert all(job.jid != jid for job in self.model.jobs.values())
            self.run_cron(cron, jid)

    @rule(name=st.sampled_from(list(Model().crons)), paused=st.booleans())
    def cron_pause_and_resume(self, name: str, paused: bool) -> None:
        cron = self.model.crons[name]
        if paused:
            self.engine.cron_pause(name)
        else:
            self.engine.cron_resume(name)
            if cron.paused:
                cron.since = self.now
                cron.floor = max(cron.last, self.now)
        cron.paused = paused

    def ends_by_time(self, model: Model, now: int) -> None:
        """Jobs expire and batches are looked at, in the order of their times."""
        ends: list[tuple[int, str]] = list(model.batches.due(now))
        ends += [(job.expires, f"job {job.seq}") for job in model.jobs.values() if job.expires <= now]
        for _, name in sorted(ends):
            if name.startswith("b-"):
                model.batches.look(name, now, model.call)
            else:
                job = model.jobs.get(int(name.removeprefix("job ")))
                if job is not None and job.place in {"ready", "scheduled", "retries"}:
                    model.expire(job)

    # What the disk does

    @rule(sync=st.booleans())
    def commit(self, sync: bool) -> None:
        if self.engine.commit():
            self.history.append(self.snapshot())
        if sync:
            self.store.sync()
            self.history = self.history[-1:]
        check_store(self.store, has_index=self.has_index)
        check_memory(self.engine)

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        kept = data.draw(st.integers(0, self.store.unsynced), label="kept")
        self.store = self.store.crash(kept)
        self._begin_again(self.history[kept])

    @rule(applied=st.booleans())
    def commit_fails(self, applied: bool) -> None:
        self.engine.state.settle()
        if self.engine.state.turn.is_empty():
            return
        self.store.fail_commit(self.store.commits + 1, applied=applied)
        with pytest.raises(StoreError):
            self.engine.commit()
        if applied:
            self.history.append(self.snapshot())
        self.store = self.store.crash(self.store.unsynced)
        self._begin_again(self.history[-1])

    @rule(commits=st.integers(1, 2))
    def store_is_busy(self, commits: int) -> None:
        self.store.busy_for(commits)
        self.engine.state.settle()
        for _ in range(0 if self.engine.state.turn.is_empty() else commits):
            with pytest.raises(StoreBusy):
                self.engine.commit()
        self.store.busy_for(0)

    def forget_rates(self) -> None:
        rated = {name for name, limits in self.settings.throttles.items() if limits.rate is not None}
        self.model.owed = {name: owed for name, owed in self.model.owed.items() if name in rated}

    def _begin_again(self, then: tuple[Model, dict[str, int]]) -> None:
        rules = self.model.rules
        self.model, beaten = copy.deepcopy(then[0]), then[1]
        # The configuration is not in the store.
        self.model.rules = rules
        check_store(self.store, has_index=self.has_index)
        counter_before = self.model.counter
        self.engine = self.boot()
        self.connected = {}
        # Each worker that was ever heard of has a fresh time to come back.
        self.beaten = dict.fromkeys(beaten, self.now)
        self.forget_rates()
        self.model.counter = max(counter_before, 0)
        for cron in self.model.crons.values():
            cron.floor = max(cron.last, cron.since if cron.catch_up else self.now)
        self.model.now = self.now
        self.take_rules()
        self.engine.commit()
        self.store.sync()
        self.history = [self.snapshot()]

    @invariant()
    def same_places(self) -> None:
        if not hasattr(self, "engine"):
            return
        state = self.engine.state
        found: list[tuple[str, str, str, int]] = []
        follow_ups: list[str] = []
        jobs: dict[int, Job] = {}
        rows = [row for kind in (b"R", b"V", b"T") for row in state.turn.scan(*keys.prefix_range(kind), limit=1 << 30)]
        for key, value in rows:
            extras, payload = split_value(value)
            job = decode_stored(payload)
            if job.queue == "told":
                follow_ups.append(job.jid)
                continue
            failures = job.failure.retry_count + 1 if job.failure else 0
            jobs[extras.seq or (keys.ready_order(key) if keys.is_ready(key) else keys.timed_order(key))] = job
            if keys.is_ready(key):
                name, generation, _ = keys.ready_parts(key)
                seq = extras.seq or keys.ready_order(key)
                queue = state.queues.by_name.get(name)
                if state.leases.holds(seq):
                    found.append((job.jid, "leased", name, failures))
                elif queue is not None and queue.generation == generation:
                    found.append((job.jid, "ready", name, failures))
            else:
                place = {b"s": "scheduled", b"r": "retries", b"d": "dead"}[key[1:2]]
                found.append((job.jid, place, job.queue, failures))
        expected = [
            (j.jid, j.place, j.queue, j.failures if j.retry or j.failures == 0 else 0) for j in self.model.jobs.values()
        ]
        assert sorted(found) == sorted(expected)
        assert sorted(follow_ups) == sorted(self.model.told)
        assert set(state.queues.by_name) >= self.model.known - {"c"}
        for name in QUEUES:
            size = state.queues.by_name[name].size if name in state.queues.by_name else 0
            assert size == len(self.model.line(name))
            assert self.turns_of(name) == self.model.turns[name]
        assert state.processed() == self.model.processed
        assert state.failed() == self.model.failed
        assert state.totals.expired == self.model.expired
        batches, _, _ = self.engine.views.batches(limit=100)
        shown = {batch["bid"]: {name: batch[name] for name in SHOWN} for batch in batches}
        assert shown == {bid: self.model.batches.shown(bid) for bid in self.model.batches.by_bid}
        tracks = {}
        for key, value in state.turn.scan(*keys.prefix_range(b"P"), limit=1 << 30):
            track = decode_track(value)
            tracks[key[1:].decode()] = (track.state, track.percent, track.until, track.result, track.cancelled)
        assert tracks == {
            jid: (track.state, track.percent, track.until, track.result, track.cancelled)
            for jid, track in self.model.tracks.items()
        }
        crons = {
            cron.name: (cron.last, cron.since, cron.paused, cron.runs, cron.skipped)
            for cron in self.model.crons.values()
        }
        kept = state.turn.scan(*keys.prefix_range(b"J"), limit=1 << 30)
        records = {key[1:].decode(): decode_periodic(value) for key, value in kept}
        assert crons == {
            name: (record.last, record.since, record.paused, record.runs, record.skipped)
            for name, record in records.items()
        }
        for shown_cron in self.engine.cron_list():
            due = self.model.crons[shown_cron["name"]].next_due
            assert shown_cron["next_run"] == (None if due is None else format_instant(due))
        finished, _, _ = self.engine.views.history()
        past = [job[2:] for job in self.model.past[::-1]]
        assert [(job["jid"], job["outcome"], job["attempts"]) for job in finished] == past[:50]
        for jid, _, _ in past:
            assert [job for job in finished if job["jid"] == jid] == self.engine.views.finished(jid)
        for shown in self.engine.views.throttles():
            name, limits = shown["name"], self.settings.throttles[shown["name"]]
            assert shown["held"] == len(self.model.held(name, limits))
            assert (
                limits.rate is None or shown["tokens"] == (limits.rate - self.model.missing(name, limits)).__floor__()
            )
        locks = [decode_lock(value) for _, value in state.turn.scan(*keys.prefix_range(b"U"), limit=1 << 30)]
        held = {(jobs[lock.seq].jobtype, jobs[lock.seq].queue): lock.until for lock in locks}
        assert len(held) == len(locks)
        wanted = {alike: until for alike, (_, until) in self.model.locks.items()}
        assert wanted.items() <= held.items()
        assert held.keys() - wanted.keys() <= self.model.leaving


class EngineWithoutIndexMachine(EngineMachine):
    has_index = False


ENDS = ["keep", "ack", "fail", "fail soon", "requeue", "snooze"]


class EngineWithLanesMachine(EngineMachine):
    """Each queue has lanes, and workers do more with what they fetch, so that lanes are often held and let go."""

    laned: ClassVar[dict[str, LaneRules]] = {"a": RULES[0], "b": RULES[1], "c": RULES[2]}

    @rule(
        queue=st.sampled_from(["a", "a", "b", "c"]),
        tenants=st.lists(st.sampled_from([None, "x", "y"]), max_size=4),
        priority=st.sampled_from([5, 9]),
        ends=st.lists(st.sampled_from(ENDS), max_size=5),
        seconds=st.sampled_from([0, 2, 20, 61]),
    )
    def work(self, queue: str, tenants: list[str | None], priority: int, ends: list[str], seconds: int) -> None:
        """Some jobs come, some are worked on, and then it is later."""
        for number, tenant in enumerate(tenants):
            self.push(JIDS[(len(self.model.jobs) + number) % len(JIDS)], queue, priority, 2, None, {}, tenant, None)
        for end in ends:
            job = self.model.next(queue) if queue not in self.model.paused else None
            self.fetch([queue], None, WORKERS[0])
            jid = "" if job is None else job.jid
            match end:
                case "ack":
                    self.ack(jid, WORKERS[0], None)
                case "fail" | "fail soon":
                    self.fail(jid, WORKERS[0], 1.5 if end == "fail soon" else None)
                case "requeue" | "snooze":
                    self.requeue(jid, WORKERS[0], 20 if end == "snooze" else None)
            self.same_places()
        if seconds:
            self.time_passes(seconds)


class ThrottledMachine(EngineMachine):
    """The same where queues are throttled; with rules of its own, since single steps seldom fill a gate."""

    throttles = THROTTLES[0]

    @rule(
        jids=st.lists(st.sampled_from(JIDS), min_size=1, max_size=4),
        queue=st.sampled_from(QUEUES),
        holders=st.lists(st.sampled_from(HOLDERS), min_size=1, max_size=3),
    )
    def work(self, jids: list[str], queue: str, holders: list[str]) -> None:
        for jid in jids:
            self.push(jid, queue, 5, 1, None, {}, None, None)
        for holder in holders * 2:
            self.fetch([queue], None, holder)

    @rule(weights=st.lists(st.integers(1, 3), min_size=3, max_size=3), holder=st.sampled_from(HOLDERS))
    def work_everywhere(self, weights: list[int], holder: str) -> None:
        for queue, jid in zip(QUEUES, JIDS, strict=False):
            self.push(jid, queue, 5, 1, None, {}, None, None)
        for _ in QUEUES:
            self.fetch(list(QUEUES), weights, holder)

    @rule()
    def restart(self) -> None:
        self.commit(sync=True)
        self.store = self.store.crash(0)
        self._begin_again(self.history[-1])

    @rule(throttles=st.sampled_from(THROTTLES))
    def reload(self, throttles: dict[str, Throttle]) -> None:
        self.settings = replace(self.settings, throttles=throttles)
        self.engine.apply(self.settings)
        self.forget_rates()


@pytest.fixture(autouse=True)
def _tiny_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of three: everything that can go wrong at its edges goes wrong often."""
    monkeypatch.setattr(ready, "WINDOW_LEAST", 3)
    monkeypatch.setattr(ready, "WINDOW_MOST", 3)
    monkeypatch.setattr(index, "MOST_YOUNG", 4)
    monkeypatch.setattr(lanes, "MOST_IDLE", 1)
    monkeypatch.setattr(turns, "MOST", 2)


# Each machine takes half a minute, and several times that where others are at work.
pytestmark = pytest.mark.timeout(900)

EXAMPLES = int(os.environ.get("LINESHAFT_EXAMPLES", "150"))
MODEL = settings(max_examples=EXAMPLES, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))


class TestModel(EngineMachine.TestCase):
    settings = MODEL


class TestModelWithLanes(EngineWithLanesMachine.TestCase):
    settings = MODEL


class TestModelWithoutIndex(EngineWithoutIndexMachine.TestCase):
    settings = MODEL


class TestModelThrottled(ThrottledMachine.TestCase):
    settings = MODEL
