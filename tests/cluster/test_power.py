"""The power of all machines is cut at once: nothing acknowledged is lost, if `sync_interval` is `always`."""

import asyncio
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import nats
import pytest

from cluster.disks import Disk, can_have_disks
from cluster.mixed import RULES, MixedLoad
from cluster.real import NatsServer, RealCluster, newer_nats, wait_for

pytestmark = [
    pytest.mark.skipif(newer_nats() is None and not os.environ.get("CI"), reason="no newer nats-server: make nats"),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

#: How many times the power of a cluster under load is cut.
CUTS = 3


class Machines(RealCluster):
    """Servers of the log on disks of their own."""

    def __init__(self, root: Path, names: str, *, sync: str) -> None:
        super().__init__(root, names, rules=RULES, program=newer_nats(), jetstream=f"sync_interval: {sync}")
        self.disks = ExitStack()
        self.by_server: dict[str, Disk] = {}
        for server in self.nats:
            disk = Disk(root, server.name)
            server.store = disk.path / "log"
            server.configure([mate for mate in self.nats if mate is not server])
            self.by_server[server.name] = disk

    def start(self) -> None:
        for disk in self.by_server.values():
            self.disks.enter_context(disk)
        super().start()

    def cut(self) -> None:
        """All machines at once: the servers of the log, their disks, and the nodes."""
        processes = [*self.nats, *self.nodes.values()]
        for process in processes:
            process.signal(signal.SIGSTOP)
        for disk in self.by_server.values():
            disk.cut()
        for process in processes:
            process.kill()
        for disk in self.by_server.values():
            disk.unmount()
            disk.mount()

    def start_again(self) -> None:
        for process in (*self.nats, *self.nodes.values()):
            process.start()

    def close(self) -> None:
        super().close()
        self.disks.close()


@pytest.fixture(autouse=True)
def _needs_disks(tmp_path: Path) -> None:
    if not can_have_disks(tmp_path):
        assert not os.environ.get("CI"), "needs root, loop devices and e2fsprogs"
        pytest.skip("needs root, loop devices and e2fsprogs")


async def append(servers: list[NatsServer], seconds: float) -> int:
    """Append for so long; returns the last sequence that was acknowledged."""
    client = await nats.connect([server.url for server in servers])
    try:
        api = client.jetstream(timeout=30)
        await api.add_stream(name="S", subjects=["S"], num_replicas=len(servers))
        end, last = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            last = (await api.publish("S", b"x" * 200)).seq
        return last
    finally:
        await client.close()


async def last_entry(servers: list[NatsServer]) -> int:
    """Where the log ends, once it has a leader."""
    client = await nats.connect([server.url for server in servers])
    try:
        api = client.jetstream(timeout=2)
        for _ in range(60):
            try:
                return (await api.stream_info("S")).state.last_seq
            except nats.errors.Error:
                await asyncio.sleep(0.5)
        raise AssertionError("the log did not come back")
    finally:
        await client.close()


async def try_append(servers: list[NatsServer]) -> int:
    """As `append`, as soon as the servers have found each other."""
    for _ in range(60):
        try:
            return await append(servers, 2)
        except (nats.errors.Error, OSError):
            await asyncio.sleep(0.5)
    raise AssertionError("the servers did not find each other")


@pytest.mark.parametrize("sync", ["always", "2m"])
def test_what_a_power_cut_takes_from_the_log(tmp_path: Path, sync: str) -> None:
    """The test of the test, too: with the default interval acknowledged entries are really gone."""
    with Machines(tmp_path / "machines", "", sync=sync) as machines:
        acknowledged = asyncio.run(try_append(machines.nats))
        machines.cut()
        machines.start_again()
        try:
            left = asyncio.run(last_entry(machines.nats))
        except AssertionError:
            # Not even the stream is there any more.
            left = 0
    print(f"sync_interval {sync}: {acknowledged} entries acknowledged, {left} left")
    assert acknowledged > 20
    if sync == "always":
        assert left >= acknowledged
    else:
        assert left < acknowledged


def test_nothing_acknowledged_is_lost_when_all_machines_lose_their_power(tmp_path: Path) -> None:
    with Machines(tmp_path / "machines", "abc", sync="always") as machines:
        load = MixedLoad(machines)
        load.start()
        try:
            for _ in range(CUTS):
                pushed = len(load.accepted)
                wait_for(lambda pushed=pushed: len(load.accepted) > pushed + 200, "jobs flow")
                machines.cut()
                machines.start_again()
                wait_for(machines.is_whole, "all nodes are there", within=180)
        finally:
            load.finish()
        print(f"{CUTS} power cuts: pushed {len(load.accepted)}, done {len(load.acked)}, run twice {load.twice}")
        load.check()
        load.check_kinds()
        load.check_counts()
