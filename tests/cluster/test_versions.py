"""Nodes of two versions in one cluster: an upgrade one node at a time under load, and a log that is ahead of a node."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.box import Box, ask
from cluster.mixed import RULES, MixedLoad
from cluster.real import NodeProcess, RealCluster, WireError, nats_program, wait_for
from cluster.versions import old_source, run_newer_data, run_newer_records, run_old, run_present
from lineshaft.cluster.presence import LEASE_MS, Role
from lineshaft.cluster.record import VERSION, Leadership, Record, encode_leadership
from lineshaft.engine.keys import FORMAT_KEY, FORMAT_VERSION

needs_nats = pytest.mark.skipif(
    nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"
)


# The rules, on a log in memory.


def newer_epoch(box: Box) -> bytes:
    """What a node of a newer version writes when it comes to lead."""
    epoch = max(node.node.presence().epoch for node in box.nodes.values()) + 1
    data = bytearray(Record(epoch, 0, 0, encode_leadership(Leadership("z", "z-1"))).encode())
    data[3] = VERSION + 1
    return bytes(data)


def test_a_node_that_is_behind_the_logs_version_does_not_lead_and_says_why() -> None:
    box = Box()
    leader = box.leader()
    peer = leader.connect()
    assert ask(box, peer, 'PUSH {"jid":"job-00001","jobtype":"T","args":[]}') == b"+OK\r\n"
    assert isinstance(box.log.append(newer_epoch(box), box.log.last, "newer"), int)
    box.settle()
    assert [node.node.role for node in box.others()] == [Role.OUTDATED] * 2
    # The leader hears of it with its next append, which the log refuses.
    peer.ask('PUSH {"jid":"job-00002","jobtype":"T","args":[]}')
    box.advance(4 * LEASE_MS / 1000)
    for node in box.nodes.values():
        assert node.node.role is Role.OUTDATED
        assert "records of version 2, and this Lineshaft reads 1: upgrade this node" in node.node.presence().problem
        assert not node.failures
    assert not box.leaders()
    # It goes on from where it stopped, once it is started as one that knows the version.
    assert box.nodes["a"].node.presence().sequence == box.log.last - 1


def test_data_of_a_newer_format_is_not_applied() -> None:
    box = Box()
    leader = box.leader()
    store = leader.node.store
    assert store is not None
    followers = box.others()
    # The leader writes it as one that knows it would; it does not, and so it is outdated, too.
    store.commit({FORMAT_KEY: b"%d" % (FORMAT_VERSION + 1), b"job": b"1"})
    box.settle()
    for node in followers:
        assert node.node.role is Role.OUTDATED
        assert f"data of format {FORMAT_VERSION + 1}" in node.node.presence().problem
        assert node.local.get(b"job") is None
        again = box.start(node.name)
        box.advance(1)
        assert again.node.role is Role.OUTDATED


# Real processes.


def transfer(cluster: RealCluster, heir: NodeProcess) -> None:
    leader = cluster.leader()
    if leader is not heir:
        assert leader.say("CLUSTER TRANSFER " + json.dumps({"node": heir.name})) == "OK"
    wait_for(heir.leads, f"{heir.name} leads")
    wait_for(cluster.is_whole, "all nodes are there")


def seen_by(node: NodeProcess, name: str) -> dict[str, Any]:
    """What the leader, reached through `node`, says of another one."""
    return next((one for one in node.status()["nodes"] if one["node"] == name), {})


def flows(load: MixedLoad) -> None:
    """Jobs are pushed and done at this moment."""
    pushed, done = len(load.accepted), len(load.acked)
    wait_for(lambda: len(load.accepted) > pushed + 50 and len(load.acked) > done + 50, "jobs flow", within=60)


@needs_nats
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_upgrade_of_one_node_after_the_other_under_load(tmp_path: Path) -> None:
    source = old_source(tmp_path)
    if source is None:
        assert not os.environ.get("CI"), "the history is not there: fetch all of it"
        pytest.skip("needs git and the history")
    cluster = RealCluster(tmp_path / "cluster", rules=RULES)
    a, b, c = cluster.nodes.values()
    run_old(a, source)
    run_old(b, source)
    with cluster:
        for node in (a, b, c):
            transfer(cluster, node)
            # What the old version does not say yet: they really are old, and new.
            assert ("problem" in node.status()) == (node is c)
        load = MixedLoad(cluster)
        load.start()
        try:
            # Each version leads the other, and takes over from it when it dies.
            for heir in (a, c, b):
                transfer(cluster, heir)
                flows(load)
            for dying in (b, c):
                transfer(cluster, dying)
                dying.kill()
                cluster.leader()
                flows(load)
                dying.start()
                wait_for(cluster.is_whole, "all nodes are there")
            # The upgrade itself: standbys first, the former leader last.
            transfer(cluster, a)
            for node in (b, a):
                if node.leads():
                    transfer(cluster, b)
                assert node.stop() == 0
                run_present(node)
                node.start()
                wait_for(cluster.is_whole, "all nodes are there")
                flows(load)
            transfer(cluster, a)
            flows(load)
        finally:
            load.finish()
        load.check()
        load.check_kinds()
        load.check_counts()


@needs_nats
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("run_newer", "why"), [(run_newer_records, "records of version 2"), (run_newer_data, "data of format 2")]
)
def test_a_log_that_is_ahead_of_a_node(tmp_path: Path, run_newer: Callable[[NodeProcess], None], why: str) -> None:
    """The newer ones lead; the node that knows less carries its clients there, never leads, and says why."""
    cluster = RealCluster(tmp_path / "cluster", "ab", rules=RULES)
    a, b = cluster.nodes.values()
    run_newer(a)
    run_newer(b)
    with cluster:
        assert cluster.leader().push("job-00001", "q") == "OK"
        old = cluster.nodes["c"] = cluster.node("c")
        old.start()
        wait_for(lambda: "upgrade this node" in old.log.read_text(), "it says why")
        wait_for(old.is_ready, "it carries clients")
        # Its clients are carried to the leader all the same, and hear there how it is.
        assert old.push("job-00002", "q") == "OK"
        wait_for(lambda: seen_by(old, "c").get("role") == "outdated", "the leader has heard how it is")
        assert why in seen_by(old, "c")["problem"]
        told = subprocess.run(
            [sys.executable, "-m", "lineshaft", "cluster"],
            env={**os.environ, "FAKTORY_URL": f"tcp://127.0.0.1:{old.port}"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert "outdated" in told.stdout
        assert why in told.stderr
        with pytest.raises(WireError, match="no standby called 'c' is there"):
            cluster.leader().say('CLUSTER TRANSFER {"node":"c"}')
        # Whoever dies, it does not lead; with both gone nobody does.
        leader = cluster.leader()
        leader.kill()
        wait_for(lambda: any(node.leads() for node in (a, b) if node.is_running), "the other one leads")
        cluster.leader().kill()
        end = time.monotonic() + 3 * LEASE_MS / 1000
        while time.monotonic() < end:
            assert not old.leads()
            time.sleep(0.1)
        assert old.is_running
        assert why in (old.ask("/health/ready")[1]["why"])
        # Upgraded, it goes on from where it stopped.
        assert old.stop() == 0
        run_newer(old)
        old.start()
        wait_for(old.leads, "it leads")
        assert {old.fetch("q"), old.fetch("q")} == {"job-00001", "job-00002"}
