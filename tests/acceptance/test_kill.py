"""Nothing lost: a server under load is killed again and again, and every time its disk is held against the clients.

The load (`faults.load`) has every kind of job in it: of every priority, unique, tracked, scheduled, in batches; and
workers that finish, fail, give back and keep what they fetch. The law, checked on the disk itself after each kill: a
push that was answered is there, unless its ACK was sent; an ACK that was answered is not undone; a job whose FETCH was
answered is leased; a batch that was committed is known; no job is in two places.
"""

import os
import random
import time
from pathlib import Path

import pytest

from faults.load import Ledger, Load, check_disk
from processes import ServerProcess

ROUNDS = int(os.environ.get("LINESHAFT_KILLS", "50"))


def run_round(server: ServerProcess, number: int, ledger: Ledger, seconds: float, *, clean: bool) -> None:
    server.start()
    load = Load(server.port, number, ledger)
    load.start()
    # However slow the machine is, in most rounds the load is under way when the server dies.
    if number % 3:
        load.wait_for_pushes(150 if number % 5 == 1 else 30)
    time.sleep(seconds)
    if clean:
        assert server.stop() == 0, server.log.read_text()[-2000:]
    else:
        server.kill()
    load.join()


@pytest.mark.timeout(400 + 10 * ROUNDS)
def test_killed_again_and_again(tmp_path: Path) -> None:
    chance = random.Random(2026)
    ledger = Ledger()
    server = ServerProcess(tmp_path)
    for number in range(ROUNDS):
        run_round(server, number, ledger, chance.uniform(0.05, 0.4), clean=False)
        check_disk(server.data, ledger)
    assert ledger.committed
    assert ledger.refused, "no unique job was refused"
    print(f"{ROUNDS} kills: {len(ledger.pushed)} pushed, {len(ledger.acked)} acked, none lost")


def test_a_clean_stop_keeps_every_ack(tmp_path: Path) -> None:
    ledger = Ledger()
    server = ServerProcess(tmp_path)
    for number in range(3):
        run_round(server, number, ledger, 0.4, clean=True)
        check_disk(server.data, ledger)
    assert ledger.acked
