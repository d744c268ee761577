"""Real nodes on real nats-servers, killed and paused under load: nothing acknowledged is lost, nothing runs twice."""

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.load import Load
from cluster.real import RealCluster, WireError, nats_program, wait_for
from lineshaft.cluster.presence import LEASE_MS

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    pytest.mark.timeout(600 + 30 * int(os.environ.get("LINESHAFT_CLUSTER_ROUNDS", "10"))),
]

#: How many times something is killed or paused; `make nightly` sets more.
ROUNDS = int(os.environ.get("LINESHAFT_CLUSTER_ROUNDS") or ("10" if os.environ.get("CI") else "6"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with RealCluster(tmp_path_factory.mktemp("cluster"), rules="[workers]\nrecover_after = 15\n") as running:
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
    old = cluster.leader()
    assert old.push("handed-over", "transfer") == "OK"
    heir = cluster.standbys()[0]
    began = time.monotonic()
    assert old.say("CLUSTER TRANSFER " + json.dumps({"node": heir.name})) == "OK"
    wait_for(heir.leads, "the heir leads")
    assert time.monotonic() - began < 3
    assert heir.fetch("transfer") == "handed-over"
    with pytest.raises(WireError, match="no standby called 'nobody'"):
        heir.say('CLUSTER TRANSFER {"node":"nobody"}')
    wait_for(cluster.is_whole, "all nodes are there")


def test_a_leader_that_is_stopped_asks_another_to_go_on(cluster: RealCluster) -> None:
    leader = cluster.leader()
    assert leader.push("last-one-in", "leaving") == "OK"
    assert leader.stop() == 0
    new = cluster.leader()
    # It did not wait for the silence to grow as long as a lease.
    assert new.status()["takeover_ms"] < LEASE_MS
    assert new.fetch("leaving") == "last-one-in"
    leader.start()
    wait_for(cluster.is_whole, "all nodes are there")


def kill_leader(cluster: RealCluster) -> None:
    leader = cluster.leader()
    leader.kill()
    cluster.leader()
    leader.start()


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


def pause_leader(cluster: RealCluster) -> None:
    """For longer than its lease: another one leads when it goes on, and whatever it then says must not count."""
    leader = cluster.leader()
    leader.pause()
    try:
        end = time.monotonic() + 30
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


FAULTS = [kill_leader, pause_leader, kill_standby, kill_leader, kill_nats, hand_over]


def test_rounds_of_faults_under_load(cluster: RealCluster) -> None:
    load = Load(cluster)
    load.start()
    takeovers: list[float] = []
    try:
        for number in range(ROUNDS):
            time.sleep(0.5)
            fault = FAULTS[number % len(FAULTS)]
            began = time.monotonic()
            fault(cluster)
            if fault is kill_leader:
                takeovers.append(time.monotonic() - began)
            wait_for(cluster.is_whole, f"whole after {fault.__name__}", within=120)
    finally:
        load.finish()
    print(
        f"pushed {len(load.accepted)}, done {len(load.acked)}, run twice {sum(load.acked.values()) - len(load.acked)}"
    )
    print(f"takeovers {sorted(round(each, 1) for each in takeovers)}, longest silence {load.longest_silence:.1f} s")
    assert len(load.accepted) > ROUNDS * 5
    load.check()


def test_all_nodes_have_the_same_rows_in_the_end(cluster: RealCluster, tmp_path: Path) -> None:
    from lineshaft.engine.keys import POSITION_KEY  # noqa: PLC0415
    from lineshaft.store.rocks import RocksStore  # noqa: PLC0415 - opened while no node runs

    leader = cluster.leader()
    end = leader.status()["end"]
    wait_for(lambda: all(node["sequence"] >= end for node in leader.status()["nodes"]), "all have applied everything")
    for node in cluster.nodes.values():
        node.kill()
    found = []
    for node in cluster.nodes.values():
        store = RocksStore.reading(cluster.root / f"{node.name}.data", log=tmp_path)
        rows = dict(store.scan(b"", b"\xff", limit=1_000_000))
        store.close()
        # Where each stands in the log may differ by an epoch's last entries, which say nothing of jobs.
        found.append({key: value for key, value in rows.items() if key != POSITION_KEY})
    assert found[0]
    assert found[0].keys() == found[1].keys() == found[2].keys()
