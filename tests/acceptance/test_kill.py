"""Nothing lost: a server under load is killed again and again, and every time its disk is held against the clients.

The law, checked on the disk itself after each kill: a push that was answered is there, unless its ACK was sent; an
ACK that was answered is not undone; a job whose FETCH was answered is leased; no job is in two places.
"""

import os
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from invariants import check_store, leases_in, rows_of
from lineshaft.engine.records import split_value
from lineshaft.job import decode_stored
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess
from wire_client import WireClient, WireError

ROUNDS = int(os.environ.get("LINESHAFT_KILLS", "50"))
PRODUCERS = WORKERS = 3


@dataclass
class Ledger:
    """What the clients were told, over all rounds."""

    pushed: set[str] = field(default_factory=set)
    fetched: set[str] = field(default_factory=set)
    ack_sent: set[str] = field(default_factory=set)
    acked: set[str] = field(default_factory=set)


def produce(port: int, name: str, ledger: Ledger, stop: threading.Event) -> None:
    count = 0
    with WireClient(port) as client:
        while not stop.is_set():
            count += 1
            jid = f"{name}-{count:06d}"
            client.push(jid, queue=f"q{count % 3}", priority=1 + count % 9, args=["x" * (count % 300)])
            ledger.pushed.add(jid)


def work(port: int, name: str, ledger: Ledger, stop: threading.Event) -> None:
    count = 0
    with WireClient(port, {"v": 2, "wid": name, "hostname": "h", "pid": 1, "labels": []}) as client:
        while not stop.is_set():
            job = client.fetch("q0", "q1", "q2")
            if job is None:
                continue
            jid = job["jid"]
            ledger.fetched.add(jid)
            count += 1
            if count % 10 == 0:
                continue  # this one stays leased
            ledger.ack_sent.add(jid)
            client.ack(jid)
            ledger.acked.add(jid)


def quietly(target: object, *arguments: object) -> None:
    # The server was killed, or told to stop and refuses what comes now.
    with suppress(OSError, EOFError, ValueError, WireError):
        target(*arguments)  # type: ignore[operator]


def check_disk(data: Path, ledger: Ledger) -> None:
    store = RocksStore(data)
    try:
        check_store(store)
        rows = rows_of(store)
    finally:
        store.close()
    live = {decode_stored(split_value(value)[1]).jid for key, value in rows.items() if key[:1] in {b"R", b"T"}}
    leased = {lease.jid for lease in leases_in(rows).values()}
    assert not (ledger.pushed - ledger.ack_sent) - live, "an acknowledged push is missing"
    assert not ledger.acked & live, "a job came back whose ACK was answered"
    assert not (ledger.fetched - ledger.ack_sent) - leased, "a lease is missing"


def run_round(server: ServerProcess, number: int, ledger: Ledger, seconds: float, *, clean: bool) -> None:
    server.start()
    stop = threading.Event()
    threads = [
        threading.Thread(target=quietly, args=(produce, server.port, f"r{number}p{n}", ledger, stop))
        for n in range(PRODUCERS)
    ] + [
        threading.Thread(target=quietly, args=(work, server.port, f"r{number}w{n}", ledger, stop))
        for n in range(WORKERS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    if clean:
        assert server.stop() == 0, server.log.read_text()[-2000:]
    else:
        server.kill()
    stop.set()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.timeout(60 + 10 * ROUNDS)
def test_killed_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(2026)
    ledger = Ledger()
    server = ServerProcess(tmp_path)
    with_load = 0
    for number in range(ROUNDS):
        before = len(ledger.pushed)
        run_round(server, number, ledger, chance.uniform(0.05, 0.4), clean=False)
        with_load += len(ledger.pushed) > before
        check_disk(server.data, ledger)
    assert with_load > ROUNDS // 2, "the load hardly ran"
    print(f"{ROUNDS} kills: {len(ledger.pushed)} pushed, {len(ledger.acked)} acked, none lost")


def test_a_clean_stop_keeps_every_ack(tmp_path: Path) -> None:
    ledger = Ledger()
    server = ServerProcess(tmp_path)
    for number in range(3):
        run_round(server, number, ledger, 0.4, clean=True)
        check_disk(server.data, ledger)
    assert ledger.acked
