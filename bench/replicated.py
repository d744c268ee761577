"""A cluster beside a single server: `make bench-cluster`.

On one machine: three servers of NATS and three nodes on loopback, so the nodes and the servers of the log compete for
the same processors and disk; on machines of their own both would have more. In alternation with a single server with
`sync = "always"`, the leader is loaded over 10 and over 50 connections (a cycle is PUSH, FETCH and ACK). Then a million
jobs are enqueued, and the leading node is killed, again and again: alone, and together with the server of NATS that
leads the stream.

Since the three servers of NATS share two processors here, each is started with GOMAXPROCS=1, as docs/howto/cluster.md
advises for such a machine; whoever sets it in the environment decides.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from statistics import median

import nats
from contestants import Lineshaft
from jobload import Load, build_jobload, run_jobload
from servers import Server

from cluster.real import NatsServer, NodeProcess, RealCluster, WireError, nats_program, wait_for

__all__ = ["main"]

LOADS = (Load("cycle, 10 connections", "cycle", 10, {}), Load("cycle, 50 connections", "cycle", 50, {}))
FILL = Load("PUSHB of 100", "push", 10, {}, bulk=100)


def main() -> int:
    """Measure and print; 2 when nats-server is missing."""
    parser = argparse.ArgumentParser(description="Measure a cluster beside a single server.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=30_000, help="jobs of one sample")
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    if nats_program() is None:
        print("nats-server is missing; Debian and Ubuntu: apt install nats-server", file=sys.stderr)
        return 2
    build_jobload()
    os.environ.setdefault("GOMAXPROCS", "1")
    with tempfile.TemporaryDirectory(prefix="bench-cluster-") as scratch:
        measure(Path(scratch), options)
    return 0


def measure(scratch: Path, options: argparse.Namespace) -> None:
    """Everything, on one cluster."""
    with RealCluster(scratch / "cluster") as cluster:
        throughput(cluster, scratch, options.rounds, options.jobs)
        takeovers(cluster, options.backlog, options.kills)


def throughput(cluster: RealCluster, scratch: Path, rounds: int, jobs: int) -> None:
    """Cycles a second of the leader and of a single server, in turns, and how far the standbys are behind meanwhile."""
    leader = cluster.leader()
    assert leader.process is not None
    lags: list[float] = []
    with Server(Lineshaft(), scratch, sync="always") as single:
        for load in LOADS:
            found: dict[str, list[float]] = {"single": [], "cluster": []}
            for _ in range(rounds):
                one = run_jobload(load, jobs=jobs, port=single.port, pid=single.pid, limit_seconds=10)
                found["single"].append(one.jobs_per_second)
                with Watch(cluster, lags):
                    many = run_jobload(load, jobs=jobs, port=leader.port, pid=leader.process.pid, limit_seconds=10)
                found["cluster"].append(many.jobs_per_second)
            alone, together = median(found["single"]), median(found["cluster"])
            print(
                f"{load.name}: single {alone:,.0f}/s, cluster {together:,.0f}/s, ratio {together / alone:.2f}",
                flush=True,
            )
    print(f"a standby's lag under that load: median {median(lags):.2f} s, longest {max(lags):.2f} s", flush=True)


class Watch:
    """How long, at every moment, until the standbys have applied what the leader had then."""

    def __init__(self, cluster: RealCluster, lags: list[float]) -> None:
        self.cluster = cluster
        self.lags = lags
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        standby = self.cluster.standbys()[0]
        leader = self.cluster.leader()
        while not self.ended.is_set():
            wanted, began = leader.status()["end"], time.monotonic()
            while applied(standby) < wanted and not self.ended.is_set():
                time.sleep(0.01)
            self.lags.append(time.monotonic() - began)
            time.sleep(0.3)


def applied(node: NodeProcess) -> int:
    """Up to where a standby has applied the log, as its own metrics say."""
    with urllib.request.urlopen(f"http://{node.host}:{node.web}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    end = re.search(r"^lineshaft_cluster_log_end (\S+)", text, re.MULTILINE)
    behind = re.search(rf'^lineshaft_cluster_node_behind{{node="{node.name}"}} (\S+)', text, re.MULTILINE)
    return int(float(end[1]) - float(behind[1])) if end and behind else 0


def takeovers(cluster: RealCluster, backlog: int, kills: int) -> None:
    """Kill the leading node, with a backlog; then together with the server of NATS that leads the stream."""
    leader = cluster.leader()
    assert leader.process is not None
    began = time.monotonic()
    run_jobload(FILL, jobs=backlog, port=leader.port, pid=leader.process.pid, limit_seconds=200)
    print(f"{count(cluster):,} jobs enqueued in {time.monotonic() - began:.0f} s", flush=True)
    for what, with_nats in (("the leading node", False), ("the leading node and the stream's own nats-server", True)):
        taken = []
        for _ in range(kills if not with_nats else max(kills // 2, 1)):
            wait_for(cluster.is_whole, "all nodes are there", within=120)
            server = stream_leader(cluster) if with_nats else None
            old, before = cluster.leader(), count(cluster)
            began = time.monotonic()
            old.kill()
            if server is not None:
                server.kill()
            serving(cluster)
            taken.append(time.monotonic() - began)
            assert count(cluster) == before, "jobs were lost"
            for process in (server, old):
                if process is not None:
                    process.start()
        told = ", ".join(f"{each:.1f}" for each in taken)
        print(f"takeover after a kill of {what}: median {median(taken):.1f} s ({told})", flush=True)


def serving(cluster: RealCluster) -> None:
    """Return when some node serves a command."""
    while True:
        for node in cluster.nodes.values():
            if node.is_running and node.leads():
                try:
                    node.say("INFO")
                    return
                except (OSError, EOFError, WireError):
                    pass
        time.sleep(0.02)


def count(cluster: RealCluster) -> int:
    """How many jobs are enqueued."""
    found: int = json.loads(cluster.leader().say("INFO"))["faktory"]["total_enqueued"]
    return found


def stream_leader(cluster: RealCluster) -> NatsServer:
    """The server of NATS that leads the log's stream."""

    async def ask() -> str:
        client = await nats.connect([server.url for server in cluster.nats])
        info = await client.jetstream().stream_info("LINESHAFT_test")
        await client.close()
        assert info.cluster is not None
        return str(info.cluster.leader)

    name = asyncio.run(ask())
    return next(server for server in cluster.nats if server.name == name)


if __name__ == "__main__":
    sys.exit(main())
