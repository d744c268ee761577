"""What must be true of every store between two commits, whatever happened before.

`check_store` reads all rows and knows nothing of the engine's memory; `check_memory` holds the memory against them.
"""

from collections import Counter

from lineshaft.engine import keys
from lineshaft.engine.batch import Slot, Standing, decode_batch
from lineshaft.engine.engine import Engine
from lineshaft.engine.records import (
    NO_EXTRAS,
    Extras,
    HistorySizeRecord,
    Lease,
    decode_bucket,
    decode_history,
    decode_history_size,
    decode_leases,
    decode_lock,
    decode_periodic,
    decode_queue,
    decode_set,
    decode_track,
    split_value,
)
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
        if key[:1] not in {b"R", b"T"}:
            continue
        extras, payload = split_value(value)
        order = keys.ready_order(key) if key[:1] == b"R" else keys.timed_order(key)
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
            cursors = dict(queues[name].cursors)
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
        assert key[:1] == b"R", f"{key!r} has no index entry"
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
        swept = places[seq][:1] == b"R" and keys.ready_parts(places[seq])[:2] not in queues
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
    assert {key for key in rows if key[:1] == b"E"} == expected


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


def check_memory(engine: Engine, *, is_steady: bool = True) -> None:
    """The windows hold exactly the unleased jobs before their tails, in order. Call it between turns.

    `is_steady` says that the clock was never set back.
    """
    state = engine.state
    assert state.turn.is_empty()
    for queue in state.queues:
        for window in queue.windows:
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
