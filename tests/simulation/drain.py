"""The drain: faults end, honest workers finish everything, time passes, and nothing may be left."""

import json
from typing import TYPE_CHECKING, Any

from msgspec import structs

from lineshaft.engine.features.batch import decode_batch
from simulation.batch_laws import hold_status
from simulation.client import Habits
from simulation.entries import Answer, BatchEntry
from simulation.producers import QUEUES
from simulation.workers import Worker
from simulation.world import SECOND

if TYPE_CHECKING:
    from simulation.run import Simulation

__all__ = ["drain"]

#: What may be there when nothing is left to do: the format, the sequence, counters, and empty records.
EMPTY = {b"F", b"N", b"Q", b"I", b"S", b"D", b"G", b"J"}

HOUR_MS = 3_600_000


class Closer(Worker):
    """An honest, patient worker, which does as it is told."""

    def __init__(self, simulation: "Simulation", name: str) -> None:
        habits = Habits(latency=100, breaks=0.0, most_waiting=1)
        super().__init__(
            simulation.world, simulation.ledger, name, f"{simulation.seed}/drain", habits, lies=0, dies=0
        )  # fmt: skip
        self.has_wid = self.beats = True
        self.answer: Answer | None = None

    def say(self, line: str) -> Answer:
        """Send a command and wait for its reply."""
        self._come_in()
        self.answer = None
        self.ask(line, self._told)
        self.world.until(lambda: self.answer is not None)
        if self.answer is None:
            raise self.ledger.broken(f"no reply to {line}")
        return self.answer

    def _come_in(self) -> None:
        for _ in range(100):
            if self.link is None:
                self.connect()
            if self.world.until(self.can_ask, most=SECOND):
                return
        raise self.ledger.broken("nobody can connect")

    def _told(self, answer: Answer) -> None:
        self.answer = answer

    def info(self) -> dict[str, Any]:
        """The `faktory` part of INFO."""
        found: dict[str, Any] = self.say("INFO").json()["faktory"]
        return found

    def choose_queues(self) -> list[str]:
        """All of them."""
        return QUEUES

    def empty_queues(self) -> None:
        """Fetch and acknowledge until there is nothing."""
        found = True
        while found:
            self._come_in()
            self._fetch()
            self.world.until(lambda: not self.fetching)
            found = bool(self.holds)
            for jid in sorted(self.holds):
                self._ack(jid, self.holds.pop(jid))
                self.world.until(lambda: not self.waiting)


def drain(simulation: "Simulation") -> None:
    """Bring the run to rest and judge what is left. Raises Broken."""
    world, ledger = simulation.world, simulation.ledger
    _calm(simulation)
    closer = Closer(simulation, "closer")
    # Periodic jobs would go on for ever, and throttles take their time: the configuration is read again without them.
    is_slow = any(limits.lanes and limits.lanes.rate for limits in world.rules.queues.values())
    queues = world.rules.queues if closer.chance.random() < 0.5 and not is_slow else {}
    world.apply(structs.replace(world.rules, periodic=(), throttles={}, queues=queues))
    answer = closer.say("QUEUE RESUME *")
    if not answer.ok:
        raise ledger.broken(f"the server does not recover: {answer}")
    ledger.paused.clear()
    _finish_jobs(simulation, closer)
    simulation.inspect_all()
    # Batches that nobody will commit are given up one after the other, from the innermost; callbacks follow.
    for _ in range(5):
        world.set_clock(simulation.world.rules.batches_open + 1000)
        world.advance(SECOND)
        _finish_jobs(simulation, closer)
    _judge_batches(simulation, closer)
    # What is kept for a time is forgotten when that is over.
    world.set_clock(40 * 24 * HOUR_MS)
    for _ in range(20):
        world.advance(10 * SECOND)
        closer.say("BEAT " + json.dumps({"wid": closer.wid}))
    closer.drop()
    world.advance(130 * SECOND)
    _judge_rest(simulation)


def _calm(simulation: "Simulation") -> None:
    """No more faults; the clients go away."""
    world = simulation.world
    world.calm()
    for client in simulation.clients:
        client.drop()
    # Also those that the server was not told of are found out by then.
    for _ in range(30):
        world.advance(SECOND)
    world.start()


def _finish_jobs(simulation: "Simulation", closer: Closer) -> None:
    """Until no job is left but dead ones; those are put back once, half of the time."""
    world = simulation.world
    requeued = closer.chance.random() < 0.5
    for _ in range(80):
        closer.empty_queues()
        found = closer.info()
        sets = found["sets"]
        if sets["scheduled"] + sets["retries"] + sets["working"] == 0 and not sum(found["queues"].values()):
            if sets["dead"] == 0:
                return
            command = "requeue" if requeued else "clear"
            requeued = False
            answer = closer.say("MUTATE " + json.dumps({"cmd": command, "target": "dead"}))
            if command == "clear":
                simulation.ledger.endanger("mutate", lambda _: True)
            if not answer.ok:
                raise simulation.ledger.broken(f"dead jobs cannot be moved: {answer}")
        else:
            # Reservations, retries and scheduled jobs have their time; as a leap, so that it costs nothing.
            world.set_clock(20 * 60_000)
            closer.say("BEAT " + json.dumps({"wid": closer.wid}))
            world.advance(5 * SECOND)
    raise simulation.ledger.broken(f"jobs are left after all that time: {closer.info()}")


def _judge_batches(simulation: "Simulation", closer: Closer) -> None:
    """Every committed batch has had its callbacks, or can say why not."""
    ledger = simulation.ledger
    for entry in ledger.batches.values():
        answer = closer.say(f"BATCH STATUS {entry.bid}")
        if not answer.ok:
            known = "no such batch" in answer.text
            if not known or (entry.committed and not entry.flushed and not _is_past(simulation)):
                raise ledger.broken(f"{entry.bid}: {answer.text}")
            continue
        shown = answer.json()
        hold_status(ledger, entry.bid, dict(entry.shown), shown)
        if entry.committed and not entry.flushed:
            _judge_batch(simulation, entry, shown)


def _is_past(simulation: "Simulation") -> bool:
    """Whether so much time has passed that a finished batch may be forgotten."""
    return simulation.ledger.leapt > simulation.world.rules.batches_keep - 2 * HOUR_MS


def _judge_batch(simulation: "Simulation", entry: BatchEntry, shown: dict[str, Any]) -> None:
    ledger = simulation.ledger
    if shown["pending"]:
        raise ledger.broken(f"{entry.bid} waits for jobs that are not there: {shown}")
    callback = ledger.jobs.get(entry.roles.get("complete", ""))
    # One that nobody knows of may have ended unseen; one that wants no retry, with a reservation.
    endings = {"remove", "mutate", "flush"} & ledger.seen.keys() if callback is None else callback.endings - {"ack"}
    excused = entry.fragile or bool(endings)
    if "complete" in entry.roles and shown["complete_st"] != "2" and not excused:
        raise ledger.broken(f"{entry.bid} is complete, and its callback was not: {shown}")
    children = [other for other in ledger.batches.values() if other.parent == entry.bid]
    is_clean = shown["failed"] == 0 and not children and shown.get("complete_st", "2") in {"2", ""}
    if "complete" in entry.roles and shown["complete_st"] != "2":
        is_clean = False
    if is_clean and "success" in entry.roles and shown["success_st"] == "" and not _has_hidden_child(simulation, entry):
        raise ledger.broken(f"{entry.bid} has succeeded, and its callback was not enqueued: {shown}")


def _has_hidden_child(simulation: "Simulation", entry: BatchEntry) -> bool:
    """Whether a child may have been begun without anybody having been told its bid."""
    for key, value in simulation.world.rows().items():
        if key == b"Bb" + entry.bid.encode():
            return decode_batch(value).children > 0
    return True


def _judge_rest(simulation: "Simulation") -> None:
    """Nothing is left over."""
    simulation.inspect_all()
    rows = simulation.world.rows()
    left = {key: value for key, value in rows.items() if key[:1] not in EMPTY and key != b"Hn"}
    if left.get(b"Bn") == b"0":
        # No batch is open.
        del left[b"Bn"]
    if left:
        raise simulation.ledger.broken(f"left over when everything was over: {sorted(left.items())[:5]}")
