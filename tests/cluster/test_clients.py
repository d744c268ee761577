"""Other people's clients against a standby's port: they work, and carry on when another node takes over."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.clients.programs import CLIENTS, Client, a_job, wait_until
from cluster.real import NodeProcess, RealCluster, WireError, nats_program, wait_for

pytestmark = [
    pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealCluster]:
    with RealCluster(tmp_path_factory.mktemp("cluster"), rules="[workers]\nrecover_after = 15\n") as running:
        yield running


@pytest.fixture(scope="module", params=CLIENTS, ids=str)
def client(request: pytest.FixtureRequest) -> Client:
    chosen: Client = request.param
    chosen.prepare()
    return chosen


def environment(node: NodeProcess) -> dict[str, str]:
    return {"FAKTORY_URL": f"tcp://localhost:{node.port}"}


def push_through(client: Client, node: NodeProcess, jid: str) -> None:
    """Push with the client's own producer, again while nobody leads."""
    end, message = time.monotonic() + 120, {"jobs": [a_job(jid, queue="work", reserve_for=600)]}
    while True:
        done = client.try_run(environment(node), "push", message)
        if done.returncode == 0 or time.monotonic() > end:
            break
        time.sleep(1)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_it_works_through_a_standby_and_after_a_takeover(client: Client, cluster: RealCluster, tmp_path: Path) -> None:
    leader = cluster.leader()
    standby, other = cluster.standbys()
    with client.working(tmp_path, environment(standby), "work", wid=f"worker-{client}") as it:
        for number in range(3):
            push_through(client, standby, f"before-{number:05}")
        wait_until(lambda: len(set(it.ran())) == 3, "three jobs", seconds=120)
        wait_until(lambda: cluster_is_done(standby), "three ACKs", seconds=60)
        leader.kill()
        cluster.leader()
        node = standby if standby.is_running else other
        for number in range(3):
            push_through(client, node, f"after-{number:06}")
        ended = it.process.poll() is not None
        if not ended:
            wait_until(lambda: len(set(it.ran())) == 6 or it.process.poll() is not None, "three more", seconds=180)
            ended = it.process.poll() is not None
    print(f"{client}: its worker {'ended with the connection' if ended else 'came back by itself'}")
    if ended:
        # Its library leaves it to a supervisor to start it anew.
        with client.working(tmp_path, environment(node), "work", wid=f"worker-{client}-2") as again:
            wait_until(lambda: cluster_is_done(node), "the jobs that were left", seconds=180)
            assert again.process.poll() is None
    leader.start()
    wait_for(cluster.is_whole, "all nodes are there", within=120)
    assert cluster_is_done(cluster.leader())


def cluster_is_done(node: NodeProcess) -> bool:
    try:
        found = json.loads(node.say("INFO"))["faktory"]
    except (OSError, EOFError, WireError):
        return False
    return found["queues"].get("work", 0) == 0 and found["sets"]["working"] == 0
