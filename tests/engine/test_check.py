"""A check finds nothing in what the engine leaves, whatever happened, and finds each thing that somebody broke.

The laws are those of invariants.py, which reads whole stores into memory and shares no code with the check.
"""

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant
from msgspec import structs

from engine.test_model import EngineMachine, EngineWithLanesMachine, EngineWithoutIndexMachine, ThrottledMachine
from invariants import check_store, rows_of
from lineshaft.engine import index, keys
from lineshaft.engine.admin import sweep
from lineshaft.engine.check.check import check
from lineshaft.engine.check.findings import Finding, Law, Severity, Tally, shown
from lineshaft.engine.engine import Engine
from lineshaft.engine.features.batch import decode_batch
from lineshaft.engine.features.batching import Wanted
from lineshaft.engine.records import (
    ChoreRecord,
    GroupRecord,
    LaneRules,
    NoteRecord,
    PositionRecord,
    Rate,
    decode_bucket,
    decode_group,
    decode_history_size,
    decode_lane,
    decode_leases,
    decode_periodic,
    decode_queue,
    decode_set,
    encode_record,
)
from lineshaft.engine.retry import Report
from lineshaft.engine.settings import Periodic, QueueLimits, Settings, Throttle
from lineshaft.engine.stats.groups import digest_of
from lineshaft.engine.value import Extras, join_value, split_value
from lineshaft.errors import StoreCorrupt
from lineshaft.job import Job, decode_pushed, decode_stored, encode_job
from lineshaft.lifecycle import Place
from lineshaft.schedule import Schedule
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.memory import MemoryStore

NOW = 1_764_000_000_000
REPORT = Report("E", "m")
PERIODIC = Periodic("report", Schedule("0 3 * * *"), "T", "default", b'{"jobtype":"T","args":[]}')
Rows = dict[bytes, bytes]


def push(engine: Engine, jid: str, **fields: str) -> None:
    extra = "".join(f',"{name}":{value}' for name, value in fields.items())
    engine.push(decode_pushed(f'{{"jid":"{jid}","jobtype":"T","args":[1]{extra}}}'.encode()))


def _callback() -> Job:
    return decode_pushed(b'{"jobtype":"Call","args":[]}')


def work(engine: Engine, queue: str, wid: str, times: int = 1) -> None:
    for _ in range(times):
        assert engine.fetch([queue], wid) is not None
        engine.commit()


#: One lane after the other; two at once; two a minute.
LANED = {
    "strict": QueueLimits(lanes=LaneRules("tenant", strict=True)),
    "two": QueueLimits(lanes=LaneRules("tenant", concurrency=2)),
    "slow": QueueLimits(lanes=LaneRules("tenant", rate=Rate(2, 60_000))),
}


def fill_lanes(engine: Engine) -> None:
    """Lanes that are held, that wait for a slot or a token, and that have a turn."""
    for queue in LANED:
        for number in range(9):
            tenant = f'{{"tenant":"{"abc"[number % 3]}"}}'
            push(engine, f"{queue}-{number:05}", queue=f'"{queue}"', custom=tenant, priority=str(5 + number % 2))
    work(engine, "strict", "worker-1", 2)
    engine.fail("strict-00000", "worker-1", REPORT)
    work(engine, "two", "worker-1", 4)
    engine.ack("two-00000", "worker-1")
    work(engine, "slow", "worker-1", 6)
    for number in (0, 1, 2):
        engine.ack(f"slow-{number:05}", "worker-1")
    engine.commit()


def fill(store: FaultyStore, *, jid_index: bool) -> None:
    """Let the engine leave a bit of everything."""
    throttles = {"over": Throttle(concurrency=5, rate=10, per=60_000)}
    rules = Settings(jid_index=jid_index, history_keep=10**9, throttles=throttles, periodic=(PERIODIC,), queues=LANED)
    engine = Engine(store, rules, lambda: 0.5, NOW)
    engine.commit()
    for wid in ("worker-1", "worker-2"):
        engine.connect(wid, "h", 1, ())
        engine.beat(wid, 0, None)
    for number in range(30):
        push(engine, f"ready-0{number:02}", priority=str(number % 9 + 1), queue='"prio"')
    push(engine, "ready-001")  # a twin of another queue's
    for number in range(8):
        push(engine, f"plain-0{number:02}", args='["\u00e9"]')
    work(engine, "default", "worker-1", 3)
    for jid, retry in (("failed-01", "5"), ("failed-02", "5"), ("failed-03", "5"), ("dead-0001", "-1")):
        push(engine, jid, queue='"f"', retry=retry, priority="7")
        work(engine, "f", "worker-1")
        engine.fail(jid, "worker-1", REPORT)
    for number in range(3):
        push(engine, f"later-0{number:02}", at='"2096-01-01T00:00:00Z"', priority="2")
    engine.mutate("requeue", "scheduled", jids=["later-000"] if jid_index else None)
    engine.mutate("kill", "retries", jobtype="T")
    push(engine, "later-009", at='"2096-01-01T00:00:00Z"')
    # Taken back from a worker that vanished.
    push(engine, "former-01", queue='"lost"')
    work(engine, "lost", "worker-2")
    engine.disconnect(engine.state.workers.present["worker-2"])
    engine.advance(NOW + 61_000)
    for worker in engine.state.workers.present.values():
        worker.heard_at = NOW + 61_000
    engine.tick()
    push(engine, "failed-04", queue='"f"')
    work(engine, "f", "worker-1")
    engine.fail("failed-04", "worker-1", REPORT)
    # A queue that goes while it is worked on: half of it is swept, one job is out, and its name is in use again.
    for number in range(9):
        push(engine, f"gone-00{number:02}", queue='"gone"')
    work(engine, "gone", "worker-1", 2)
    push(engine, "over-0001", queue='"over"')
    work(engine, "over", "worker-1")
    engine.ack("over-0001", "worker-1")
    if jid_index:
        engine.cancel("plain-000")
    wishes = '{"unique_for":600,"track":1,"expires_in":600}'
    push(engine, "wishes-01", queue='"wishes"', custom=wishes, args="[1]")
    push(engine, "wishes-02", at='"2096-01-01T00:00:00Z"', custom=wishes, args="[2]")
    push(engine, "wishes-03", queue='"asked"', custom=wishes, args="[3]")
    work(engine, "asked", "worker-1")
    engine.ack("wishes-03", "worker-1")
    engine.cron_run("report")
    bid = engine.batch_new(Wanted("", "", _callback(), _callback(), None))
    for number, retry in enumerate([5, 5, 5, -1]):
        push(engine, f"member-{number:02}", queue='"batch"', retry=str(retry), custom=f'{{"bid":"{bid}"}}')
    work(engine, "batch", "worker-1", 4)
    engine.fail("member-01", "worker-1", REPORT)
    engine.fail("member-03", "worker-1", REPORT)
    engine.pause(["prio"])
    fill_lanes(engine)
    engine.remove(["gone"])
    engine.tick()
    push(engine, "again-001", queue='"gone"')
    push(engine, "last-0001", at='"2096-01-01T00:00:00Z"')
    engine.commit()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs grow old soon, and a sweep takes its time."""
    monkeypatch.setattr(index, "MOST_YOUNG", 16)
    monkeypatch.setattr(sweep, "SLICE", 4)


@pytest.fixture
def rows() -> Rows:
    store = FaultyStore()
    fill(store, jid_index=True)
    return rows_of(store)


def look(rows: Rows) -> list[Finding]:
    return list(check(MemoryStore(rows)))


def places(rows: Rows) -> Tally:
    tally = Tally()
    assert list(check(MemoryStore(rows), tally=tally)) == []
    return tally


# What the engine leaves.


@pytest.mark.parametrize("jid_index", [True, False])
def test_what_the_engine_leaves_is_clean(jid_index: bool) -> None:
    store = FaultyStore()
    fill(store, jid_index=jid_index)
    check_store(store, has_index=jid_index)
    tally = places(rows_of(store))
    assert tally.rows == len(rows_of(store))
    assert all(tally.places.values()), tally
    assert tally.places[Place.LEASED] == 7 + 1 + 3 + 3
    assert tally.removed


def test_after_every_commit_and_every_start_it_is_clean() -> None:
    store = FaultyStore()
    fill(store, jid_index=True)
    for kept in range(store.unsynced + 1):
        after = store.crash(kept)
        assert list(check(after)) == []
        Engine(after, Settings(), lambda: 0.5, NOW).commit()
        assert list(check(after)) == []


def test_a_new_store_and_a_flushed_one_are_clean(rows: Rows) -> None:
    assert look({}) == []
    store = FaultyStore(rows)
    engine = Engine(store, Settings(), lambda: 0.5, NOW)
    engine.flush()
    engine.commit()
    assert list(check(store)) == []


def test_an_index_that_was_off_for_a_while_is_untidy_at_most() -> None:
    store = FaultyStore()
    fill(store, jid_index=True)
    engine = Engine(store, Settings(jid_index=False), lambda: 0.5, NOW + 61_000)
    push(engine, "unseen-01")
    assert engine.ack("plain-000", "worker-1")
    engine.fail("plain-001", "worker-1", REPORT)
    engine.commit()
    assert list(check(store)) == []
    engine = Engine(store, Settings(), lambda: 0.5, NOW + 61_000)
    push(engine, "seen-0001")
    engine.commit()
    found = list(check(store))
    assert {finding.severity for finding in found} == {Severity.UNTIDY}
    assert {finding.law for finding in found} == {Law.NOT_INDEXED, Law.STALE}
    assert any("unseen-01" in finding.what for finding in found)
    assert not any("seen-0001" in finding.what for finding in found)


class Checked(EngineMachine):
    @invariant()
    def is_clean(self) -> None:
        if hasattr(self, "engine"):
            assert list(check(self.store)) == []


class CheckedWithLanes(EngineWithLanesMachine):
    is_clean = Checked.is_clean


class CheckedWithoutIndex(EngineWithoutIndexMachine):
    is_clean = Checked.is_clean


class CheckedThrottled(ThrottledMachine):
    is_clean = Checked.is_clean


SHORT = settings(max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck))
TestRandomRuns = Checked.TestCase
TestRandomRuns.settings = SHORT
TestRandomRunsWithLanes = CheckedWithLanes.TestCase
TestRandomRunsWithLanes.settings = SHORT
TestRandomRunsWithoutIndex = CheckedWithoutIndex.TestCase
TestRandomRunsWithoutIndex.settings = SHORT
TestRandomRunsThrottled = CheckedThrottled.TestCase
TestRandomRunsThrottled.settings = SHORT


# What somebody breaks.


def where(rows: Rows, jid: str) -> bytes:
    """The key under which a job lies."""
    found = [
        key for key, value in rows.items() if key[:1] in (b"R", b"T", b"V") and b'"jid":"%s"' % jid.encode() in value
    ]
    return found[-1]


def seq_of(rows: Rows, key: bytes) -> int:
    return split_value(rows[key])[0].seq or int.from_bytes(key[-8:])


def move(rows: Rows, jid: str, key: bytes) -> None:
    """Put a job elsewhere, with all that belongs to it but the sizes."""
    old = where(rows, jid)
    seq = seq_of(rows, old)
    extras, payload = split_value(rows.pop(old))
    kept = seq if seq != int.from_bytes(key[-8:]) else 0
    rows[key] = join_value(Extras(kept, extras.priority, extras.recoveries, extras.former), payload)
    if keys.where_key(jid, seq) in rows:
        rows[keys.where_key(jid, seq)] = key


def rewrite(rows: Rows, key: bytes, decode: Callable[[bytes], object], **fields: object) -> None:
    record = decode(rows[key])
    for name, value in fields.items():
        assert getattr(record, name) != value
        setattr(record, name, value)
    rows[key] = encode_record(record)


def rename(rows: Rows, name: str, **fields: object) -> None:
    """Change the JSON of a job."""
    key = where(rows, name)
    extras, payload = split_value(rows[key])
    job = decode_stored(payload)
    for field, value in fields.items():
        setattr(job, field, value)
    rows[key] = join_value(extras, encode_job(job))


def group(rows: Rows) -> bytes:
    """A group of leases that counts."""
    return next(key for key, value in rows.items() if key[:1] == b"L" and decode_leases(value)[0].key in rows)


def entry(rows: Rows) -> bytes:
    return next(key for key in rows if key[:1] == b"W")


def grown_old(rows: Rows) -> bytes:
    """The entry of a job that lies in a queue not beyond the watermark."""
    return next(
        key
        for key, place in rows.items()
        if key[:1] == b"W" and place[:1] == b"R" and int.from_bytes(place[-8:]) <= int(rows[b"I"])
    )


def break_format(rows: Rows) -> None:
    rows[b"F"] = b"77"


def lose_format(rows: Rows) -> None:
    del rows[b"F"]


def break_queue_record(rows: Rows) -> None:
    rows[b"Qprio"] = rows[b"Qprio"][:-3]


def break_set_record(rows: Rows) -> None:
    rows[b"Sd"] = b"\xc1"


def break_leases(rows: Rows) -> None:
    # Of an ended group, so that the jobs do not turn up as unleased.
    rows[keys.lease_key(999)] = b"nonsense"


def break_worker(rows: Rows) -> None:
    rows[keys.worker_key("worker-9")] = b""


def break_day(rows: Rows) -> None:
    rows[keys.day_key("2025-11-24")] = b"\x92\x00"


def break_day_key(rows: Rows) -> None:
    rows[keys.day_key("2025-13-24")] = rows[keys.day_key("2025-11-24")]


def break_totals(rows: Rows) -> None:
    rows[b"G"] = b"\x91"


def break_sequence(rows: Rows) -> None:
    rows[b"N"] = b"1e6"


def break_chore(rows: Rows) -> None:
    rows[keys.chore_key(3)] = b"\x90"


def break_mutate(rows: Rows) -> None:
    rows[keys.chore_key(3)] = encode_record(ChoreRecord("mutate", b"{", b"", 1))


def unknown_chore(rows: Rows) -> None:
    rows[keys.chore_key(3)] = encode_record(ChoreRecord("bake", b"", b"", 1))


def break_bucket(rows: Rows) -> None:
    rows[keys.throttle_key("prio")] = b"\x92\x01\x02"


def bucket_of_no_queue(rows: Rows) -> None:
    rows[keys.throttle_key("no queue")] = rows[keys.throttle_key("over")]


def bucket_below_empty(rows: Rows) -> None:
    rewrite(rows, keys.throttle_key("over"), decode_bucket, debt=-1)


def bucket_of_nothing(rows: Rows) -> None:
    rewrite(rows, keys.throttle_key("over"), decode_bucket, per=0)


def unknown_kind(rows: Rows) -> None:
    rows[b"?!"] = b""


def set_aside_earlier(rows: Rows) -> None:
    rows[b"X" + keys.track_key("anything")] = b"\xc1"


def misshapen_job_key(rows: Rows) -> None:
    rows[where(rows, "ready-003") + b"!"] = rows[where(rows, "ready-003")]


def impossible_priority(rows: Rows) -> None:
    key = keys.ready_prefix("prio", decode_queue(rows[b"Qprio"]).generation, 0)
    rows[key + (777).to_bytes(8)] = rows[where(rows, "ready-003")]


def unknown_set(rows: Rows) -> None:
    rows[b"Sx"] = rows[b"Sd"]


def misshapen_entry(rows: Rows) -> None:
    rows[entry(rows) + b"!"] = b""


def torn_json(rows: Rows) -> None:
    key = where(rows, "later-009")
    rows[key] = rows[key][:-1]


def torn_extras(rows: Rows) -> None:
    key = where(rows, "former-01")
    rows[key] = rows[key].replace(b"}\n", b"\n", 1)


def not_utf8(rows: Rows) -> None:
    key = where(rows, "plain-006")
    rows[key] = rows[key].replace("é".encode(), b"\xff\xff")


def no_jid(rows: Rows) -> None:
    rename(rows, "ready-003", jid="")


def no_args(rows: Rows) -> None:
    key = where(rows, "ready-003")
    rows[key] = rows[key].replace(b'"args":[1]', b'"args":null')


def wrong_queue(rows: Rows) -> None:
    rename(rows, "ready-003", queue="f")


def impossible_queue(rows: Rows) -> None:
    rename(rows, "later-009", queue="a b")


def impossible_extras_priority(rows: Rows) -> None:
    key = where(rows, "later-009")
    extras, payload = split_value(rows[key])
    rows[key] = join_value(Extras(extras.seq, 10), payload)


def one_more_dead(rows: Rows) -> None:
    """Count a job among the dead, as what put it there would have."""
    rewrite(rows, b"Sd", decode_set, size=decode_set(rows[b"Sd"]).size + 1)
    key = next(key for key in rows if key.startswith(b"Yd"))
    rewrite(rows, key, decode_group, count=decode_group(rows[key]).count + 1)


def two_places(rows: Rows) -> None:
    old = where(rows, "ready-020")
    rows[keys.timed_key(b"d", NOW, 900)] = join_value(Extras(seq=seq_of(rows, old)), rows[old])
    one_more_dead(rows)


def two_jids(rows: Rows) -> None:
    """Two jobs of one seq, and an entry for each: only the numbers tell."""
    seq = seq_of(rows, where(rows, "later-009"))
    old = where(rows, "dead-0001")
    extras, payload = split_value(rows[old])
    del rows[keys.where_key("dead-0001", seq_of(rows, old))]
    rows[old] = join_value(Extras(seq, extras.priority), payload)
    rows[keys.where_key("dead-0001", seq)] = old


def one_order(rows: Rows) -> None:
    """Two jobs of one order, in two queues."""
    move(rows, "former-01", where(rows, "former-01")[:-8] + where(rows, "plain-007")[-8:])
    push_cursors_back(rows, "lost")


def push_cursors_back(rows: Rows, name: str) -> None:
    key = keys.queue_key(name)
    record = decode_queue(rows[key])
    record.cursors = [(priority, 0) for priority, _ in record.cursors]
    rows[key] = encode_record(record)


def lost_queue(rows: Rows) -> None:
    del rows[b"Qlost"]


def lost_chore(rows: Rows) -> None:
    del rows[next(key for key in rows if key[:1] == b"C")]


def cursor_too_far(rows: Rows) -> None:
    record = decode_queue(rows[b"Qlost"])
    rewrite(rows, b"Qlost", decode_queue, cursors=[(priority, order + 1) for priority, order in record.cursors])


def lost_cursor(rows: Rows) -> None:
    rewrite(rows, b"Qlost", decode_queue, cursors=[])


def set_cursor_too_far(rows: Rows) -> None:
    rewrite(rows, b"Sd", decode_set, cursor=NOW + 86_400_000)


def queue_size(rows: Rows) -> None:
    rewrite(rows, b"Qprio", decode_queue, size=31)


def set_size(rows: Rows) -> None:
    rewrite(rows, b"Ss", decode_set, size=0)


def lost_set(rows: Rows) -> None:
    del rows[b"Sd"]


def sequence_behind(rows: Rows) -> None:
    rows[b"N"] = b"10"


def sequence_lost(rows: Rows) -> None:
    del rows[b"N"]


def lease_of_another(rows: Rows) -> None:
    key = group(rows)
    (lease,) = decode_leases(rows[key])
    lease.seq += 500
    rows[key] = encode_record([lease])


def lease_of_other_features(rows: Rows) -> None:
    key = group(rows)
    leases = decode_leases(rows[key])
    leases[0].uses = ""
    row = leases[0].key
    extras, payload = split_value(rows[row])
    rows[row] = join_value(structs.replace(extras, uses="t"), payload)
    rows[key] = encode_record(leases)


def history_size(rows: Rows) -> None:
    rewrite(rows, keys.HISTORY_SIZE_KEY, decode_history_size, count=7)


def history_entry_lost(rows: Rows) -> None:
    del rows[next(key for key in rows if key[:2] == b"Hj")]


def expiry_of(rows: Rows, kind: bytes) -> bytes:
    return next(key for key in rows if key[:1] == b"E" and key[9:10] == kind)


def endless_lock(rows: Rows) -> None:
    del rows[expiry_of(rows, b"u")]


def endless_track(rows: Rows) -> None:
    del rows[expiry_of(rows, b"t")]


def endless_job(rows: Rows) -> None:
    del rows[expiry_of(rows, b"e")]


def expiry_led_astray(rows: Rows) -> None:
    rows[expiry_of(rows, b"e")] = b"Relsewhere"


def feature_of_nobody(rows: Rows) -> None:
    key = where(rows, "failed-04")
    extras, payload = split_value(rows[key])
    rows[key] = join_value(structs.replace(extras, uses="c"), payload)


def lease_in_wrong_group(rows: Rows) -> None:
    key = group(rows)
    (lease,) = decode_leases(rows[key])
    rewritten = decode_leases(rows[key])[0]
    rewritten.group += 1
    rows[key] = encode_record([lease, rewritten])


def leased_twice(rows: Rows) -> None:
    (lease,) = decode_leases(rows[group(rows)])
    lease.group = 900
    rows[keys.lease_key(900)] = encode_record([lease])


def ended_group(rows: Rows) -> None:
    (lease,) = decode_leases(rows[group(rows)])
    lease.group, lease.key = 900, lease.key[:-8] + (899).to_bytes(8)
    rows[keys.lease_key(900)] = encode_record([lease])


def lost_old_entry(rows: Rows) -> None:
    del rows[grown_old(rows)]


def lost_young_entry(rows: Rows) -> None:
    key = where(rows, "last-0001")
    del rows[keys.where_key("last-0001", seq_of(rows, key))]


def entry_of_another(rows: Rows) -> None:
    rows[keys.where_key("nobody-01", 700)] = where(rows, "plain-007")


def entry_of_nothing(rows: Rows) -> None:
    rows[keys.where_key("nobody-01", 700)] = keys.timed_key(b"d", NOW, 700)


def about(rows: Rows, queue: str, kind: bytes) -> bytes:
    """The first key of a kind about the lanes of a queue that is of this use."""
    found = (key for key in sorted(rows) if key[:1] == b"O" and keys.lanes_parts(key)[::2] == (queue, kind))
    return next(key for key in found if kind != b"l" or decode_lane(rows[key]).turn)


def lose_turn(rows: Rows) -> None:
    del rows[about(rows, "two", b"t")]


def lane_without_turn(rows: Rows) -> None:
    key = about(rows, "two", b"l")
    lane = decode_lane(rows[key])
    prefix = keys.lane_prefix("two", keys.lanes_parts(key)[1], b"t")
    del rows[prefix + lane.turn.to_bytes(8)]
    prefix = keys.lane_prefix("two", keys.lanes_parts(key)[1], b"a")
    del rows[keys.lane_age_key(prefix, lane.oldest, keys.lane_name(key))]
    rewrite(rows, key, decode_lane, turn=0, oldest=0)


def lose_age(rows: Rows) -> None:
    del rows[about(rows, "two", b"a")]


def stray_turn(rows: Rows) -> None:
    key = about(rows, "two", b"t")
    rows[key[:-8] + (999).to_bytes(8)] = rows[key]


def lose_wake(rows: Rows) -> None:
    del rows[next(key for key in rows if key[:1] == b"E" and key[9:10] == b"l")]


def lose_holder(rows: Rows) -> None:
    key = where(rows, "strict-00000")
    seq = seq_of(rows, key)
    group = keys.group_key(b"r", digest_of(decode_stored(split_value(rows.pop(key))[1])))
    if decode_group(rows[group]).count == 1:
        del rows[group]
    else:
        rewrite(rows, group, decode_group, count=decode_group(rows[group]).count - 1)
    rows.pop(keys.where_key("strict-00000", seq), None)
    rewrite(rows, b"Sr", decode_set, size=decode_set(rows[b"Sr"]).size - 1)


def lane_size(rows: Rows) -> None:
    rewrite(rows, about(rows, "two", b"l"), decode_lane, size=77)
    record = decode_queue(rows[b"Qtwo"])
    assert record.lanes is not None
    two = [value for key, value in rows.items() if key[:1] == b"O" and keys.lanes_parts(key)[::2] == ("two", b"l")]
    record.lanes.size = sum(decode_lane(value).size for value in two)
    rows[b"Qtwo"] = encode_record(record)


def lanes_count(rows: Rows) -> None:
    record = decode_queue(rows[b"Qtwo"])
    assert record.lanes is not None
    record.lanes.count = 50
    rows[b"Qtwo"] = encode_record(record)


def lane_cursor(rows: Rows) -> None:
    rewrite(rows, about(rows, "two", b"l"), decode_lane, cursors=[(5, 10**6), (6, 10**6)])


def lose_lane(rows: Rows) -> None:
    key = about(rows, "two", b"l")
    lane = decode_lane(rows.pop(key))
    generation = keys.lanes_parts(key)[1]
    del rows[keys.lane_prefix("two", generation, b"t") + lane.turn.to_bytes(8)]
    del rows[keys.lane_age_key(keys.lane_prefix("two", generation, b"a"), lane.oldest, keys.lane_name(key))]
    record = decode_queue(rows[b"Qtwo"])
    assert record.lanes is not None
    record.lanes.count, record.lanes.size = record.lanes.count - 1, record.lanes.size - lane.size
    rows[b"Qtwo"] = encode_record(record)


def misshapen_lane_key(rows: Rows) -> None:
    rows[about(rows, "two", b"l") + b"!"] = b""


def break_periodic(rows: Rows) -> None:
    rows[keys.periodic_key("report")] = b"\x91\x01"


def periodic_without_a_run(rows: Rows) -> None:
    rewrite(rows, keys.periodic_key("report"), decode_periodic, runs=0)


def periodic_before_the_epoch(rows: Rows) -> None:
    rewrite(rows, keys.periodic_key("report"), decode_periodic, last=-1)


def batch_in(rows: Rows) -> bytes:
    return next(key for key in rows if key[:2] == b"Bb")


def member(rows: Rows, state: bytes) -> bytes:
    return next(key for key, value in rows.items() if key[:2] == b"Bm" and value == state)


def miscounted_batch(rows: Rows) -> None:
    rewrite(rows, batch_in(rows), decode_batch, pending=3)


def member_of_no_job(rows: Rows) -> None:
    rows[member(rows, b"p")[:-1] + b"\xff"] = b"p"
    batch = decode_batch(rows[batch_in(rows)])
    rewrite(rows, batch_in(rows), decode_batch, total=batch.total + 1, pending=batch.pending + 1)


def uncounted_member(rows: Rows) -> None:
    del rows[member(rows, b"p")]
    batch = decode_batch(rows[batch_in(rows)])
    rewrite(rows, batch_in(rows), decode_batch, total=batch.total - 1, pending=1)


def member_that_lives(rows: Rows) -> None:
    rows[member(rows, b"d")] = b"f"
    rewrite(rows, batch_in(rows), decode_batch, dead=0)


def callback_of_none(rows: Rows) -> None:
    rows[next(key for key in rows if key[:2] == b"Bj")[:-1] + b"d"] = b'{"args":[],"jid":"b-0","jobtype":"T"}'


def lost_callback(rows: Rows) -> None:
    del rows[next(key for key in rows if key[:2] == b"Bj")]


def batch_for_ever(rows: Rows) -> None:
    del rows[next(key for key in rows if key[:1] == b"E" and key[9:10] == b"b")]


def unending_batch(rows: Rows) -> None:
    batch_for_ever(rows)
    rewrite(rows, batch_in(rows), decode_batch, until=0)


def stuck_batch(rows: Rows) -> None:
    for _ in range(2):
        rows[member(rows, b"p")] = b"f"
    rewrite(rows, batch_in(rows), decode_batch, committed=True, pending=0, until=0)


def miscounted_open_batches(rows: Rows) -> None:
    rows[keys.OPEN_BATCHES_KEY] = b"%d" % (int(rows[keys.OPEN_BATCHES_KEY]) + 1)


def miscounted_failures(rows: Rows) -> None:
    key = next(key for key in rows if key.startswith(b"Yd"))
    rewrite(rows, key, decode_group, count=decode_group(rows[key]).count + 3)


def break_position(rows: Rows) -> None:
    rows[keys.POSITION_KEY] = b"\xc1"


def misnamed_position(rows: Rows) -> None:
    rows[keys.POSITION_KEY + b"?"] = encode_record(PositionRecord("log-1", 7, 1, 6))


def failures_of_nobody(rows: Rows) -> None:
    rows[keys.group_key(b"r", b"nobody..")] = encode_record(GroupRecord("Boom", "job", "no", 0, NOW, NOW))


def failures_of_a_week(rows: Rows) -> None:
    key = next(key for key in rows if key.startswith(b"Yd"))
    rewrite(rows, key, decode_group, hours=[1] * 25)


def note_between_minutes(rows: Rows) -> None:
    rows[keys.note_key(NOW + 1)] = encode_record(NoteRecord(0, 0, 0, 0, 0, 0, 0))


def note_of_less_than_nothing(rows: Rows) -> None:
    rows[keys.note_key(NOW // 60_000 * 60_000)] = encode_record(NoteRecord(0, 0, -1, 0, 0, 0, 0))


BREAKS: list[tuple[Callable[[Rows], None], Law, str]] = [
    (break_format, Law.FORMAT, "format 77"),
    (lose_format, Law.FORMAT, "no format is written"),
    (break_queue_record, Law.RECORD, "queue prio"),
    (break_set_record, Law.RECORD, "set dead"),
    (break_leases, Law.RECORD, "leases of turn 999"),
    (break_worker, Law.RECORD, "worker worker-9"),
    (break_day, Law.RECORD, "day 2025-11-24"),
    (break_day_key, Law.RECORD, "day 2025-13-24"),
    (break_totals, Law.RECORD, "totals"),
    (break_periodic, Law.RECORD, "periodic job report"),
    (periodic_without_a_run, Law.PERIODIC, "counts 0 runs, the last of them cron-report-run-"),
    (periodic_before_the_epoch, Law.PERIODIC, "negative"),
    (break_sequence, Law.RECORD, "'1e6' is no number"),
    (break_chore, Law.RECORD, "chore 3"),
    (break_mutate, Law.RECORD, "chore 3"),
    (unknown_chore, Law.CHORE, "'bake'"),
    (unknown_kind, Law.KEY, "b'?!'"),
    (break_position, Law.RECORD, "position in the log"),
    (misnamed_position, Law.KEY, "nothing ever looks here"),
    (set_aside_earlier, Law.SET_ASIDE, "could not be read"),
    (misshapen_job_key, Law.KEY, "nothing ever looks here"),
    (impossible_priority, Law.KEY, "nothing ever looks here"),
    (unknown_set, Law.KEY, "b'Sx'"),
    (misshapen_entry, Law.KEY, "nothing ever looks here"),
    (torn_json, Law.JOB, "scheduled, 2096-01-01T00:00:00.000Z, order"),
    (torn_extras, Law.JOB, "queue lost"),
    (not_utf8, Law.JOB, "queue default"),
    (no_jid, Law.JOB, "lacks"),
    (no_args, Law.JOB, "'ready-003' lacks"),
    (wrong_queue, Law.MISPLACED, "job ready-003 belongs to the queue f"),
    (impossible_queue, Law.MISPLACED, "job later-009 can join no queue"),
    (impossible_extras_priority, Law.JOB, "`$.priority`"),
    (two_places, Law.DOUBLE, "ready-020"),
    (two_jids, Law.DOUBLE, "another row has the seq"),
    (one_order, Law.DOUBLE, "another row has the seq"),
    (lost_queue, Law.UNREACHABLE, "queue lost, priority 5"),
    (lost_chore, Law.UNREACHABLE, "queue gone, priority 5"),
    (cursor_too_far, Law.CURSOR, "never handed out"),
    (lost_cursor, Law.CURSOR, "knows no jobs of priority 5"),
    (set_cursor_too_far, Law.CURSOR, "dead, 2025-11-24"),
    (queue_size, Law.SIZE, "the record says 31 jobs, and 30 lie"),
    (set_size, Law.SIZE, "the record says 0 jobs"),
    (lost_set, Law.SIZE, "set dead"),
    (sequence_behind, Law.SEQUENCE, "counts on from 10:"),
    (sequence_lost, Law.SEQUENCE, "counts on from 0:"),
    (lease_of_another, Law.LEASE, "and here lies ready-001"),
    (lease_of_other_features, Law.LEASE, "and its lease says ''"),
    (history_size, Law.SIZE, "are kept"),
    (break_bucket, Law.RECORD, "cannot be read"),
    (bucket_of_no_queue, Law.RECORD, "queue names must match"),
    (bucket_below_empty, Law.BUCKET, "owes -1 parts"),
    (bucket_of_nothing, Law.BUCKET, "tokens of 0 parts"),
    (history_entry_lost, Law.HISTORY, "nothing leads from the jid over-0001"),
    (lose_turn, Law.STUCK, "does not stand in line there"),
    (lane_without_turn, Law.STUCK, "jobs could start, and the lane has no turn"),
    (lose_wake, Law.STUCK, "nothing wakes it"),
    (lose_age, Law.LANE, "does not count for the latency"),
    (stray_turn, Law.LANE, "its lane says otherwise"),
    (lose_holder, Law.LANE, "1 of its lanes are held by jobs that are not there"),
    (lane_size, Law.SIZE, "its record says 77 jobs, and 1 lie in it"),
    (lanes_count, Law.SIZE, "the record says 50 lanes"),
    (lane_cursor, Law.CURSOR, "its lane is read from order 1000000 on"),
    (lose_lane, Law.UNREACHABLE, "nothing is known of its lane"),
    (misshapen_lane_key, Law.KEY, "nothing ever looks here"),
    (endless_lock, Law.EXPIRY, "the lock never ends by time"),
    (endless_track, Law.EXPIRY, "this is never forgotten"),
    (endless_job, Law.EXPIRY, "is not swept when it has expired"),
    (expiry_led_astray, Law.EXPIRY, "is not swept when it has expired"),
    (feature_of_nobody, Law.JOB, "it uses what there is not"),
    (lease_in_wrong_group, Law.LEASE, "cannot be one of this group"),
    (leased_twice, Law.LEASED_TWICE, "queue default"),
    (ended_group, Law.ENDED, "leases of turn 900"),
    (lost_old_entry, Law.NOT_INDEXED, "jid_index was off"),
    (lost_young_entry, Law.NOT_INDEXED, "last-0001: it has no entry, so nobody finds it"),
    (miscounted_batch, Law.BATCH, "the batch counts 4 jobs, 3 pending and 1 dead, and there are 4, 2 and 1"),
    (member_of_no_job, Law.BATCH, "1 jobs are counted in batches and are not there"),
    (uncounted_member, Law.BATCH, "is not counted in its batch"),
    (member_that_lives, Law.BATCH, "job member-03 is counted as 'f' in its batch"),
    (callback_of_none, Law.BATCH, "1 callbacks wait for no batch"),
    (lost_callback, Law.BATCH, "its callback 'c' is not there"),
    (batch_for_ever, Law.BATCH, "nothing will ever forget it"),
    (unending_batch, Law.BATCH, "nothing will ever forget it"),
    (stuck_batch, Law.BATCH, "its callback 'c' is due, and nothing will enqueue it"),
    (miscounted_open_batches, Law.BATCH, "batches are counted as open, and"),
    (miscounted_failures, Law.GROUP, "the groups of failures count"),
    (failures_of_nobody, Law.GROUP, "it counts 0 jobs"),
    (failures_of_a_week, Law.GROUP, "what came in each hour"),
    (note_between_minutes, Law.KEY, "nothing ever looks here"),
    (note_of_less_than_nothing, Law.NOTE, "a figure is negative"),
    (entry_of_another, Law.ASTRAY, "index entry of nobody-01, seq 700"),
    (entry_of_nothing, Law.STALE, "nothing lies at dead, 2025-11-24T16:00:00.000Z, order 700"),
]
HARMLESS = {
    miscounted_open_batches,
    miscounted_failures,
    failures_of_nobody,
    failures_of_a_week,
    note_of_less_than_nothing,
    set_aside_earlier,
    stray_turn,
    unknown_kind,
    ended_group,
    lost_old_entry,
    entry_of_nothing,
}


@pytest.mark.parametrize(("damage", "law", "said"), BREAKS, ids=[case[0].__name__ for case in BREAKS])
def test_each_law_is_found_broken_by_a_finding_of_its_own(
    rows: Rows, damage: Callable[[Rows], None], law: Law, said: str
) -> None:
    before = dict(rows)
    damage(rows)
    assert rows != before
    found = look(rows)
    assert {finding.law for finding in found} == {law}
    assert any(said in f"{finding.key}: {finding.what}" for finding in found), found
    expected = Severity.UNTIDY if damage in HARMLESS else Severity.DAMAGE
    assert {finding.severity for finding in found} == {expected}


def test_every_law_has_a_test() -> None:
    assert {law for _, law, _ in BREAKS} | {Law.UNREADABLE} == set(Law)


def test_without_an_index_nothing_is_said_of_it(rows: Rows) -> None:
    del rows[b"I"]
    for key in [key for key in rows if key[:1] == b"W"][:5]:
        del rows[key]
    entry_of_nothing(rows)
    assert look(rows) == []


def test_a_double_names_the_place_that_the_index_knows(rows: Rows) -> None:
    key = where(rows, "later-009")
    copy = keys.timed_key(b"d", NOW, 900)
    extras, payload = split_value(rows[key])
    rows[copy] = join_value(Extras(seq_of(rows, key), extras.priority), payload)
    one_more_dead(rows)
    found = {finding.law: finding for finding in look(rows)}
    # The copy comes first, and is the one that the index does not know.
    assert found.keys() == {Law.DOUBLE, Law.NOT_INDEXED}
    assert (found[Law.NOT_INDEXED].key, found[Law.DOUBLE].key) == (shown(copy), shown(key))
    assert found[Law.DOUBLE].what.endswith(f"the index says that it lies at {shown(key)}")


@pytest.mark.parametrize("number", [-5, 1 << 70])
def test_numbers_that_fit_no_key_are_damage_and_no_crash(rows: Rows, number: int) -> None:
    key = where(rows, "later-009")
    rows[key] = b'+{"seq":%d}\n' % number + split_value(rows[key])[1]
    assert {finding.severity for finding in look(rows)} >= {Severity.DAMAGE}


# What cannot be read.


class Scratched(MemoryStore):
    """A store with a stretch of keys on a bad block."""

    def __init__(self, rows: Rows, bad: set[bytes]) -> None:
        super().__init__(rows)
        self.bad = bad

    def get(self, key: bytes) -> bytes | None:
        if key in self.bad:
            raise StoreCorrupt("a bad block")
        return super().get(key)

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        rows = super().scan(start, end, limit=limit, limit_bytes=limit_bytes, reverse=reverse)
        if any(key in self.bad for key, _ in rows):
            raise StoreCorrupt("a bad block")
        return rows


@pytest.mark.parametrize("kind", [bytes([letter]) for letter in b"BCDFIJKLNOQRSTVW"])
def test_a_bad_block_is_stepped_over_and_no_more(rows: Rows, kind: bytes) -> None:
    bad = {key for key in rows if key[:1] == kind}
    bad = set(sorted(bad)[len(bad) // 3 : 2 * len(bad) // 3 + 1])
    tally = Tally()
    found = list(check(Scratched(rows, bad), tally=tally))
    assert tally.rows == len(rows) - len(bad)
    stretches = [finding for finding in found if "no row behind this" in finding.what]
    assert [finding.law for finding in stretches] == [Law.UNREADABLE]
    assert "a bad block" in stretches[0].what
    # What follows from the rows that are not known is not held against those that are.
    assert {finding.law for finding in found} == {Law.UNREADABLE}


def test_a_store_that_is_bad_to_its_end(rows: Rows) -> None:
    bad = {key for key in rows if key >= b"R"}
    tally = Tally()
    found = list(check(Scratched(rows, bad), tally=tally))
    assert [(finding.law, "can be read at all" in finding.what) for finding in found] == [(Law.UNREADABLE, True)]
    assert tally.rows == len(rows) - len(bad)


# How much it takes.


class Backlog(MemoryStore):
    """A store of very many jobs in one queue, made up as it is read: it takes no memory itself."""

    def __init__(self, count: int) -> None:
        self.prefix = keys.ready_prefix("q", 1, 5)
        self.payload = b'{"args":[1],"jid":"job-%08d","queue":"q","jobtype":"T"}'
        self.count = count
        cursors = [(5, 0)]
        record = encode_record((1, NOW, False, count, count, 0, 0, cursors))
        super().__init__({b"F": b"1", b"I": b"0", b"N": b"%d" % (count + 2), b"Qq": record})

    def scan(
        self, start: bytes, end: bytes, *, limit: int, limit_bytes: int = 1 << 62, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        found = super().scan(start, end, limit=limit, limit_bytes=limit_bytes, reverse=reverse)
        if found or start > self.prefix + b"\xff":
            return found
        begin = int.from_bytes(start[len(self.prefix) :][:8].ljust(8, b"\0")) + 1 if start > self.prefix else 2
        orders = range(begin, min(begin + limit, self.count + 2))
        return [(self.prefix + order.to_bytes(8), self.payload % order) for order in orders]


def test_memory_follows_the_work_in_hand() -> None:
    peaks = []
    for count in (10_000, 100_000):
        tally = Tally()
        tracemalloc.start()
        assert list(check(Backlog(count), tally=tally)) == []
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert tally.places[Place.READY] == count
    # A slice is some hundred kilobytes; a list of the jobs, or of their numbers, would be megabytes.
    assert peaks[1] < 1_000_000
    assert peaks[1] < 1.5 * peaks[0]


def test_progress_is_told_after_each_slice() -> None:
    seen: list[int] = []
    list(check(Backlog(3500), on_slice=lambda tally: seen.append(tally.rows)))
    assert seen == [4, 1004, 2004, 3004, 3504]
