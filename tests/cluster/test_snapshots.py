"""Snapshots on a real object store: taken, read back, two kept, the log purged, and a node that begins from one."""

import asyncio
import base64
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from nats.js.object_store import ObjectStore

from cluster.real import NodeProcess, RealCluster, WireError, nats_program, wait_for
from lineshaft.cluster import snapshots
from lineshaft.cluster.access import Access, Complaints, connect
from lineshaft.cluster.jetstream import JetStream
from lineshaft.cluster.replica import position_of
from lineshaft.cluster.snapshots import COMPLETE, LOADING, TAKING, Snapshots, install_snapshot
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.engine.records import PositionRecord, encode_record
from lineshaft.errors import StoreError
from lineshaft.store.rocks import RocksStore
from processes import free_port

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
    rows = {POSITION_KEY: encode_record(PositionRecord("log", sequence, 1, 1)), b"R": b"%d" % sequence}
    # More than one piece of an object.
    store.commit({**rows, b"X": os.urandom(400_000)})
    return store


def test_two_are_kept_and_the_newest_that_is_whole_is_loaded(tmp_path: Path) -> None:
    with RealCluster(tmp_path / "c", names="", replicas=1) as cluster:
        access = Access("solo", (cluster.nats[0].url,), replicas=1)
        board_of(access)
        for sequence in (5, 7, 9):
            store = filled(tmp_path / "data", sequence)
            assert Snapshots(access, tmp_path / "data", Complaints()).take(store) == sequence
            store.close()
        assert not (tmp_path / "data" / TAKING).exists()
        assert Snapshots(access, tmp_path / "other", Complaints()).load() == 9
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
            Snapshots(access, tmp_path / "data", Complaints()).load()


async def _other(objects: ObjectStore, api: JetStreamContext) -> None:  # noqa: ARG001
    await objects.put("7", b"something else")


async def _deleted(objects: ObjectStore, api: JetStreamContext) -> None:  # noqa: ARG001
    await objects.delete("7")


async def _few_pieces(objects: ObjectStore, api: JetStreamContext) -> None:
    await _purge_pieces(objects, api, keep=1)


async def _no_pieces(objects: ObjectStore, api: JetStreamContext) -> None:
    await _purge_pieces(objects, api)


async def _purge_pieces(objects: ObjectStore, api: JetStreamContext, keep: int | None = None) -> None:
    info = await objects.get_info("7")
    assert info.chunks is not None
    assert info.chunks > 1
    await api.purge_stream(objects._stream, subject=f"$O.{info.bucket}.C.{info.nuid}", keep=keep)


async def _no_description(objects: ObjectStore, api: JetStreamContext) -> None:
    name = base64.urlsafe_b64encode(b"7").decode()
    await api.publish(f"$O.{objects._name}.M.{name}", b"junk")


DAMAGES = [_other, _deleted, _few_pieces, _no_pieces, _no_description]


def test_the_one_before_is_loaded_when_the_newest_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # One damage waits for so long; a disk that is slow for a second is no damage.
    monkeypatch.setattr(snapshots, "STALL_SECONDS", 5.0)
    with RealCluster(tmp_path / "c", names="", replicas=1) as cluster:
        for damage in DAMAGES:
            name = damage.__name__
            access = Access(name, (cluster.nats[0].url,), replicas=1)
            board_of(access)
            ours = Snapshots(access, tmp_path / name, Complaints())
            for sequence in (5, 7):
                store = filled(tmp_path / name, sequence)
                assert ours.take(store) == sequence
                store.close()
            asyncio.run(damaged(access, damage))
            caplog.clear()
            assert ours.load() == 5, name
            assert "the snapshot at 7 " in caplog.text
        install_snapshot(tmp_path / name)
        loaded = RocksStore(tmp_path / name)
        assert loaded.get(b"R") == b"5"
        loaded.close()


async def damaged(access: Access, damage: Callable[[ObjectStore, JetStreamContext], Awaitable[None]]) -> None:
    client = await connect(access, "test")
    api = client.jetstream()
    await damage(await api.object_store(access.stream), api)
    await client.close()


def test_a_node_that_ends_does_not_wait_for_its_snapshot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """NATS is away, and what it does not answer is told once for all connections of the node."""
    complaints = Complaints()
    ours = Snapshots(Access("solo", (f"nats://127.0.0.1:{free_port()}",)), tmp_path, complaints)
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(ours.load)
        wait_for(lambda: complaints.problem, "NATS is away", within=10)
        complaints.hear(ConnectionRefusedError(complaints.problem.removeprefix("NATS: ")))
        began = time.monotonic()
        ours.end()
        assert time.monotonic() - began < 4
        with pytest.raises(StoreError, match="the node ends"):
            loading.result(timeout=1)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("NATS: ")]
    assert len(told) == len(set(told))
    with pytest.raises(StoreError, match="the node ends"):
        ours.load()


def board_of(access: Access) -> None:
    """Make what a node would have made."""

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
