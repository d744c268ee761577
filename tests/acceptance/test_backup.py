"""A backup taken under load: what was acknowledged before it began is in it, and nobody was held up by it."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from faults.features import CONFIG
from faults.ledger import Ledger
from faults.load import Load
from invariants import check_store, leases_in, rows_of
from lineshaft.cli.main import run_command
from lineshaft.engine.value import split_value
from lineshaft.job import decode_stored
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess
from wire_client import WireClient

#: What a command may take on a busy machine while a copy is made; without a backup it is some milliseconds.
HELD_UP_SECONDS = 2.0


def watch(port: int, stop: threading.Event, waits: list[float]) -> None:
    """Notice how long the server takes for one command."""
    with WireClient(port) as client:
        while not stop.is_set():
            began = time.monotonic()
            client.command(b"INFO")
            waits.append(time.monotonic() - began)


def back_up(server: ServerProcess, path: Path) -> None:
    with WireClient(server.port, timeout=60) as client:
        answer = json.loads(client.command(b"BACKUP " + json.dumps({"dir": str(path)}).encode()))
    assert answer["dir"] == str(path)


def check_copy(path: Path, *, there: set[str], gone: set[str], leased: set[str]) -> int:
    """The laws of the store, and what the clients were told, held against a restored copy."""
    store = RocksStore(path)
    try:
        check_store(store)
        rows = rows_of(store)
    finally:
        store.close()
    live = {decode_stored(split_value(value)[1]).jid for key, value in rows.items() if key[:1] in {b"R", b"T", b"V"}}
    assert not there - live, "a job is missing that was acknowledged before the backup began"
    assert not gone & live, "a job is there that was done before the backup began"
    assert not leased - {lease.jid for lease in leases_in(rows).values()}, "a lease is missing"
    return len(live)


@pytest.fixture(params=["the same file system", "another file system"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Where the copies go."""
    if request.param == "the same file system":
        yield tmp_path
        return
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(prefix="lineshaft-", dir=shared) as directory:
        yield Path(directory)


def test_a_backup_under_load(tmp_path: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger, stop = Ledger(), threading.Event()
    waits: list[float] = []
    longest, copies = [], []
    with ServerProcess(tmp_path / "server", CONFIG) as server:
        load = Load(server.port, 0, ledger)
        load.start()
        watcher = threading.Thread(target=watch, args=(server.port, stop, waits))
        watcher.start()
        for number in range(3):
            load.wait_for_pushes(50)
            time.sleep(0.3)
            pushed, fetched, acked = set(ledger.pushed), set(ledger.fetched), set(ledger.acked)
            path = elsewhere / f"copy-{number}"
            waits.clear()
            back_up(server, path)
            answered = len(waits)
            wait_until(lambda answered=answered: len(waits) > answered, "the command that came meanwhile", seconds=60)
            longest.append(max(waits))
            ended = set(ledger.let_go)
            copies.append((path, pushed - ended, acked, fetched - ended))
        stop.set()
        load.join()
        watcher.join(60)
        assert not watcher.is_alive()
    # The machine may hold somebody up, too, but not every time.
    assert min(longest) < HELD_UP_SECONDS
    for number, (path, there, gone, leased) in enumerate(copies):
        target = tmp_path / f"restored-{number}"
        assert run_command(["restore", str(path), "-d", str(target)]) == 0, capsys.readouterr().err
        live = check_copy(target, there=there, gone=gone, leased=leased)
        print(f"{path.name}: {live} jobs live, {len(there)} had to be; longest wait {longest[number]:.3f} s")
