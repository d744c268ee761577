"""Snapshots on a real object store: taken, read back, two kept, the log purged, and a node that begins from one."""

import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.real import NodeProcess, RealCluster, WireError, nats_program, wait_for
from lineshaft.cluster.access import Access
from lineshaft.cluster.replica import position_of
from lineshaft.cluster.snapshots import COMPLETE, LOADING, TAKING, install_snapshot, load_snapshot, take_snapshot
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.engine.records import PositionRecord, encode_record
from lineshaft.errors import StoreError
from lineshaft.store.rocks import RocksStore

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    pytest.mark.timeout(600),
]


def fill(node: NodeProcess, megabytes: int) -> None:
    """Push so much, in jobs of 100 kB."""
    jobs = [{"jid": f"fill-{time.monotonic_ns()}-{n}", "jobtype": "T", "args": ["x" * 100_000]} for n in range(10)]
    for number in range(megabytes):
        for job in jobs:
            job["jid"] = f"fill-{time.monotonic_ns()}-{number}"
        assert json.loads(node.say("PUSHB " + json.dumps(jobs), timeout=30)) == {}


def count(node: NodeProcess) -> int:
    size: int = json.loads(node.say("INFO"))["faktory"]["total_enqueued"]
    return size


def test_a_node_without_a_disk_begins_from_a_snapshot_when_the_log_is_purged(tmp_path: Path) -> None:
    with RealCluster(tmp_path, rules='snapshot_after = "2MB"\n', replicas=1) as cluster:
        leader = cluster.leader()
        purged = tmp_path / f"{leader.name}.log"
        end = time.monotonic() + 240
        while "purged up to" not in purged.read_text():
            assert time.monotonic() < end, cluster.logs()
            fill(leader, 1)
            time.sleep(0.3)
        pushed = count(leader)
        fresh = cluster.standbys()[0]
        fresh.kill()
        shutil.rmtree(tmp_path / f"{fresh.name}.data")
        fresh.start()
        # For some seconds others may still see the one that it was before.
        wait_for(lambda: "is loaded" in fresh.log.read_text(), "the fresh node follows")
        # It can lead, and has every job.
        wait_for(lambda: leads_after_a_transfer(leader, fresh), "the fresh node leads")
        assert count(fresh) == pushed


def leads_after_a_transfer(leader: NodeProcess, heir: NodeProcess) -> bool:
    """Ask the leader to hand over, again if the heir is no standby yet."""
    with suppress(WireError):
        assert heir.leads() or leader.say("CLUSTER TRANSFER " + json.dumps({"node": heir.name})) == "OK"
    return heir.leads()


def filled(path: Path, sequence: int) -> RocksStore:
    store = RocksStore(path)
    store.commit({POSITION_KEY: encode_record(PositionRecord("log", sequence, 1, 1)), b"R": b"%d" % sequence})
    return store


def test_two_are_kept_and_the_newest_that_is_whole_is_loaded(tmp_path: Path) -> None:
    with RealCluster(tmp_path / "c", names="", replicas=1) as cluster:
        access = Access("solo", (cluster.nats[0].url,), replicas=1)
        board_of(access)
        for sequence in (5, 7, 9):
            store = filled(tmp_path / "data", sequence)
            assert take_snapshot(access, store, tmp_path / "data") == sequence
            store.close()
        assert not (tmp_path / "data" / TAKING).exists()
        assert load_snapshot(access, tmp_path / "other") == 9
        install_snapshot(tmp_path / "other")
        loaded = RocksStore(tmp_path / "other")
        position = position_of(loaded)
        assert position is not None
        assert (position.sequence, loaded.get(b"R")) == (9, b"9")
        loaded.close()


def test_an_installation_that_a_crash_cut_short_begins_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "new", 9)
    store.checkpoint(tmp_path / "copy")
    store.close()
    old = filled(tmp_path / "data", 3)
    old.close()
    loading = tmp_path / "data" / LOADING
    loading.mkdir()
    shutil.move(tmp_path / "copy", loading / "copy")
    # Without the mark it is not whole, and does not count.
    install_snapshot(tmp_path / "data")
    again = RocksStore(tmp_path / "data")
    assert again.get(b"R") == b"3"
    again.checkpoint(tmp_path / "copy")
    again.close()
    store = RocksStore(tmp_path / "new")
    loading.mkdir()
    store.checkpoint(loading / "copy")
    store.close()
    (loading / COMPLETE).touch()
    # Half of the old files are gone, and one of the new ones is there already.
    for number, file in enumerate(sorted(file for file in (tmp_path / "data").iterdir() if file.is_file())):
        if number % 2:
            file.unlink()
    os.link(loading / "copy" / "CURRENT", tmp_path / "data" / "CURRENT.half")
    install_snapshot(tmp_path / "data")
    loaded = RocksStore(tmp_path / "data")
    assert loaded.get(b"R") == b"9"
    loaded.close()
    assert not loading.exists()


def test_without_a_snapshot_there_is_nothing_to_load(tmp_path: Path) -> None:
    with RealCluster(tmp_path / "c", names="", replicas=1) as cluster:
        access = Access("solo", (cluster.nats[0].url,), replicas=1)
        board_of(access)
        with pytest.raises(StoreError, match="no snapshot"):
            load_snapshot(access, tmp_path / "data")


def board_of(access: Access) -> None:
    """Make what a node would have made."""
    import asyncio  # noqa: PLC0415

    from lineshaft.cluster.access import connect  # noqa: PLC0415
    from lineshaft.cluster.jetstream import JetStream  # noqa: PLC0415

    async def make() -> None:
        client = await connect(access, "test")
        stream = JetStream(access, client)
        for _ in range(100):
            try:
                await stream.start()
                break
            except Exception:
                await asyncio.sleep(0.1)
        await stream.close()

    asyncio.run(make())
