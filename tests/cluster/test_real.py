"""Real nodes on real nats-servers, killed and paused under load: nothing acknowledged is lost, all counts are exact.

Once with the nats-server that is installed, and (`make nightly`) with a newer one whose servers sync each entry.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from cluster.mixed import RULES, MixedLoad
from cluster.real import NodeProcess, RealCluster, WireError, nats_program, newer_nats, wait_for
from cluster.rounds import Rounds
from lineshaft.cluster.presence import LEASE_MS
from lineshaft.cluster.replica import position_of
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.store.rocks import RocksStore

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    pytest.mark.timeout(600 + 30 * int(os.environ.get("LINESHAFT_CLUSTER_ROUNDS", "10"))),
]

#: How many times something is killed or paused; `make nightly` sets more.
ROUNDS = int(os.environ.get("LINESHAFT_CLUSTER_ROUNDS") or ("10" if os.environ.get("CI") else "6"))


SYNCED = "a newer one that syncs each entry"


@pytest.fixture(scope="module", params=["the installed nats-server", pytest.param(SYNCED, marks=pytest.mark.slow)])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    program, jetstream = None, ""
    if request.param == SYNCED:
        program, jetstream = newer_nats(), "sync_interval: always"
        if program is None:
            assert not os.environ.get("CI"), "make nats"
            pytest.skip("no newer nats-server: make nats")
    root = tmp_path_factory.mktemp("cluster")
    with RealCluster(root, rules=RULES, program=program, jetstream=jetstream) as running:
        yield running


def test_any_node_takes_clients_and_tells_who_leads(cluster: RealCluster) -> None:
    leader = cluster.leader()
    for node in cluster.nodes.values():
        assert node.status()["leader"] == leader.name
        assert node.push(f"through-{node.name}", "any") == "OK"
        assert node.ask("/health/ready")[0] == 200
        assert node.ask("/health/leader")[0] == (200 if node is leader else 503)
    standby = cluster.standbys()[0]
    assert [standby.fetch("any") for _ in range(3)] == ["through-a", "through-b", "through-c"]


def test_leadership_is_handed_over_within_a_moment(cluster: RealCluster) -> None:
    for _ in range(3):
        old = cluster.leader()
        assert old.push("handed-over", "transfer") == "OK"
        heir = cluster.standbys()[0]
        began = time.monotonic()
        assert old.say("CLUSTER TRANSFER " + json.dumps({"node": heir.name})) == "OK"
        wait_for(heir.leads, "the heir leads")
        took = time.monotonic() - began
        assert heir.fetch("transfer") == "handed-over"
        wait_for(cluster.is_whole, "all nodes are there")
        if took < LEASE_MS / 1000:
            break
    # The machine may take as long for itself, but not every time.
    assert took < LEASE_MS / 1000
    with pytest.raises(WireError, match="no standby called 'nobody'"):
        heir.say('CLUSTER TRANSFER {"node":"nobody"}')
    wait_for(cluster.is_whole, "all nodes are there")


def test_a_leader_that_is_stopped_asks_another_to_go_on(cluster: RealCluster) -> None:
    for _ in range(3):
        leader = cluster.leader()
        assert leader.push("last-one-in", "leaving") == "OK"
        assert leader.stop() == 0
        new = cluster.leader()
        took = new.status()["takeover_ms"]
        assert new.fetch("leaving") == "last-one-in"
        leader.start()
        wait_for(cluster.is_whole, "all nodes are there")
        if took < LEASE_MS:
            break
    # It did not wait for the silence to grow as long as a lease; the machine may have been busy, but not every time.
    assert took < LEASE_MS


def kill_leader(cluster: RealCluster) -> float:
    """Returns the seconds until another one serves."""
    leader = cluster.leader()
    leader.kill()
    began = time.monotonic()
    cluster.leader()
    took = time.monotonic() - began
    leader.start()
    return took


def kill_standby(cluster: RealCluster) -> None:
    standby = random.choice(cluster.standbys())
    standby.kill()
    time.sleep(0.5)
    standby.start()


def kill_nats(cluster: RealCluster) -> None:
    server = random.choice(cluster.nats)
    server.kill()
    time.sleep(1)
    server.start()
    cluster.leader()


def kill_machine(cluster: RealCluster) -> float:
    """The leading node, and one server of the log with it."""
    leader, server = cluster.leader(), random.choice(cluster.nats)
    server.kill()
    leader.kill()
    began = time.monotonic()
    cluster.leader()
    took = time.monotonic() - began
    server.start()
    leader.start()
    return took


def pause_leader(cluster: RealCluster) -> None:
    """For longer than its lease: another one leads when it goes on, and whatever it then says must not count."""
    leader = cluster.leader()
    leader.pause()
    try:
        end = time.monotonic() + 120
        others = [node for node in cluster.nodes.values() if node is not leader]
        while not any(node.leads() for node in others if node.is_running):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        leader.go_on()


def hand_over(cluster: RealCluster) -> None:
    leader = cluster.leader()
    try:
        leader.say("CLUSTER TRANSFER")
    except (WireError, OSError, EOFError):
        # The standby that could lead has just been killed, or this one leads no more.
        return
    wait_for(lambda: not leader.leads(), "another node leads")
    cluster.leader()


FAULTS = [kill_leader, pause_leader, kill_standby, kill_leader, kill_nats, hand_over, kill_machine]


def test_rounds_of_faults_under_load(cluster: RealCluster, capfd: pytest.CaptureFixture[str]) -> None:
    load = MixedLoad(cluster)
    command = f"LINESHAFT_CLUSTER_ROUNDS={ROUNDS} pytest tests/cluster/test_real.py"
    rounds = Rounds(command + (" (synced)" if cluster.nats[0].jetstream else ""), ROUNDS, load, capfd)
    load.start()
    try:
        for number in range(ROUNDS):
            time.sleep(0.5)
            wait_for(rounds.is_at_work, "the load works", within=60)
            fault = FAULTS[number % len(FAULTS)]
            took = fault(cluster)
            wait_for(cluster.is_whole, f"whole after {fault.__name__}", within=120)
            rounds.tell(fault.__name__.replace("_", " "), took)
    finally:
        load.finish()
        rounds.write()
    rounds.check()
    load.check()
    load.check_kinds()
    load.check_counts()


def test_all_nodes_have_the_same_rows_in_the_end(cluster: RealCluster, tmp_path: Path) -> None:
    for _ in range(10):
        wait_for(partial(has_applied, cluster, cluster.leader().status()["end"]), "all have applied it")
        for node in cluster.nodes.values():
            node.pause()
        for node in cluster.nodes.values():
            node.kill()
        found = [rows_of(node, tmp_path) for node in cluster.nodes.values()]
        if len({position for position, _ in found}) == 1:
            break
        # One of them had more of the log when they were stopped: a vanished worker was forgotten just then, say.
        cluster.start_nodes()
    (_, first), *others = found
    assert first
    assert all(rows == first for _, rows in others)
    for node in cluster.nodes.values():
        command = [sys.executable, "-m", "lineshaft", "check", "-d", str(node.data)]
        looked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert looked.returncode == 0, looked.stdout + looked.stderr


def has_applied(cluster: RealCluster, end: int) -> bool:
    """Whether all nodes have applied the log up to there."""
    return all(node["sequence"] >= end for node in cluster.leader().status()["nodes"])


def rows_of(node: NodeProcess, scratch: Path) -> tuple[int, dict[bytes, bytes]]:
    """Up to which entry a node that does not run has applied the log, and all that it has."""
    store = RocksStore.reading(node.data, log=scratch)
    try:
        position = position_of(store)
        rows = dict(store.scan(b"", b"\xff", limit=1_000_000))
    finally:
        store.close()
    assert position is not None
    del rows[POSITION_KEY]
    return position.sequence, rows
