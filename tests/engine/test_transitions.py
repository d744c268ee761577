"""A transition happens whole, or raises and has changed nothing: every read of each fails once, and so does chance."""

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest
from msgspec import Raw, Struct

from invariants import check_memory, check_store, rows_of
from lineshaft.engine import keys
from lineshaft.engine.admin.adopt import Arrival
from lineshaft.engine.engine import Engine
from lineshaft.engine.lanes.ages import Ages
from lineshaft.engine.lanes.turns import Turns
from lineshaft.engine.line import Window
from lineshaft.engine.records import LaneRules
from lineshaft.engine.retry import Report
from lineshaft.engine.settings import QueueLimits, Settings
from lineshaft.errors import Refusal, StoreError
from lineshaft.job import Job, decode_pushed
from lineshaft.lifecycle import Place
from lineshaft.store.faulty import FaultyStore

NOW = 1_764_000_000_000
REPORT = Report("E", "m", ["line"])
#: Numbers may be used up, queues that were named come into being, and lanes into memory; which features some letters
#: stand for is remembered: none of it does any harm.
HARMLESS = {"order", "orders_reserved", "now", "stamp", "stamp_second", "bound", "idle", "features"}


def job(jid: str, *, args: str = "[1]", **fields: str) -> Job:
    """A job as it is pushed; the fields are given as JSON."""
    extra = "".join(f',"{name}":{value}' for name, value in fields.items())
    return decode_pushed(f'{{"jid":"{jid}","jobtype":"T","args":{args}{extra}}}'.encode())


#: Everything that a job can ask for; it expires long after what is due in these tests.
WISHES = '{"unique_for":5000,"expires_in":10000,"track":1}'


class Chance:
    """Gives one half, until it is told to fail."""

    fails = False

    def __call__(self) -> float:
        if self.fails:
            raise ArithmeticError("chance fails, as ordered")
        return 0.5


class World:
    """An engine with jobs in every place, freshly started, so that little of them is in memory."""

    def __init__(self, **rules: Any) -> None:
        engine = Engine(FaultyStore(), Settings(**rules), lambda: 0.5, NOW - 100_000)
        self.lose_a_worker(engine)
        engine.advance(NOW)
        for number in range(6):
            engine.push(job(f"ready-00{number}", custom='{"a":1}' if number % 2 else "null"))
        engine.push(job("large-001", queue='"large"', args='["' + "x" * 5000 + '"]'))
        engine.push(job("high-0001", priority="9"))
        engine.push(job("paused-01", queue='"paused"'))
        engine.pause(["paused"])
        engine.connect("worker-1", "h", 1, ())
        engine.beat("worker-1", 0, None)
        for jid in ("failed-01", "failed-02", "dead-0001", "dead-0002"):
            engine.push(job(jid, queue='"f"', retry="-1" if jid.startswith("dead") else "5"))
            engine.fetch(["f"], "worker-1")
            engine.fail(jid, "worker-1", REPORT)
        for jid in ("held-0001", "held-0002", "held-0003"):
            engine.push(job(jid, queue='"h"'))
            engine.fetch(["h"], "worker-1")
        for jid in ("asked-001", "asked-002", "asked-003"):
            engine.push(job(jid, args=f'["{jid}"]', custom=WISHES, queue='"asked"' if jid == "asked-003" else '"q"'))
        engine.fetch(["q"], "worker-1")
        engine.fetch(["q"], "worker-1")
        engine.cancel("asked-002")
        engine.push(job("later-001", at='"2096-01-01T00:00:00Z"'))
        engine.push(job("later-002", at='"2025-11-24T16:00:10Z"'))
        engine.commit()
        self.chance = Chance()
        self.store = FaultyStore(rows_of(engine.state.turn.store))
        self.engine = Engine(self.store, Settings(**rules), self.chance, NOW)
        self.engine.connect("worker-1", "h", 1, ())
        self.engine.commit()

    def lose_a_worker(self, engine: Engine) -> None:
        """Let a worker vanish, so that there is a job whose late ACK counts."""
        worker = engine.connect("worker-2", "h", 1, ())
        engine.beat("worker-2", 0, None)
        engine.push(job("former-01", queue='"former"'))
        engine.fetch(["former"], "worker-2")
        engine.disconnect(worker)
        engine.advance(NOW - 30_000)
        engine.tick()
        assert engine.figures()["queues"] == {"former": 1}

    def memory(self) -> object:
        """All that the engine knows, as one value that can be compared."""
        state = self.engine.state
        for queue in [each for each in state.queues if not (each.size or each.pushed or each.processed)]:
            del state.queues.by_name[queue.name]
            if queue in state.queues.dirty:
                state.queues.dirty.remove(queue)
        return snapshot(state, set())


def snapshot(value: Any, seen: set[int]) -> Any:
    """A deep copy of plain values, good for comparing; windows are left out, since reading moves them."""
    if isinstance(value, (str, bytes, int, float, bool, type(None), Enum, Raw)):
        return value
    if isinstance(value, (list, tuple, deque)):
        return [snapshot(each, seen) for each in value]
    if isinstance(value, dict):
        return {key: snapshot(each, seen) for key, each in value.items() if key != keys.SEQUENCE_KEY}
    if isinstance(value, (set, frozenset)):
        return sorted(map(repr, value))
    if isinstance(value, (Window, Turns, Ages, FaultyStore)) or callable(value) or id(value) in seen:
        return None
    seen.add(id(value))
    if isinstance(value, Struct):
        names: Any = value.__struct_fields__
    else:
        names = [*getattr(value, "__slots__", ()), *getattr(value, "__dict__", ())]
    return {name: snapshot(getattr(value, name), seen) for name in names if name not in HARMLESS}


def vanish(engine: Engine) -> None:
    engine.disconnect(engine.state.workers.present["worker-1"])
    engine.advance(NOW + 61_000)
    engine.tick()


def forgotten(engine: Engine) -> None:
    engine.advance(NOW + 10_000_000)
    engine.tick()


def expire(engine: Engine) -> None:
    engine.advance(NOW + 1_900_000)
    engine.tick()


def due(engine: Engine) -> None:
    engine.advance(NOW + 11_000)
    engine.tick()


def cancel_waiting(engine: Engine, jid: str) -> None:
    if engine.state.index.enabled:
        engine.cancel(jid)


def mutate(command: str, target: str, **wanted: Any) -> Callable[[Engine], object]:
    return lambda engine: engine.mutate(command, target, **wanted)


TRANSITIONS: dict[str, Callable[[Engine], object]] = {
    "push": lambda engine: engine.push(job("pushed-01")),
    "push to a new queue": lambda engine: engine.push(job("pushed-01", queue='"new"')),
    "push with at": lambda engine: engine.push(job("pushed-01", at='"2096-01-01T00:00:00Z"')),
    "push with a priority": lambda engine: engine.push(job("pushed-01", priority="1")),
    "push_bulk": lambda engine: engine.push_bulk([job("pushed-01"), job("pushed-02", priority="2"), job("x")]),
    "adopt": lambda engine: engine.adopt(
        {
            0: Arrival(job("adopted-1", queue='"new"')),
            1: Arrival(job("adopted-2", failure='{"retry_count":3}'), Place.RETRIES, NOW + 1),
            2: Arrival(job("ready-001")),
        }
    ),
    "fetch": lambda engine: engine.fetch(["none", "default"], "worker-1"),
    "fetch a large one": lambda engine: engine.fetch(["large"], "worker-1"),
    "ack": lambda engine: engine.ack("held-0001", "worker-1"),
    "late ack": lambda engine: engine.ack("former-01", "worker-2"),
    "ack of nothing": lambda engine: engine.ack("ready-001", "worker-1"),
    "fail": lambda engine: engine.fail("held-0001", "worker-1", REPORT),
    "push of a job that asks": lambda engine: engine.push(job("pushed-01", custom=WISHES)),
    "fetch of a job that asks": lambda engine: engine.fetch(["asked"], "worker-1"),
    "ack of a job that asks": lambda engine: engine.ack("asked-001", "worker-1"),
    "ack with a result": lambda engine: engine.ack_with_result("asked-001", "worker-1", b"7"),
    "ack of a plain job with a result": lambda engine: engine.ack_with_result("held-0001", "worker-1", b"7"),
    "late ack with a result": lambda engine: engine.ack_with_result("former-01", "worker-2", b"7"),
    "fail of a job that asks": lambda engine: engine.fail("asked-001", "worker-1", REPORT),
    "fail of a cancelled job": lambda engine: engine.fail("asked-002", "worker-1", REPORT),
    "requeue": lambda engine: engine.requeue("asked-001", "worker-1", None),
    "requeue for later": lambda engine: engine.requeue("asked-001", "worker-1", 5000),
    "requeue of a cancelled job": lambda engine: engine.requeue("asked-002", "worker-1", None),
    "cancel of a waiting job": lambda engine: cancel_waiting(engine, "asked-003"),
    "cancel of a held job": lambda engine: engine.cancel("asked-001"),
    "cancel of a scheduled job": lambda engine: cancel_waiting(engine, "later-002"),
    "track_set": lambda engine: engine.track_set(
        "asked-001", "worker-1", percent=5, desc=None, reserve_until=NOW + 9_000_000
    ),
    "remove of a queue with jobs that ask": lambda engine: engine.remove(["asked", "q"]),
    "kill of a job that asks": mutate("kill", "queue:asked"),
    "give_back": lambda engine: engine.give_back("held-0001", "worker-1"),
    "pause": lambda engine: engine.pause(["default", "new"]),
    "resume": lambda engine: engine.resume(["paused"]),
    "remove": lambda engine: engine.remove(["default", "large"]),
    "latency": lambda engine: engine.latency(["default", "large", "none"]),
    "flush": lambda engine: engine.flush(),
    "beat": lambda engine: engine.beat("worker-1", 5, None),
    "kill by jid": mutate("kill", "scheduled", jids=["later-001", "later-002"]),
    "discard retries": mutate("discard", "retries"),
    "requeue dead": mutate("requeue", "dead", regexp="*dead*"),
    "clear a queue": mutate("clear", "queue:default", jobtype="T"),
}

#: What `tick` does is one transition for each job: those before the one that fails have happened.
TICKS: dict[str, Callable[[Engine], object]] = {
    "due": due,
    "expire": expire,
    "vanish": vanish,
    "forget": forgotten,
    "reconcile": lambda engine: engine.reconcile("worker-1", ["held-0002"]),
}

RULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "strict": {"refuse_duplicate_jids": True, "every_queue": QueueLimits(max_jobs=100)},
    "no index": {"jid_index": False},
    "lanes": {
        "queues": {
            **dict.fromkeys(("f", "h"), QueueLimits(lanes=LaneRules("a", concurrency=4))),
            **dict.fromkeys(("default", "large", "former"), QueueLimits(lanes=LaneRules("a", strict=True))),
        }
    },
    "history": {"history_keep": 86_400_000},
}


def fail_read(world: World, number: int) -> None:
    """Let the read with this number fail, get or scan."""
    reads = iter(range(1, number + 1))
    get, scan = world.store.get, world.store.scan

    def counted(read: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if next(reads, 0) == number:
                raise StoreError("this read fails, as ordered")
            return read(*arguments, **named)

        return call

    world.store.get, world.store.scan = counted(get), counted(scan)  # type: ignore[method-assign]


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("name", TRANSITIONS)
def test_a_read_that_fails_changes_nothing(name: str, rules: dict[str, Any]) -> None:
    for number in range(1, 30):
        world = World(**rules)
        before, rows = world.memory(), rows_of(world.store)
        get, scan = world.store.get, world.store.scan
        fail_read(world, number)
        try:
            TRANSITIONS[name](world.engine)
        except StoreError:
            world.store.get, world.store.scan = get, scan  # type: ignore[method-assign]
            assert world.memory() == before, f"read {number}"
            assert rows_of(world.store) == rows
            world.engine.commit()
            check_memory(world.engine)
            TRANSITIONS[name](world.engine)
            world.engine.commit()
            check_store(world.store, has_index=rules.get("jid_index", True))
        else:
            world.store.get, world.store.scan = get, scan  # type: ignore[method-assign]
            world.engine.commit()
            check_store(world.store, has_index=rules.get("jid_index", True))
            check_memory(world.engine)
            return
    pytest.fail("it reads without end")


@pytest.mark.parametrize("name", TICKS)
def test_a_read_that_fails_in_a_tick_leaves_every_job_in_one_place(name: str) -> None:
    for number in range(1, 60):
        world = World()
        get, scan = world.store.get, world.store.scan
        fail_read(world, number)
        try:
            TICKS[name](world.engine)
        except StoreError:
            world.store.get, world.store.scan = get, scan  # type: ignore[method-assign]
            world.engine.commit()
            check_store(world.store)
            check_memory(world.engine)
        else:
            return
    pytest.fail("it reads without end")


def test_chance_that_fails() -> None:
    world = World()
    before, rows = world.memory(), rows_of(world.store)
    world.chance.fails = True
    with pytest.raises(ArithmeticError):
        world.engine.fail("held-0001", "worker-1", REPORT)
    assert world.memory() == before
    assert rows_of(world.store) == rows
    world.engine.advance(NOW + 1_900_000)
    with pytest.raises(ArithmeticError):
        world.engine.tick()
    world.engine.commit()
    check_store(world.store)
    check_memory(world.engine)


REFUSED: dict[str, Callable[[Engine], object]] = {
    "push without a jid": lambda engine: engine.push(job("x")),
    "push to a bad queue": lambda engine: engine.push(job("pushed-01", queue='"a b"')),
    "push with a bad at": lambda engine: engine.push(job("pushed-01", at='"x"')),
    "push beyond the limit": lambda engine: engine.push(job("pushed-01", queue='"full"')),
    "push of a duplicate": lambda engine: engine.push(job("ready-001")),
    "push of a held duplicate": lambda engine: engine.push(job("held-0001")),
    "push of a scheduled duplicate": lambda engine: engine.push(job("later-001")),
    "push of a job that is not unique": lambda engine: engine.push(
        job("pushed-01", args='["asked-001"]', queue='"q"', custom='{"unique_for":1}')
    ),
    "push with a wish of the wrong type": lambda engine: engine.push(job("pushed-01", custom='{"unique_for":"1"}')),
    "push with an end that is no instant": lambda engine: engine.push(job("pushed-01", custom='{"expires_at":"x"}')),
    "push with a backoff that is none": lambda engine: engine.push(job("pushed-01", custom='{"backoff":"x"}')),
    "requeue of nothing": lambda engine: engine.requeue("nothere1", "worker-1", None),
    "cancel of nothing": lambda engine: engine.cancel("nothere1"),
    "cancel of a dead job": lambda engine: engine.cancel("dead-0001"),
    "fail of nothing": lambda engine: engine.fail("nothere1", "worker-1", REPORT),
    "fail of a ready job": lambda engine: engine.fail("ready-001", "worker-1", REPORT),
    "pause of a bad name": lambda engine: engine.pause(["default", "a b"]),
    "remove of a bad name": lambda engine: engine.remove(["default", "a b"]),
    "latency of all": lambda engine: engine.latency(["*"]),
    "a beat of nobody": lambda engine: engine.beat("nobody", 0, None),
    "mutate of nothing": mutate("kill", "nowhere"),
    "mutate to nothing": mutate("explode", "dead"),
    "mutate with a long glob": mutate("kill", "dead", regexp="a" * 1001),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_changes_nothing(name: str) -> None:
    world = World(refuse_duplicate_jids=True, queues={"full": QueueLimits(max_jobs=0)})
    before, rows = world.memory(), rows_of(world.store)
    with pytest.raises(Refusal):
        REFUSED[name](world.engine)
    assert world.memory() == before
    world.engine.commit()
    after = rows_of(world.store)
    assert [key for key in rows.keys() | after.keys() if rows.get(key) != after.get(key) and key[:1] not in b"QN"] == []


def test_a_transition_shares_its_turn_with_others() -> None:
    """What came before in the same turn stays, whatever fails behind it."""
    world = World()
    world.engine.push(job("pushed-01", queue='"new"'))
    world.chance.fails = True
    with pytest.raises(ArithmeticError):
        world.engine.fail("held-0001", "worker-1", REPORT)
    with pytest.raises(Refusal):
        world.engine.push(job("x"))
    world.engine.commit()
    check_store(world.store)
    assert world.engine.figures()["queues"]["new"] == 1
