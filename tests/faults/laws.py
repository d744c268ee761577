"""The laws of the disk: what lies there when a server has died is what its clients were told.

| law | after a kill | after a power cut |
| --- | --- | --- |
| every invariant of `invariants`, and of `lineshaft check`, holds; no job is there twice | yes | yes |
| a push that was answered is there, unless something was sent that may have ended it | yes | yes |
| a batch that was committed is known | yes | yes |
| what a CANCEL, MUTATE or QUEUE REMOVE took away is not there; what a MUTATE moved is where it was put | yes | yes |
| a job that was cancelled while it was held is held, and flagged | yes | yes |
| a pause of a queue, or of a periodic job, that was answered is in force, and so is its end | yes | yes |
| no more jobs of a throttled queue or a lane are leased than may be; of a strict lane only the first | yes | yes |
| a worker has none of the jobs that it did not name when it said what it holds | yes | yes |
| no fewer runs of a periodic job are counted than were seen | yes | yes |
| an ACK that was answered is not undone, and its job is in the history, where there is one | yes | |
| a job whose FETCH was answered is leased | yes | |
| no more jobs of the throttled queue began in a time than its rate lets, over kills too | yes | |
| a job that has expired is soon gone | yes | |
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from faults.features import LANE, PER_SECONDS, RATE, THROTTLED
from faults.ledger import Ledger
from invariants import check_store, leases_in, rows_of
from lineshaft.engine import keys
from lineshaft.engine.check.check import check
from lineshaft.engine.records import Lease, decode_history, decode_periodic, decode_queue
from lineshaft.engine.value import split_value
from lineshaft.job import decode_stored
from lineshaft.store.rocks import RocksStore

__all__ = ["CASES", "check_disk"]

#: What a long loop must have met, or its laws say little.
CASES = {
    "cancel",
    "cancel_held",
    "mutate",
    "remove",
    "pause",
    "halt",
    "holding",
    "throttle full",
    "bucket empty",
    "lane of lanes full",
    "lane of strict full",
    "strict lane in order",
    "fetched from paused",
    "runs of often",
    "runs of halted",
    "in the history",
    "expired and gone",
}

#: What is finished is kept for longer than this (`features.HISTORY`).
SURELY_KEPT_SECONDS = 15
#: A job that has expired may be there at the end of so many lives of the server, one after the other: some are short.
LIVES_TO_SWEEP = 3

SETS = {b"s": "scheduled", b"r": "retries", b"d": "dead"}


@dataclass
class Found:
    """What lies on disk."""

    rows: dict[bytes, bytes]
    leases: dict[int, Lease]
    #: By jid: `ready`, `leased`, `flagged`, `scheduled`, `retries`, `dead`, or `swept` (of a queue that was removed).
    jobs: dict[str, str]
    #: By queue and lane: the orders of all jobs there, those that are leased too, and those that come back to it.
    lanes: dict[tuple[str, bytes], list[int]]


def check_disk(data: Path, ledger: Ledger, *, is_power_cut: bool = False) -> None:
    """Hold what lies on disk against what the clients were told, when the server has just died."""
    now, wall = time.monotonic(), time.time()
    store = RocksStore(data)
    try:
        check_store(store)
        # A start deletes the records of leases whose jobs have gone; until then that is only untidy.
        found = [finding for finding in check(store) if "the next start deletes it" not in str(finding)]
        assert not found, found[:3]
        disk = _read(rows_of(store))
    finally:
        store.close()
    _hold_pushes(ledger, disk)
    _hold_places(ledger, disk)
    _hold_pauses(ledger, disk)
    _hold_limits(ledger, disk)
    _hold_named(ledger, disk)
    _hold_periodic(ledger, disk, is_power_cut=is_power_cut)
    if not is_power_cut:
        _hold_work(ledger, disk, now)
        _hold_rate(ledger)
        _hold_expired(ledger, disk, wall)
    assert not ledger.faults, ledger.faults[:3]


def _read(rows: dict[bytes, bytes]) -> Found:
    leases = leases_in(rows)
    leased = {lease.key: "flagged" if "c" in lease.uses else "leased" for lease in leases.values()}
    current = {(key[1:].decode(), decode_queue(value).generation) for key, value in rows.items() if key[:1] == b"Q"}
    jobs: dict[str, str] = {}
    lanes: defaultdict[tuple[str, bytes], list[int]] = defaultdict(list)
    for key, value in rows.items():
        if key[:1] not in {b"R", b"T", b"V"}:
            continue
        extras, payload = split_value(value)
        job = decode_stored(payload)
        jid = job.jid
        assert jid not in jobs, f"{jid} is there twice"
        if key[:1] == b"T":
            jobs[jid] = SETS[key[1:2]]
            if extras.place:
                lanes[job.queue, extras.lane.encode()].append(extras.place)
            continue
        queue, generation, _ = keys.ready_parts(key)
        jobs[jid] = leased.get(key) or ("ready" if (queue, generation) in current else "swept")
        if (lane := keys.ready_lane(key)) is not None:
            lanes[queue, lane].append(keys.ready_order(key))
    return Found(rows, leases, jobs, lanes)


def _hold_pushes(ledger: Ledger, disk: Found) -> None:
    missing = ledger.pushed - ledger.let_go - disk.jobs.keys()
    assert not missing, f"acknowledged pushes are missing: {sorted(missing)[:5]}"
    batches = {key[2:].decode() for key in disk.rows if key[:2] == b"Bb"}
    assert ledger.committed <= batches, "a committed batch is missing"


def _hold_places(ledger: Ledger, disk: Found) -> None:
    for jid, place in ledger.places.items():
        found = disk.jobs.get(jid, "gone")
        if found == "swept":
            found = "gone"
        assert place in {None, found}, f"{jid} was put where it is {place}, and is {found}"


def _hold_pauses(ledger: Ledger, disk: Found) -> None:
    if ledger.is_paused is not None:
        assert decode_queue(disk.rows[keys.queue_key("paused")]).paused is ledger.is_paused, "a pause was undone"
    if ledger.is_halted is not None:
        found = decode_periodic(disk.rows[keys.periodic_key("halted")])
        assert found.paused is ledger.is_halted, "a pause of a periodic job was undone"


def _hold_limits(ledger: Ledger, disk: Found) -> None:
    """What is leased, whatever was answered of it."""
    throttled = [lease.jid for lease in disk.leases.values() if lease.queue == "narrow"]
    assert len(throttled) <= THROTTLED, f"{throttled} of the throttled queue run at once"
    ledger.seen["throttle full"] += len(throttled) == THROTTLED
    running: defaultdict[tuple[str, bytes], list[Lease]] = defaultdict(list)
    for lease in disk.leases.values():
        if (lane := keys.ready_lane(lease.key)) is not None:
            running[keys.ready_parts(lease.key)[0], lane].append(lease)
    for (queue, lane), leases in running.items():
        most = {"lanes": LANE, "strict": 1}.get(queue, 1 << 30)
        jids = [lease.jid for lease in leases]
        assert len(jids) <= most, f"{jids} of lane {lane!r} of {queue} run at once"
        ledger.seen[f"lane of {queue} full"] += len(jids) == most
        if queue == "strict":
            first, orders = keys.ready_order(leases[0].key), disk.lanes[queue, lane]
            assert first == min(orders), f"{jids} runs, and is not the first of its strict lane"
            ledger.seen["strict lane in order"] += len(orders) > 1


def _hold_named(ledger: Ledger, disk: Found) -> None:
    """A worker that has said what it holds has nothing else from before."""
    for lease in disk.leases.values():
        said, jids = ledger.named.get(lease.holder, (0, frozenset()))
        assert lease.since >= said or lease.jid in jids, (
            f"{lease.jid} was not named by {lease.holder}, and is its still"
        )


def _hold_periodic(ledger: Ledger, disk: Found, *, is_power_cut: bool) -> None:
    jids = {*disk.jobs} if is_power_cut else {*disk.jobs, *ledger.fetched}
    for name in ("often", "halted"):
        value = disk.rows.get(keys.periodic_key(name))
        if value is None:
            continue
        record, runs = decode_periodic(value), {jid for jid in jids if jid.startswith(f"cron-{name}-")}
        assert record.runs >= len(runs), f"{len(runs)} runs of {name} were seen, and {record.runs} are counted"
        ledger.seen[f"runs of {name}"] = len(runs)


def _hold_work(ledger: Ledger, disk: Found, now: float) -> None:
    back = ledger.acked & disk.jobs.keys()
    assert not back, f"jobs came back whose ACK was answered: {sorted(back)[:5]}"
    leased = {lease.jid for lease in disk.leases.values()}
    lost = ledger.fetched - ledger.let_go - leased
    assert not lost, f"leases are missing: {sorted(lost)[:5]}"
    if ledger.finished is not None:
        past = {decode_history(value).jid for key, value in disk.rows.items() if key[:2] == b"Ht"}
        kept = {jid for jid, sent in ledger.finished.items() if now - sent < SURELY_KEPT_SECONDS}
        assert kept <= past, f"finished jobs are not in the history: {sorted(kept - past)[:5]}"
        ledger.seen["in the history"] += len(kept)


def _hold_rate(ledger: Ledger) -> None:
    """In no time, however it is cut, did more begin than the full bucket and what came into it meanwhile."""
    recent = sorted(ledger.starts[-4 * RATE :])
    for number, (began, _) in enumerate(recent):
        # All of them were asked for since, and had come by then.
        later = sorted(came for _, came in recent[number:])
        for count, came in enumerate(later, start=1):
            most = RATE + RATE * (came - began) / PER_SECONDS + 1
            assert count <= most, f"{count} throttled jobs began in {came - began:.2f} s"
            ledger.seen["bucket empty"] += count + 3 > most


def _hold_expired(ledger: Ledger, disk: Found, wall: float) -> None:
    """One that was held may come back in a server's last moment; the next ones sweep it."""
    old = {jid for jid, at in ledger.expires.items() if at < wall}
    there = {jid for jid in old if disk.jobs.get(jid, "gone") in {"ready", "scheduled", "retries"}}
    ledger.overdue = Counter({jid: ledger.overdue[jid] + 1 for jid in there})
    late = [jid for jid, lives in ledger.overdue.items() if lives > LIVES_TO_SWEEP]
    assert not late, f"jobs have expired, and are there: {late[:5]}"
    ledger.seen["expired and gone"] += len(old - disk.jobs.keys())
