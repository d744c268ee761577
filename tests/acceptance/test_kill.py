"""Nothing lost: a server under load is killed again and again, and every time its disk is held against the clients.

The load (`faults.load`, `faults.features`) has every kind of job in it: of every priority, unique, tracked, scheduled,
expiring, periodic, in batches, in lanes, behind a throttle; workers that finish, fail, give back and keep what they
fetch; and operators who cancel, mutate, pause and remove. The laws, held against the disk itself after each kill, stand
in `faults.laws`.
"""

import os
import random
import time
from pathlib import Path

import pytest

from faults.features import CONFIG, HISTORY
from faults.laws import CASES, check_disk
from faults.ledger import Ledger
from faults.load import Load
from processes import ServerProcess

ROUNDS = int(os.environ.get("LINESHAFT_KILLS", "50"))
#: From so many on every law has met its case.
ENOUGH = 40


def run_round(server: ServerProcess, number: int, ledger: Ledger, seconds: float, *, clean: bool) -> None:
    keeps_history = number % 2 == 1
    server.configure(CONFIG + HISTORY * keeps_history)
    server.start()
    load = Load(server.port, number, ledger, keeps_history=keeps_history)
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
    if ROUNDS >= ENOUGH:
        assert {case for case in CASES if not ledger.seen[case]} == set()
    print(f"{ROUNDS} kills: {len(ledger.pushed)} pushed, {len(ledger.acked)} acked, none lost")


def test_a_clean_stop_keeps_every_ack(tmp_path: Path) -> None:
    ledger = Ledger()
    server = ServerProcess(tmp_path)
    for number in range(3):
        run_round(server, number, ledger, 0.4, clean=True)
        check_disk(server.data, ledger)
    assert ledger.acked
