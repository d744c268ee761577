"""Nothing lost to a power cut: what was not synced is taken from under a killed server, and +OK still means on disk."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faults.features import CONFIG
from faults.laws import check_disk
from faults.ledger import Ledger
from faults.load import Load
from faults.power_cut import PowerCut, build_library
from lineshaft.errors import StoreError
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess

ROUNDS = int(os.environ.get("LINESHAFT_POWER_CUTS", "6"))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build_library(tmp_path_factory.mktemp("library"))
    if built is None:
        pytest.skip("no C compiler")
    return built


@pytest.mark.timeout(400 + 10 * ROUNDS)
def test_the_power_is_cut_again_and_again(library: Path, tmp_path: Path) -> None:
    chance = random.Random(2026)
    ledger = Ledger()
    server = ServerProcess(tmp_path, CONFIG)
    power = PowerCut(library, server.data, tmp_path)
    server.environment |= power.environment
    lost = []
    for life in range(ROUNDS):
        server.start()
        load = Load(server.port, life, ledger)
        load.start()
        if life % 3:
            load.wait_for_pushes(30)
        time.sleep(chance.uniform(0.02, 0.8))
        server.kill()
        load.join()
        lost.append(power.cut(chance))
        check_disk(server.data, ledger, is_power_cut=True)
    assert any(not each.endswith(" 0 bytes") for each in lost), "no cut has taken anything"
    print(f"{ROUNDS} cuts: {len(ledger.pushed)} pushed, {len(ledger.acked)} acked, none lost; cuts took {lost[:5]}")


def test_what_was_not_synced_is_really_taken(library: Path, tmp_path: Path) -> None:
    """The test of the test: commits without a sync are lost, those before one are not."""
    data = tmp_path / "data"
    power = PowerCut(library, data, tmp_path)
    script = (
        "import os, pathlib\n"
        "from lineshaft.store.rocks import RocksStore\n"
        f"store = RocksStore(pathlib.Path({str(data)!r}))\n"
        "store.commit({b'kept': b'1'}); store.sync()\n"
        "store.commit({b'lost': b'1'})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    seen = set()
    for seed in range(12):
        for path in data.glob("*"):
            path.unlink()
        _run(script, power.environment)
        power.cut(random.Random(seed))
        store = RocksStore(data)
        assert store.get(b"kept") == b"1"
        seen.add(store.get(b"lost"))
        store.close()
    assert seen == {None, b"1"}


@pytest.mark.parametrize("is_new", [True, False], ids=["made", "opened"])
def test_a_store_may_be_cut_off_at_every_step_of_its_start(library: Path, tmp_path: Path, is_new: bool) -> None:
    data = tmp_path / "data"
    power = PowerCut(library, data, tmp_path)
    script = (
        "import pathlib\n"
        "from lineshaft.store.rocks import RocksStore\n"
        f"store = RocksStore(pathlib.Path({str(data)!r}))\n"
        "store.commit({b'key': b'1'}); store.sync()\n"
    )
    for step in range(1, 200):
        shutil.rmtree(data, ignore_errors=True)
        if not is_new:
            store = RocksStore(data)
            store.commit({b"kept": b"1"})
            store.sync()
            store.close()
        if _run(script, {**power.environment, "POWERCUT_AT": str(step)}) == 0:
            assert step > 10
            return
        told = power.cut(random.Random(step))
        try:
            store = RocksStore(data)
        except StoreError as error:
            pytest.fail(f"step {step}, lost {told}: {error}")
        assert is_new or store.get(b"kept") == b"1"
        store.close()
    pytest.fail("it never came to its end")


def _run(script: str, environment: dict[str, str]) -> int:
    result = subprocess.run([sys.executable, "-c", script], env={**os.environ, **environment}, check=False)
    assert result.returncode in {0, -9}
    return result.returncode
