"""Machines that cannot reach each other: the leader alone stops answering, another leads, and nothing is lost."""

import json
import os
import random
import time
from collections.abc import Iterator

import pytest

from cluster.machines import Machines, can_have_machines
from cluster.mixed import RULES, MixedLoad
from cluster.real import NodeProcess, WireError, nats_program, wait_for
from cluster.rounds import Rounds

ROUNDS = max(int(os.environ.get("LINESHAFT_CLUSTER_ROUNDS", "10")) // 5, 2)

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    pytest.mark.skipif(not can_have_machines(), reason="needs root and network namespaces"),
    pytest.mark.timeout(600 + 60 * ROUNDS),
]


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with Machines(tmp_path_factory.mktemp("machines"), rules=RULES) as running:
        yield running


def push_on(node: NodeProcess) -> None:
    """Push until that is refused; silence is no refusal."""
    line = "PUSH " + json.dumps({"jid": "while-cut", "jobtype": "T", "args": [], "queue": "cut"})
    end = time.monotonic() + 30
    while time.monotonic() < end:
        node.say(line, timeout=40)


def test_a_leader_cut_off_from_the_majority_stops_answering_and_another_leads(machines: Machines) -> None:
    old = machines.leader()
    assert old.push("before-cut", "cut") == "OK"
    machines.cut(old.name)
    try:
        with pytest.raises((WireError, EOFError, ConnectionError)):
            push_on(old)
        others = [node for node in machines.nodes.values() if node is not old]
        wait_for(lambda: any(node.leads() for node in others), "another node leads")
        assert not old.leads()
        new = next(node for node in others if node.leads())
        assert new.push("after-the-cut", "cut") == "OK"
    finally:
        machines.mend(old.name)
    wait_for(machines.is_whole, "all nodes are there", within=120)
    wait_for(lambda: is_calm(machines), "one node goes on leading", within=120)
    found = {machines.leader().fetch("cut") for _ in range(4)}
    # What was pushed while the leader was cut off was never acknowledged: it may be there, or not.
    assert {"before-cut", "after-the-cut"} <= found <= {"before-cut", "after-the-cut", "while-cut", None}


def is_calm(machines: Machines) -> bool:
    """Whether pushes are answered for three seconds: a NATS server that comes back can have the stream's leader elected
    anew, and then the node that leads may change once more.
    """
    try:
        for number in range(30):
            assert machines.leader().push(f"calm-{number:04}", "calm") == "OK"
            time.sleep(0.1)
    except (WireError, EOFError, OSError):
        return False
    return True


@pytest.mark.slow
def test_rounds_of_partitions_under_load(machines: Machines, capfd: pytest.CaptureFixture[str]) -> None:
    load = MixedLoad(machines)
    rounds = Rounds(f"pytest tests/cluster/test_partition.py, {ROUNDS} cuts", ROUNDS, load, capfd)
    load.start()
    try:
        for number in range(ROUNDS):
            time.sleep(1)
            wait_for(rounds.is_at_work, "the load works", within=60)
            name = machines.leader().name if number % 2 == 0 else random.choice("abc")
            machines.cut(name)
            time.sleep(6)
            machines.mend(name)
            wait_for(machines.is_whole, "all nodes are there", within=120)
            rounds.tell(f"{name} was cut off")
    finally:
        load.finish()
        rounds.write()
    rounds.check()
    load.check()
    load.check_kinds()
    load.check_counts()
