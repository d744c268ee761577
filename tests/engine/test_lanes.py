"""Lanes take turns; none is in another's way, and none is ever stuck."""

from typing import Any

import pytest

from invariants import check_memory, check_store, rows_of
from lineshaft.engine import keys, ready
from lineshaft.engine.engine import Engine
from lineshaft.engine.lanes import lanes, turns
from lineshaft.engine.lanes.names import lane_namer
from lineshaft.engine.records import LaneRules, Rate, decode_lane
from lineshaft.engine.retry import Report
from lineshaft.engine.search.filter import Filter
from lineshaft.engine.settings import QueueLimits, Settings
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.jobs import enqueued, find
from lineshaft.job import decode_pushed, decode_stored
from lineshaft.lifecycle import Place
from lineshaft.store.faulty import FaultyStore

NOW = 1_764_000_000_000
REPORT = Report("E", "m")
FAIR = LaneRules("tenant")
STRICT = LaneRules("tenant", strict=True)


class World:
    """An engine with one laned queue, `q`; every step is committed and held against the laws."""

    def __init__(self, rules: LaneRules | None = FAIR, **more: Any) -> None:
        self.now = NOW
        self.more = more
        self.store = FaultyStore()
        self.rules = rules
        self.engine = self.boot()

    def settings(self) -> Settings:
        limits = {"q": QueueLimits(lanes=self.rules)} if self.rules is not None else {}
        return Settings(queues=limits, **self.more)

    def boot(self) -> Engine:
        engine = Engine(self.store, self.settings(), lambda: 0.5, self.now)
        engine.commit()
        return engine

    def push(self, jid: str, tenant: object = None, **fields: str) -> None:
        custom = "{}" if tenant is None else f'{{"tenant":{tenant!r}}}'.replace("'", '"')
        fields = {"queue": '"q"', "custom": custom, **fields}
        extra = "".join(f',"{name}":{value}' for name, value in fields.items())
        self.engine.push(decode_pushed(f'{{"jid":"{jid:0>8}","jobtype":"T","args":[]{extra}}}'.encode()))
        self.commit()

    def fetch(self, wid: str = "w") -> str | None:
        payload = self.engine.fetch(["q"], wid)
        self.commit()
        return None if payload is None else decode_stored(payload).jid.lstrip("0")

    def fetch_all(self) -> list[str]:
        return [jid for jid in iter(self.fetch, None) if jid is not None]

    def ack(self, jid: str, wid: str = "w") -> None:
        assert self.engine.ack(f"{jid:0>8}", wid)
        self.commit()

    def fail(self, jid: str, wid: str = "w", wait: int | None = None) -> None:
        self.engine.fail(f"{jid:0>8}", wid, Report("E", "m", retry_in=wait))
        self.commit()

    def wait(self, milliseconds: int) -> None:
        self.now += milliseconds
        self.engine.advance(self.now)
        while self.engine.tick() <= self.now:
            self.commit()
        self.commit()

    def commit(self) -> None:
        self.engine.commit()
        check_store(self.store, has_index=self.more.get("jid_index", True))
        check_memory(self.engine)

    def damage(self, jid: bytes) -> None:
        """The row of a job goes bad; so does its entry in the index, which would lead there for ever."""
        rows = rows_of(self.store)
        (key,) = [key for key, value in rows.items() if key[:1] in b"VT" and jid in value]
        self.store.commit({key: b"{", **dict.fromkeys(entry for entry in rows if rows[entry] == key)})

    def restart(self, rules: LaneRules | None = FAIR) -> None:
        """With other rules, perhaps."""
        self.rules = rules
        self.store = self.store.crash(self.store.unsynced)
        self.engine = self.boot()
        self.wait(0)

    def reload(self, rules: LaneRules | None) -> None:
        self.rules = rules
        self.engine.apply(self.settings())
        self.commit()
        self.wait(0)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little in memory, so that much of it comes from disk."""
    monkeypatch.setattr(ready, "WINDOW_LEAST", 3)
    monkeypatch.setattr(ready, "WINDOW_MOST", 3)
    monkeypatch.setattr(lanes, "MOST_IDLE", 2)
    monkeypatch.setattr(turns, "MOST", 2)


# Turns


def test_lanes_take_turns() -> None:
    world = World()
    for number in range(5):
        world.push(f"a{number}", "a")
    for number in range(2):
        world.push(f"b{number}", "b")
    world.push("c0", "c")
    assert world.fetch_all() == ["a0", "b0", "c0", "a1", "b1", "a2", "a3", "a4"]


def test_turns_go_on_after_a_restart() -> None:
    world = World()
    for lane in "abc":
        for number in range(3):
            world.push(f"{lane}{number}", lane)
    assert [world.fetch() for _ in range(4)] == ["a0", "b0", "c0", "a1"]
    world.restart()
    assert world.fetch_all() == ["b1", "c1", "a2", "b2", "c2"]


def test_jobs_without_the_key_share_a_lane() -> None:
    world = World()
    for number in range(3):
        world.push(f"n{number}", custom="null" if number % 2 else '{"tenant":null}')
        world.push(f"a{number}", "a")
    assert world.fetch_all() == ["n0", "a0", "n1", "a1", "n2", "a2"]


def test_the_priority_counts_inside_of_a_lane() -> None:
    world = World()
    for jid, priority in (("a1", "1"), ("a5", "5"), ("a9", "9")):
        world.push(jid, "a", priority=priority)
    world.push("b1", "b", priority="1")
    world.push("b9", "b", priority="9")
    assert world.fetch_all() == ["a9", "b9", "a5", "b1", "a1"]


@pytest.mark.parametrize(
    ("values", "lanes_made"),
    [
        (['"x"', '"x"'], 1),
        (['"\\u00e9"', '"é"'], 1),
        (["1", '"1"'], 2),
        (["1", "1.0"], 2),
        (["true", "false"], 2),
        (['"' + "x" * 500 + '"', '"' + "x" * 501 + '"'], 2),
        (['"' + "x" * 500 + '"', '"' + "x" * 500 + '"'], 1),
        (['{"a":1}', '{"a":2}'], 2),
        (["null", '""'], 2),
        ([str(10**30), str(10**30 + 1)], 2),
    ],
)
def test_what_makes_a_lane(values: list[str], lanes_made: int) -> None:
    world = World()
    for number, value in enumerate(values):
        world.push(f"j{number}", custom=f'{{"x":[1],"tenant":{value}}}')
    assert (
        len([key for key in rows_of(world.store) if key[:1] == b"O" and keys.lanes_parts(key)[2] == b"l"]) == lanes_made
    )


def test_a_lane_that_is_empty_leaves_nothing_behind() -> None:
    world = World()
    for number in range(20):
        world.push(f"j{number}", str(number))
    for jid in world.fetch_all():
        world.ack(jid)
    left = {key[:1] for key in rows_of(world.store)}
    assert not left & {b"O", b"V", b"W", b"L", b"E"}


def test_a_tenant_with_many_jobs_ahead_does_not_delay_another() -> None:
    """The same with 100,000 jobs is in test_lanes_large.py."""
    world = World()
    for number in range(300):
        custom = '{"tenant":"big"}'
        world.engine.push(
            decode_pushed(
                b'{"jid":"big-%05d","jobtype":"T","args":[],"queue":"q","custom":%s}' % (number, custom.encode())
            )
        )
    world.commit()
    world.push("late", "small")
    assert [world.fetch(), world.fetch(), world.fetch()] == ["big-00000", "late", "big-00001"]


# Limits


def test_only_so_many_jobs_of_a_lane_run_at_once() -> None:
    world = World(LaneRules("tenant", concurrency=2))
    for number in range(4):
        world.push(f"a{number}", "a")
        world.push(f"b{number}", "b")
    assert world.fetch_all() == ["a0", "b0", "a1", "b1"]
    world.ack("a1")
    assert world.fetch_all() == ["a2"]
    world.fail("b0")
    world.ack("b1")
    assert world.fetch_all() == ["b2", "b3"]


def test_a_limit_outlives_a_restart() -> None:
    rules = LaneRules("tenant", concurrency=1)
    world = World(rules)
    for number in range(3):
        world.push(f"a{number}", "a")
    world.fetch()
    world.restart(rules)
    assert world.fetch() is None
    world.ack("a0")
    assert world.fetch_all() == ["a1"]


def test_only_so_many_jobs_of_a_lane_start_in_a_time() -> None:
    world = World(LaneRules("tenant", rate=Rate(2, 60_000)))
    for number in range(5):
        world.push(f"a{number}", "a")
    world.push("b0", "b")
    assert world.fetch_all() == ["a0", "b0", "a1"]
    world.wait(29_999)
    assert world.fetch_all() == []
    world.wait(1)
    assert world.fetch_all() == ["a2"]
    world.wait(60_000)
    assert world.fetch_all() == ["a3", "a4"]


def test_tokens_outlive_the_lane_and_a_restart() -> None:
    rules = LaneRules("tenant", rate=Rate(1, 60_000))
    world = World(rules)
    world.push("a0", "a")
    world.fetch()
    world.ack("a0")
    world.restart(rules)
    world.push("a1", "a")
    assert world.fetch() is None
    world.restart(rules)
    world.wait(60_000)
    assert world.fetch() == "a1"
    world.ack("a1")
    world.wait(60_000)
    assert not {key[:1] for key in rows_of(world.store)} & {b"O", b"E"}


def test_a_waiting_worker_is_woken_by_a_token_and_by_a_slot() -> None:
    world = World(LaneRules("tenant", concurrency=1, rate=Rate(1, 1000)))
    world.push("a0", "a")
    world.push("a1", "a")
    world.fetch()
    assert world.fetch() is None
    world.engine.take_arrivals()
    world.engine.want("q", wanted=True)
    world.wait(5000)
    assert world.engine.take_arrivals() == []
    world.ack("a0")
    assert world.engine.take_arrivals() == ["q"]
    world.fetch()
    world.push("a2", "a")
    world.ack("a1")
    world.engine.take_arrivals()
    assert world.engine.deadline() == world.now + 1000
    world.wait(1000)
    assert world.engine.take_arrivals() == ["q"]


# Strict lanes


def test_a_strict_lane_runs_in_push_order_whatever_the_priority() -> None:
    world = World(STRICT)
    for number, priority in enumerate("159"):
        world.push(f"a{number}", "a", priority=priority)
    world.push("b0", "b")
    done = []
    while (jid := world.fetch()) is not None:
        assert world.fetch("v") in (None, "b0")
        done.append(jid)
        world.ack(jid)
    assert done == ["a0", "a1", "a2"]


def test_a_failing_job_holds_its_strict_lane_until_it_is_done() -> None:
    world = World(STRICT)
    for number in range(3):
        world.push(f"a{number}", "a", priority=str(9 - number))
    world.push("b0", "b")
    assert world.fetch() == "a0"
    world.fail("a0", wait=1000)
    assert world.fetch_all() == ["b0"]
    world.restart(STRICT)
    assert world.fetch() is None
    world.wait(1000)
    assert world.fetch_all() == ["a0"]
    world.engine.requeue("000000a0", "w", None)
    world.commit()
    assert world.fetch_all() == ["a0"]
    world.engine.requeue("000000a0", "w", 5000)
    world.commit()
    assert world.fetch() is None
    world.wait(5000)
    assert world.fetch_all() == ["a0"]
    world.ack("a0")
    assert world.fetch_all() == ["a1"]


def test_a_dead_job_lets_its_strict_lane_go() -> None:
    world = World(STRICT)
    world.push("a0", "a", retry="1", priority="3")
    world.push("a1", "a")
    world.fetch()
    world.fail("a0", wait=1000)
    world.wait(1000)
    assert world.fetch() == "a0"
    world.fail("a0")
    assert world.fetch() == "a1"
    world.ack("a1")
    world.push("a2", "a")
    world.engine.mutate("requeue", "dead")
    world.commit()
    assert world.fetch() == "a2", "who comes back from the dead stands at the tail"
    world.ack("a2")
    assert world.fetch() == "a0"
    world.fail("a0")
    (row,) = [value for key, value in rows_of(world.store).items() if key[:2] == b"Td"]
    assert b'"priority":3' in row
    assert b'"place"' not in row


def test_a_strict_lane_keeps_its_order_when_workers_vanish() -> None:
    world = World(STRICT, recover_limit=5)
    for number in range(3):
        world.push(f"a{number}", "a")
    for _ in range(3):
        worker = world.engine.connect("w", "h", 1, ())
        world.engine.beat("w", 0, None)
        assert world.fetch() == "a0"
        world.engine.disconnect(worker)
        world.wait(61_000)
    assert world.fetch() == "a0"


def test_a_scheduled_job_joins_its_strict_lane_when_it_is_due() -> None:
    world = World(STRICT)
    world.push("later", "a", at='"2025-11-24T16:00:10Z"')
    world.push("a0", "a")
    assert world.fetch() == "a0"
    world.ack("a0")
    world.push("a1", "a")
    world.wait(10_000)
    assert world.fetch() == "a1"
    world.ack("a1")
    assert world.fetch() == "later"


# Every way out


@pytest.mark.parametrize("snoozed", [False, True], ids=["failed", "snoozed"])
@pytest.mark.parametrize("way", ["discard", "clear", "kill", "requeue", "cancel", "expire", "due", "damage"])
@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
def test_whatever_takes_a_job_that_holds_its_lane_lets_it_go(way: str, restart: bool, snoozed: bool) -> None:
    world = World(STRICT)
    world.push("a0", custom='{"tenant":"a","expires_in":50}' if way == "expire" else '{"tenant":"a"}')
    world.push("a1", "a")
    assert world.fetch() == "a0"
    if snoozed:
        world.engine.requeue("000000a0", "w", 100_000)
        world.commit()
    else:
        world.fail("a0", wait=100_000)
    assert world.fetch() is None
    if restart:
        world.restart(STRICT)
    expected = "a1"
    match way:
        case "cancel":
            world.engine.cancel("000000a0")
        case "expire":
            world.wait(50_000)
        case "due":
            world.wait(100_000)
            expected = "a0"
        case "damage":
            world.damage(b"a0")
            world.wait(100_000)
        case _:
            target = "scheduled" if snoozed else "retries"
            world.engine.mutate(way, target)
            world.wait(0)
            expected = "a0" if way == "requeue" else "a1"
    world.engine.commit()
    assert world.fetch() == expected
    assert world.fetch() is None


def take_job(world: World, way: str) -> None:
    """Have the job that is leased by `w` leave, or come back."""
    engine, jid = world.engine, "000000a0"
    match way:
        case "ack":
            engine.ack(jid, "w")
        case "fail":
            engine.fail(jid, "w", REPORT)
        case "requeue":
            engine.requeue(jid, "w", None)
        case "snooze":
            engine.requeue(jid, "w", 1_000_000)
        case "give back":
            engine.give_back(jid, "w")
        case "cancel":
            engine.cancel(jid)
            engine.fail(jid, "w", REPORT)
        case "expire":
            world.wait(1_800_000)
        case "vanish":
            engine.disconnect(engine.state.workers.present["w"])
            world.wait(61_000)
        case "damage":
            world.damage(b"a0")
            with pytest.raises(Exception, match="damaged"):
                engine.fail(jid, "w", REPORT)


LEASED = ["ack", "fail", "requeue", "snooze", "give back", "cancel", "expire", "vanish", "damage"]


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("way", LEASED)
def test_whatever_ends_a_lease_frees_its_slot_once(way: str, restart: bool) -> None:
    rules = LaneRules("tenant", concurrency=2)
    world = World(rules)
    world.engine.connect("w", "h", 1, ())
    world.engine.beat("w", 0, None)
    for number in range(6):
        world.push(f"a{number}", "a")
    assert world.fetch() == "a0"
    assert world.fetch("v") == "a1"
    assert world.fetch() is None
    if restart:
        world.restart(rules)
        world.engine.connect("w", "h", 1, ())
        assert world.fetch() is None
    take_job(world, way)
    world.engine.commit()
    if way == "expire":
        # Both reservations ran out.
        assert world.fetch_all() == ["a2", "a3"]
        return
    assert len(world.fetch_all()) == 1


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("way", ["cancel", "clear", "kill", "jids", "late ack", "expire", "damage", "remove", "flush"])
def test_whatever_takes_a_waiting_job_leaves_its_lane_as_it_should_be(way: str, restart: bool) -> None:
    world = World(LaneRules("tenant", concurrency=1))
    worker = world.engine.connect("w", "h", 1, ())
    world.engine.beat("w", 0, None)
    world.push("a0", custom='{"tenant":"a","expires_in":100}' if way == "expire" else '{"tenant":"a"}')
    world.push("b0", "b")
    if way == "late ack":
        assert world.fetch() == "a0"
        world.engine.disconnect(worker)
        world.wait(61_000)
    if restart:
        world.restart(LaneRules("tenant", concurrency=1))
    jid = "000000a0"
    match way:
        case "cancel":
            world.engine.cancel(jid)
        case "clear":
            world.engine.mutate("clear", "queue:q", regexp='*"jid":"000000a0"*')
        case "kill":
            world.engine.mutate("kill", "queue:q", regexp='*"jid":"000000a0"*')
        case "jids":
            world.engine.mutate("discard", "queue:q", jids=[jid])
        case "late ack":
            assert world.engine.ack(jid, "w")
        case "expire":
            world.wait(100_000)
        case "damage":
            world.damage(b"a0")
            world.engine = world.boot()
        case "remove":
            world.engine.remove(["q"])
        case "flush":
            world.engine.flush()
    world.engine.commit()
    if way in {"remove", "flush"}:
        world.wait(0)
        assert world.fetch_all() == []
        world.push("b1", "b")
        assert world.fetch_all() == ["b1"]
    else:
        if way == "damage":
            world.engine.fetch(["q"], "w")
            world.engine.commit()
        assert world.fetch_all() in (["b0"], [])
        assert world.engine.figures()["queues"]["q"] == 0
    rows = rows_of(world.store)
    assert {decode_lane(value).size for key, value in rows.items() if key[:1] == b"O"} <= {0}


# Latency


def test_latency_is_that_of_lanes_that_may_start_a_job() -> None:
    world = World(LaneRules("tenant", concurrency=1))
    world.push("a0", "a")
    world.push("a1", "a")
    world.wait(1000)
    world.push("b0", "b")
    world.wait(1000)
    world.push("c0", "c")
    assert world.engine.latency(["q"]) == {"q": 2.0}
    assert world.fetch() == "a0"
    assert world.engine.latency(["q"]) == {"q": 1.0}
    assert world.fetch() == "b0"
    assert world.engine.latency(["q"]) == {"q": 0.0}
    world.ack("a0")
    assert world.engine.latency(["q"]) == {"q": 2.0}
    world.commit()


def test_latency_finds_the_oldest_behind_what_is_in_memory() -> None:
    world = World()
    for number in range(9):
        world.push(f"a{number}", "a")
        world.wait(1000)
    world.push("b0", "b")
    for _ in range(7):
        world.fetch()
    world.restart()
    assert world.engine.latency(["q"]) == {"q": 3.0}


# Switching


@pytest.mark.parametrize("restart", [False, True], ids=["reload", "restart"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, FAIR),
        (FAIR, None),
        (None, STRICT),
        (STRICT, None),
        (STRICT, FAIR),
        (FAIR, STRICT),
        (FAIR, LaneRules("region")),
        (LaneRules("tenant", concurrency=1), LaneRules("tenant", concurrency=2)),
        (LaneRules("tenant", concurrency=1), None),
        (LaneRules("tenant", rate=Rate(1, 86_400_000)), FAIR),
        (FAIR, LaneRules("tenant", rate=Rate(1, 1000))),
    ],
)
def test_a_change_of_the_rules_loses_nothing_and_strands_nothing(
    before: LaneRules | None, after: LaneRules | None, restart: bool
) -> None:
    world = World(before)
    for number in range(6):
        world.push(f"{'ab'[number % 2]}{number}", "ab"[number % 2], priority=str(number % 3 + 4))
    first = world.fetch() or ""
    second = world.fetch() or ""
    world.fail(first, wait=1000)
    (world.restart if restart else world.reload)(after)
    for number in range(6, 12):
        world.push(f"{'ab'[number % 2]}{number}", "ab"[number % 2])
    done = []
    world.ack(second)
    for _ in range(20):
        for jid in world.fetch_all():
            world.ack(jid)
            done.append(jid)
        world.wait(10_000)
    assert sorted([second, *done]) == sorted(f"{'ab'[number % 2]}{number}" for number in range(12))
    if after is None:
        assert not [key for key in rows_of(world.store) if key[:1] in {b"O", b"V"}]
        assert world.engine.state.leases.watchers == {}


def test_what_was_there_before_a_change_goes_first() -> None:
    world = World(None)
    world.push("old1", "a")
    world.push("old2", "a")
    world.reload(FAIR)
    world.push("new1", "b")
    assert world.fetch() == "old1"
    world.reload(None)
    world.push("newer", "c")
    assert world.fetch_all() == ["new1", "old2", "newer"]


# What is shown


def test_a_queue_with_lanes_is_paged_lane_by_lane() -> None:
    world = World(None)
    world.push("old1", "a")
    world.reload(LaneRules("tenant", concurrency=1))
    for number in range(4):
        for lane in "cab":
            world.push(f"{lane}{number}", lane, priority=str(5 + number % 2))
    assert [world.fetch() for _ in range(4)] == ["old1", "c1", "a1", "b1"]
    seen, cursor = [], ""
    for _ in range(20):
        page = enqueued(world.engine.state, "q", cursor, 2, Filter())
        seen += [view.jid.lstrip("0") for view in page.jobs]
        cursor = page.cursor
        if not cursor:
            break
    assert seen == [f"{lane}{number}" for lane in "abc" for number in (3, 0, 2)]
    (view,) = find(world.engine.state, "000000a3")
    assert (view.place, view.priority) == (Place.READY, 6)


def test_a_holder_that_is_rescheduled_holds_its_lane_still() -> None:
    world = World(STRICT)
    world.push("a0", "a")
    world.push("a1", "a")
    assert world.fetch() == "a0"
    world.fail("a0", wait=100_000)
    world.engine.reschedule(SetName.RETRIES, "000000a0", world.now + 5000)
    world.commit()
    assert world.fetch() is None
    world.wait(5000)
    assert world.fetch() == "a0"


@pytest.mark.parametrize("way", ["fail", "snooze"])
def test_a_job_that_comes_back_to_its_place_is_leased_no_more(way: str) -> None:
    """Two leases of one turn are one record; a job of a strict lane returns to the key that its old lease names."""
    world = World(STRICT)
    world.push("1", "x")
    world.push("2", "y")
    assert [world.engine.fetch(["q"], "w") is not None for _ in range(2)] == [True, True]
    world.commit()
    if way == "fail":
        world.fail("1", wait=10)
    else:
        world.engine.requeue("00000001", "w", 10)
        world.commit()
    world.wait(20)
    world.restart(STRICT)
    world.commit()
    assert [lease.jid for lease in world.engine.state.leases.by_seq.values()] == ["00000002"]
    assert world.fetch() == "1"


@pytest.mark.parametrize("value", [b'"a\xff"', b'{"x":"\xff"}'])
def test_what_is_no_text_has_a_lane_all_the_same(value: bytes) -> None:
    # A row that was damaged on disk reads like this, and whatever moves it asks for its lane.
    job = decode_stored(b'{"jid":"job-00001","jobtype":"T","args":[],"queue":"q","custom":{"t":%b}}' % value)
    name = lane_namer("t")(job)
    assert name[:1] == b"#"
    assert name.decode() == lane_namer("t")(job).decode()
