"""A mixed load on a real server, and what its clients were told: jobs of every kind, batches, workers of every habit.

After a crash the server's files are held against it (`check_disk`): a push that was answered is there, unless something
was sent that may have ended it; no job is in two places; every law of `invariants` and of `lineshaft check` holds. What
was answered and is not synced (a lease, an ACK) is asked for after a kill only.
"""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from invariants import check_store, leases_in, rows_of
from lineshaft.engine.check.check import check
from lineshaft.engine.value import split_value
from lineshaft.job import decode_stored
from lineshaft.store.rocks import RocksStore
from wire_client import WireClient, WireError

__all__ = ["Ledger", "Load", "check_disk"]

PRODUCERS = WORKERS = 3
QUEUES = ("q0", "q1", "q2")
#: A loop of a thousand kills is longer than the half hour that a job is reserved for by default.
DAY = 86_400


@dataclass
class Ledger:
    """What the clients were told, over all lives of the server."""

    pushed: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    #: What was sent that lets go of a job, by jid.
    let_go: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)
    #: What an ACK with a durable reply behind it has told of.
    acked_for_good: set[str] = field(default_factory=set)
    #: Batches that were committed, and the most that was shown of each.
    committed: set[str] = field(default_factory=set)
    totals: dict[str, int] = field(default_factory=dict)
    refused: int = 0


class Load:
    """Clients that run until they are stopped or the server is gone; `life` names their jobs."""

    def __init__(self, port: int, life: int, ledger: Ledger) -> None:
        self.port, self.ledger = port, ledger
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        targets = [(self._produce, f"r{life}p{n}") for n in range(PRODUCERS)]
        targets += [(self._work, f"r{life}w{n}") for n in range(WORKERS)]
        self.threads = [threading.Thread(target=self._run, args=each) for each in targets]

    def start(self) -> None:
        """Let all clients begin."""
        for thread in self.threads:
            thread.start()

    def wait_for_pushes(self, count: int) -> None:
        """Let so many more jobs be pushed: a busy machine may take its time before the load is under way."""
        wanted, end = len(self.ledger.pushed) + count, time.monotonic() + 60
        while len(self.ledger.pushed) < wanted:
            assert time.monotonic() < end, "the load hardly runs"
            time.sleep(0.001)

    def join(self) -> None:
        """Let all clients end. Raises what went wrong in one of them."""
        self.stop.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()
        if self.errors:
            raise self.errors[0]

    def _run(self, target: object, name: str) -> None:
        # The server was killed, or told to stop and refuses what comes now.
        try:
            with suppress(OSError, EOFError, ValueError, WireError):
                target(name)  # type: ignore[operator]
        except BaseException as error:
            self.errors.append(error)

    def _produce(self, name: str) -> None:
        ledger, count, bid = self.ledger, 0, ""
        with WireClient(self.port) as client:
            while not self.stop.is_set():
                count += 1
                jid = f"{name}-{count:06d}"
                if count % 40 == 1:
                    callback = {"jobtype": "C", "args": [], "queue": "q0", "reserve_for": DAY}
                    wanted = {role: {"jid": f"{jid}-{role}", **callback} for role in ("success", "complete")}
                    bid = client.command(b"BATCH NEW " + json.dumps(wanted).encode()).decode()
                if count % 40 == 30:
                    assert client.command(b"BATCH COMMIT " + bid.encode()) == "OK"
                    ledger.committed.add(bid)
                self._push(client, jid, count, bid)
                if count % 40 == 35:
                    shown = json.loads(client.command(b"BATCH STATUS " + bid.encode()))
                    ledger.totals[bid] = max(shown["total"], ledger.totals.get(bid, 0))

    def _push(self, client: WireClient, jid: str, count: int, bid: str) -> None:
        custom: dict[str, object] = {}
        fields: dict[str, object] = {"queue": QUEUES[count % 3], "priority": 1 + count % 9, "reserve_for": DAY}
        fields["args"] = ["x" * (count % 300)]
        if count % 4 == 0:
            custom["bid"] = bid
        if count % 5 == 0:
            custom["track"] = 1
        if count % 7 == 0:
            custom["unique_for"], fields["args"] = 600, [count % 3]
        if count % 11 == 0:
            at = time.time() + (count % 5) * 0.05
            fields["at"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at * 1000) % 1000:03d}Z"
        if custom:
            fields["custom"] = custom
        try:
            client.push(jid, **fields)
        except WireError as error:
            if not str(error).startswith("NOTUNIQUE"):
                raise
            self.ledger.refused += 1
        else:
            self.ledger.pushed.add(jid)

    def _work(self, name: str) -> None:
        ledger, count = self.ledger, 0
        with WireClient(self.port, {"v": 2, "wid": name, "hostname": "h", "pid": 1, "labels": []}) as client:
            while not self.stop.is_set():
                job = client.fetch(*QUEUES)
                if job is None:
                    continue
                jid = job["jid"]
                ledger.fetched.add(jid)
                count += 1
                if count % 10 == 0:
                    continue  # this one stays leased
                ledger.let_go.add(jid)
                if count % 13 == 0:
                    client.fail(jid, errtype="E", message="m", retry_in=count % 2)
                elif count % 17 == 0:
                    client.command(b"REQUEUE " + json.dumps({"jid": jid}).encode())
                elif count % 3 == 0:
                    client.command(b"ACK " + json.dumps({"jid": jid, "result": count}).encode())
                    ledger.acked.add(jid)
                else:
                    client.ack(jid)
                    ledger.acked.add(jid)


def check_disk(data: Path, ledger: Ledger, *, is_power_cut: bool = False) -> None:
    """Hold what lies on disk against what the clients were told."""
    store = RocksStore(data)
    try:
        check_store(store)
        # A start deletes the records of leases whose jobs have gone; until then that is only untidy.
        found = [finding for finding in check(store) if "the next start deletes it" not in str(finding)]
        assert not found, found[:3]
        rows = rows_of(store)
    finally:
        store.close()
    live = {decode_stored(split_value(value)[1]).jid for key, value in rows.items() if key[:1] in {b"R", b"T", b"V"}}
    leased = {lease.jid for lease in leases_in(rows).values()}
    missing = ledger.pushed - ledger.let_go - live
    assert not missing, f"acknowledged pushes are missing: {sorted(missing)[:5]}"
    batches = {key[2:].decode() for key in rows if key[:2] == b"Bb"}
    assert ledger.committed <= batches, "a committed batch is missing"
    if not is_power_cut:
        back = ledger.acked & live
        assert not back, f"jobs came back whose ACK was answered: {sorted(back)[:5]}"
        lost = ledger.fetched - ledger.let_go - leased
        assert not lost, f"leases are missing: {sorted(lost)[:5]}"
