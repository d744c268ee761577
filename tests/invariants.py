"""What must be true of every store between two commits, whatever happened before.

`check_store` reads all rows and knows nothing of the engine's memory; `check_memory` holds the memory against them.
"""

from collections import Counter

from lineshaft.engine import keys
from lineshaft.engine.engine import Engine
from lineshaft.engine.features.batch import Slot, Standing, decode_batch
from lineshaft.engine.lanes.lane import Lane
from lineshaft.engine.lanes.lanes import Lanes
from lineshaft.engine.records import (
    HistorySizeRecord,
    LaneRecord,
    Lease,
    QueueRecord,
    decode_bucket,
    decode_chore,
    decode_history,
    decode_history_size,
    decode_lane,
    decode_leases,
    decode_lock,
    decode_periodic,
    decode_queue,
    decode_set,
    decode_track,
)
from lineshaft.engine.value import NO_EXTRAS, Extras, split_value
from lineshaft.job import decode_stored
from lineshaft.store.port import Store

EVERYTHING = (b"", b"\xff")


def rows_of(store: Store) -> dict[bytes, bytes]:
    return dict(store.scan(*EVERYTHING, limit=1 << 30))


def check_store(store: Store, *, has_index: bool = True) -> None:
    """Every job is in one place, and everything that tells of jobs tells the same."""
    rows = rows_of(store)
    queues = {key[1:].decode(): decode_queue(value) for key, value in rows.items() if key[:1] == b"Q"}
    leases = leases_in(rows)
    places: dict[int, bytes] = {}
    jids: dict[int, str] = {}
    left: set[int] = set()
    kept: dict[int, Extras] = {}
    ready: Counter[str] = Counter()
    timed: Counter[bytes] = Counter()
    for key, value in rows.items():
        if key[:1] not in {b"R", b"V", b"T"}:
            continue
        extras, payload = split_value(value)
        order = keys.timed_order(key) if key[:1] == b"T" else keys.ready_order(key)
        seq = extras.seq or order
        assert seq not in places, f"job {seq} is in two places: {places[seq]!r} and {key!r}"
        places[seq], jids[seq], kept[seq] = key, decode_stored(payload).jid, extras
        if key[:1] == b"T":
            timed[key[1:2]] += 1
            continue
        name, generation, priority = keys.ready_parts(key)
        if name not in queues or queues[name].generation != generation:
            # What a REMOVE left, until it is swept; a restart does not look there.
            if seq not in leases:
                left.add(seq)
            continue
        if seq not in leases:
            ready[name] += 1
            lane = keys.ready_lane(key)
            cursors = dict(queues[name].cursors if lane is None else lane_of(rows, key).cursors)
            assert cursors[priority] <= order, f"{name}: an unleased job stands before the cursor"
    for seq, lease in leases.items():
        assert places.get(seq) == lease.key, f"lease {seq} leads to {lease.key!r}, the job is at {places.get(seq)!r}"
        assert jids[seq] == lease.jid
    for name, record in queues.items():
        assert record.size == ready[name], f"{name}: size {record.size}, but {ready[name]} jobs"
    for code in (b"s", b"r", b"d"):
        size = decode_set(rows[b"S" + code]).size if b"S" + code in rows else 0
        assert size == timed[code], f"set {code!r}: size {size}, but {timed[code]} jobs"
    check_features(rows, places, kept, leases)
    check_lanes(rows, queues, kept, places, leases)
    for key, value in rows.items():
        if key[:1] == b"M":
            bucket = decode_bucket(value)
            assert bucket.debt >= 0 < bucket.per, f"{key!r} cannot be"
    index = {keys.where_seq(key): value for key, value in rows.items() if key[:1] == b"W"}
    if not has_index:
        assert not index
        return
    watermark = int(rows.get(keys.INDEX_KEY, b"0"))
    assert index.items() <= places.items(), "an index entry leads astray"
    for seq in places.keys() - index.keys() - left:
        key = places[seq]
        assert key[:1] == b"R", f"{key!r} has no index entry"  # those in a lane always have one
        assert keys.ready_order(key) == seq > watermark, f"{key!r} has no index entry and is not young"
    for seq in index:
        assert keys.where_key(jids[seq], seq) in rows


def check_features(
    rows: dict[bytes, bytes], places: dict[int, bytes], kept: dict[int, Extras], leases: dict[int, Lease]
) -> None:
    """What features keep leads to a job that wants it, and what is to end by time has its entry, and no other has."""
    expected: set[bytes] = set()
    for seq, lease in leases.items():
        assert lease.uses.replace("c", "") == kept[seq].uses, f"the lease of {seq} says that it uses {lease.uses!r}"
    ends = {key: value for key, value in rows.items() if key[:1] == b"E" and key[9:10] == b"e"}
    queues = {(key[1:].decode(), decode_queue(value).generation) for key, value in rows.items() if key[:1] == b"Q"}
    for seq, extras in kept.items():
        assert "c" not in extras.uses, f"job {seq} itself is cancelled, not its lease"
        key = keys.expiry_key(extras.expires, b"e", seq.to_bytes(8))
        swept = keys.is_ready(places[seq]) and keys.ready_parts(places[seq])[:2] not in queues
        if not extras.expires or places[seq][:2] == b"Td":
            assert key not in ends
        elif key in ends:
            assert ends[key] == places[seq], (
                f"the expiry of {seq} leads to {ends[key]!r}, the job is at {places[seq]!r}"
            )
            expected.add(key)
        else:
            assert seq in leases or swept, f"job {seq} has no expiry"
    past = {key: decode_history(value) for key, value in rows.items() if key[:2] == b"Ht"}
    said = decode_history_size(rows[b"Hn"]) if b"Hn" in rows else HistorySizeRecord(0, 0, 0)
    assert (said.count, said.bytes) == (len(past), sum(len(rows[key]) for key in past))
    assert {key for key in rows if key[:2] == b"Hj"} == {keys.history_jid_key(past[key].jid, key) for key in past}
    assert all(keys.history_at(key) >= said.oldest for key in past)
    for key, value in rows.items():
        if key[:1] == b"J":
            run = decode_periodic(value)
            assert (run.runs > 0) == bool(run.last_jid) == (run.ran_at > 0)
        if key[:1] == b"U":
            lock = decode_lock(value)
            assert kept[lock.seq].lock == key[1:].hex(), f"lock {key!r} is that of no live job"
            assert places[lock.seq][:2] != b"Td", f"job {lock.seq} is dead and holds a lock"
            assert not ("s" in kept[lock.seq].uses and lock.seq in leases), f"job {lock.seq} has started with its lock"
            expected.add(keys.expiry_key(lock.until, b"u", key[1:]))
        elif key[:1] == b"P":
            track = decode_track(value)
            if track.until:
                expected.add(keys.expiry_key(track.until, b"t", key[1:]))
            else:
                assert "t" in kept[track.seq].uses, f"track {key!r} is that of no live job"
    expected |= check_batches(rows, places, kept)
    assert {key for key in rows if key[:1] == b"E" and key[9:10] != b"l"} == expected


def lane_of(rows: dict[bytes, bytes], key: bytes) -> LaneRecord:
    """The record of the lane in which the job with this key stands."""
    name, generation, _ = keys.ready_parts(key)
    return decode_lane(rows[keys.lane_key(keys.lane_prefix(name, generation, b"l"), keys.ready_lane(key) or b"")])


def check_lanes(
    rows: dict[bytes, bytes],
    queues: dict[str, QueueRecord],
    kept: dict[int, Extras],
    places: dict[int, bytes],
    leases: dict[int, Lease],
) -> None:
    """Each lane that may start a job has a turn, and no other; what is kept about lanes tells the same as the jobs."""
    changing = {keys.lanes_parts(decode_chore(value).cursor)[0] for key, value in rows.items() if is_relane(key, value)}
    found = {b"l": 0, b"t": 0, b"a": 0}
    for key in rows:
        if key[:1] == b"O":
            name, generation, kind = keys.lanes_parts(key)
            assert queues[name].generation == generation, f"{key!r} is of a queue that is gone"
            assert queues[name].lanes is not None
            found[kind] += 1
    expected = dict.fromkeys(found, 0)
    waits: set[bytes] = set()
    for name, queue in queues.items():
        if queue.lanes is None:
            continue
        prefixes = {kind: keys.lane_prefix(name, queue.generation, kind) for kind in found}
        records = {
            keys.lane_name(key): decode_lane(value) for key, value in rows.items() if key.startswith(prefixes[b"l"])
        }
        start, end = keys.laned_range(name, queue.generation)
        jobs = {seq: key for seq, key in places.items() if start <= key < end}
        running = Counter(keys.ready_lane(key) for seq, key in jobs.items() if seq in leases)
        orders: dict[bytes | None, list[int]] = {}
        for seq, key in jobs.items():
            if seq not in leases:
                orders.setdefault(keys.ready_lane(key), []).append(keys.ready_order(key))
        assert orders.keys() | running.keys() <= records.keys()
        assert queue.lanes.count == len(records)
        assert queue.lanes.size == sum(map(len, orders.values()))
        expected[b"l"] += len(records)
        rules = queue.lanes.rules
        for lane, record in records.items():
            where = f"lane {lane!r} of {name}"
            waiting = orders.get(lane, [])
            assert record.size == len(waiting), f"{where}: size {record.size}, but {len(waiting)} jobs"
            assert record.size or running[lane] or record.held or record.wakes, f"{where} is empty"
            most = 1 if rules.strict else rules.concurrency or 1 << 62
            may = bool(waiting) and running[lane] < most and not (rules.strict and record.held)
            if name not in changing:
                assert record.turn == 0 or may, f"{where} has a turn and may not start a job"
                assert not may or record.turn or record.wakes, f"{where} is stuck"
                assert rules.rate is not None or not record.wakes, f"{where} waits for a token, and there are none"
                assert record.held == b"" or record.held in rows, f"{where} is held by a job that is gone"
            if record.held in rows:
                extras = kept[next(seq for seq, key in places.items() if key == record.held)]
                assert extras.lane.encode() == lane
            if record.turn:
                expected[b"t"] += 1
                assert queue.lanes.first <= record.turn < queue.lanes.next
                assert rows[prefixes[b"t"] + record.turn.to_bytes(8)] == lane
                expected[b"a"] += 1
                assert keys.lane_age_key(prefixes[b"a"], record.oldest, lane) in rows
                assert record.oldest <= min(waiting)
            else:
                assert not record.oldest
            if record.wakes:
                waits.add(keys.expiry_key(record.wakes, b"l", keys.lane_key(prefixes[b"l"], lane)))
    assert found == expected
    current = {(name, queue.generation) for name, queue in queues.items()}
    ends = {key for key in rows if key[:1] == b"E" and key[9:10] == b"l"}
    assert {key for key in ends if keys.lanes_parts(keys.expiry_parts(key)[2])[:2] in current} == waits


def is_relane(key: bytes, value: bytes) -> bool:
    """Whether this is a chore that judges lanes anew."""
    return key[:1] == b"C" and decode_chore(value).kind == "lanes"


def check_batches(rows: dict[bytes, bytes], places: dict[int, bytes], kept: dict[int, Extras]) -> set[bytes]:
    """Counts are those of the states beside the jobs, and of the children; returns the expiries of batches."""
    batches = {key[2:].decode(): decode_batch(value) for key, value in rows.items() if key[:2] == b"Bb"}
    states: dict[str, Counter[bytes]] = {}
    for key, value in rows.items():
        if key[:2] == b"Bm":
            bid, seq = key[2:-8].decode(), int.from_bytes(key[-8:])
            assert kept[seq].bid == bid, f"job {seq} is no member of {bid}"
            assert "b" in kept[seq].uses
            assert (value == b"d") is (places[seq][:2] == b"Td")
            states.setdefault(bid, Counter())[value] += 1
    slots: dict[tuple[str, str], Slot] = {}
    for seq, extras in kept.items():
        if "b" in extras.uses and extras.bid in batches:
            assert keys.member_key(extras.bid, seq) in rows, f"job {seq} is not counted"
        elif "k" in extras.uses and extras.bid in batches:
            assert (extras.bid, extras.role) not in slots, f"{extras.role} of {extras.bid} is enqueued twice"
            slots[extras.bid, extras.role] = Slot.DEAD if places[seq][:2] == b"Td" else Slot.ENQUEUED
    waiting = {(key[2:-1].decode(), key[-1:].decode()) for key in rows if key[:2] == b"Bj"}
    children = Counter(batch.parent for batch in batches.values())
    for bid, batch in batches.items():
        found = states.get(bid, Counter())
        assert batch.pending == found[b"p"], f"{bid}: {batch.pending} pending, but {found}"
        assert batch.dead == found[b"d"], f"{bid}: {batch.dead} dead, but {found}"
        assert batch.total == batch.succeeded + batch.lost + found.total(), f"{bid}: {batch}, but {found}"
        assert batch.children >= max(children[bid], batch.over)
        assert batch.over >= batch.hopeless + batch.succeeded_children
        assert batch.next_due() is None, f"{bid} is stuck: {batch}"
        assert (batch.told is Standing.OPEN) is (batch.standing() is Standing.OPEN), f"{bid}: {batch}"
        for role in "csd":
            slot = batch.slot(role)
            assert ((bid, role) in waiting) is (slot is Slot.WAITING)
            assert slots.get((bid, role)) == (slot if slot in {Slot.ENQUEUED, Slot.DEAD} else None)
        assert bool(batch.until) is (batch.is_finished() or not batch.committed)
    assert {bid for bid, _ in waiting} <= batches.keys()
    unfinished = sum(not batch.is_finished() for batch in batches.values())
    assert int(rows.get(b"Bn", b"0")) == unfinished, f"{rows.get(b'Bn')!r} batches are counted as open: {unfinished}"
    return {keys.expiry_key(batch.until, b"b", bid.encode()) for bid, batch in batches.items() if batch.until}


def leases_in(rows: dict[bytes, bytes]) -> dict[int, Lease]:
    """The leases that count, by seq: those whose job lies where they say."""
    found: dict[int, Lease] = {}
    for key, value in rows.items():
        if key[:1] == b"L":
            for lease in decode_leases(value):
                if lease.key in rows:
                    assert lease.seq not in found, f"job {lease.seq} is leased twice"
                    found[lease.seq] = lease
    return found


def check_lane_memory(lanes: Lanes) -> list[Lane]:
    """What is in memory of a queue's lanes is what is on disk; returns those lanes."""
    turn, queue = lanes.state.turn, lanes.queue
    assert lanes in lanes.state.leases.watchers[queue.name]
    assert not lanes.dirty
    running = Counter(
        keys.ready_lane(lease.key) for lease in lanes.state.leases.by_seq.values() if lease.key.startswith(lanes.prefix)
    )
    assert running == {name: lane.running for name, lane in lanes.running.items()}
    for name, lane in [*lanes.running.items(), *lanes.idle.items()]:
        value = turn.get(keys.lane_key(lanes.lane_prefix, name))
        assert lane.stored == (value is not None)
        if value is not None:
            record = decode_lane(value)
            said = (record.size, record.turn, record.oldest, record.held, record.wakes)
            assert said == (lane.size, lane.turn, lane.oldest, lane.held, lane.wakes)
    turns = lanes.turns
    start, end = keys.prefix_range(turns.prefix)
    stored = {int.from_bytes(key[-8:]): lane for key, lane in turn.scan(start, end, limit=1 << 30)}
    assert dict(turns.entries) == {n: lane for n, lane in stored.items() if not turns.more or n < turns.tail}
    assert list(turns.entries) == sorted(turns.entries)
    start, end = keys.prefix_range(lanes.ages.prefix)
    assert all(key >= lanes.ages.cursor for key, _ in turn.scan(start, end, limit=1 << 30))
    return [*lanes.running.values(), *lanes.idle.values()]


def check_memory(engine: Engine, *, is_steady: bool = True) -> None:
    """The windows hold exactly the unleased jobs before their tails, in order. Call it between turns.

    `is_steady` says that the clock was never set back.
    """
    state = engine.state
    assert state.turn.is_empty()
    for queue in state.queues:
        cached = [] if queue.lanes is None else check_lane_memory(queue.lanes)
        for window in [window for line in (queue, *cached) for window in line.windows]:
            start, end = keys.prefix_range(window.prefix)
            stored = state.turn.scan(start, end, limit=1 << 30)
            seqs = [split_value(value)[0].seq or keys.ready_order(key) for key, value in stored]
            unleased = [
                keys.ready_order(key) for (key, _), seq in zip(stored, seqs, strict=True) if not state.leases.holds(seq)
            ]
            held = [entry.order for entry in window.entries]
            expected = [order for order in unleased if not window.more or order < window.tail]
            assert held == expected, f"{queue.name}/{window.priority}: window {held}, should be {expected}"
    assert all(
        lease.until >= state.leases.next_expiry or state.now >= state.leases.next_expiry
        for lease in state.leases.by_seq.values()
    )
    rows = rows_of(state.turn.store)
    expiries = [key for key in rows if key[:1] == b"E"]
    assert all(keys.expiry_at(key) >= state.expiries.next_at for key in expiries)
    assert all(key >= state.expiries.cursor for key in expiries)
    for queue in state.queues:
        for entry in (entry for window in queue.windows for entry in window.entries):
            assert entry.key[:1] == b"R"
            assert (entry.special or NO_EXTRAS).uses == split_value(rows[entry.key])[0].uses
    assert leases_in(rows) == state.leases.by_seq
    flagged = {lease.seq: (lease.holder, lease.jid) for lease in state.leases.by_seq.values() if "c" in lease.uses}
    assert state.leases.extras.keys() <= {seq for seq, lease in state.leases.by_seq.items() if lease.uses}
    for seq, extras in state.leases.extras.items():
        stored, _ = split_value(rows[state.leases.by_seq[seq].key])
        assert stored == extras, f"job {seq}: memory has {extras}, its row {stored}"
    told = state.cancels.by_holder.items()
    assert {seq: (holder, jid) for holder, jids in told for seq, jid in jids.items()} == flagged
    check_gates(engine, rows, is_steady=is_steady)
    groups = {int.from_bytes(key[1:]) for key in rows if key[:1] == b"L"}
    assert groups == state.leases.groups.keys(), "a group outlived its leases"
    if state.index.enabled:
        indexed = {keys.where_seq(key) for key in rows if key[:1] == b"W"}
        ready = {key for key in rows if key[:1] == b"R" and not split_value(rows[key])[0].seq}
        young = {key for key in ready if keys.ready_order(key) not in indexed}
        # What a removed queue left behind is in no place; a restart does not look there.
        generations = {(queue.name, queue.generation) for queue in state.queues}
        current = {key for key in young if keys.ready_parts(key)[:2] in generations}
        assert current <= set(state.index.young.values()) <= young


def check_gates(engine: Engine, rows: dict[bytes, bytes], *, is_steady: bool) -> None:
    """Each throttled queue has a gate that knows its leases; what is written of its bucket is what it owed then."""
    state = engine.state
    throttles, limits = state.throttles, state.settings.throttles
    assert {name: gate.limits for name, gate in throttles.gates.items()} == limits
    assert all(state.leases.watchers[name].count(gate) == 1 for name, gate in throttles.gates.items())
    assert {key[1:].decode() for key in rows if key[:1] == b"M"} == throttles.written
    for queue in state.queues:
        assert queue.gate is throttles.gates.get(queue.name)
    for name, gate in throttles.gates.items():
        leases = {seq: lease.holder for seq, lease in state.leases.by_seq.items() if lease.queue == name}
        held = {seq: holder for seq, (holder, _) in gate.slots.items()}
        assert held == leases if gate.limits.timeout is None else held.items() <= leases.items()
        assert gate.by_holder == Counter(held.values())
        ends = [end for _, end in gate.slots.values()]
        assert ends == sorted(ends)
        bucket = gate.bucket
        assert (bucket is None) == (gate.limits.rate is None)
        if bucket is not None and name in throttles.written:
            row = decode_bucket(rows[keys.throttle_key(name)])
            owed = max(row.debt - (bucket.at - row.at) * bucket.rate, 0)
            assert row.per == bucket.per
            # A clock that was set back lets time come twice, and tokens with it.
            assert (row.at <= bucket.at and bucket.debt == owed) if is_steady else bucket.debt <= owed
