"""The cluster's demo: three servers of NATS and three nodes on loopback, load, and the leader killed again and again.

```
 producers, workers ── any node ══> the leader ──> the log on three servers of NATS
                                       ^ SIGKILL, every few seconds, as soon as there is another
```

At the end every job whose push was answered `+OK` is counted: how many were done, how many lost (0, or the exit code is
1), how many run twice, which a job may after a crash. `make demo-cluster`; `ARGS="--kills 10"` makes it longer.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from cluster.load import Load
from cluster.real import RealCluster, nats_program, wait_for

__all__ = ["main"]


def main() -> int:
    """Play it; returns the exit code."""
    arguments = argparse.ArgumentParser(description="Kill the leader of a cluster again and again, and count.")
    arguments.add_argument("--kills", type=int, default=5)
    kills: int = arguments.parse_args().kills
    if nats_program() is None:
        print("nats-server is missing; Debian and Ubuntu: apt install nats-server", file=sys.stderr)
        return 2
    root = Path(tempfile.mkdtemp(prefix="lineshaft-cluster-"))
    print(f"three servers of NATS and three nodes; what they say is in {root}/*.log")
    with RealCluster(root, rules="[workers]\nrecover_after = 15\n") as cluster:
        return play(cluster, kills)


def play(cluster: RealCluster, kills: int) -> int:
    """Load, kills, the count."""
    load = Load(cluster)
    load.start()
    for number in range(1, kills + 1):
        time.sleep(2)
        leader = cluster.leader()
        before, began = len(load.accepted), time.monotonic()
        leader.kill()
        heir = cluster.leader()
        seconds = time.monotonic() - began
        print(f"kill {number}: {leader.name} led, {before} jobs pushed; {heir.name} leads after {seconds:.1f} s")
        leader.start()
        wait_for(cluster.is_whole, "all nodes are there", within=120)
    print("no more kills; waiting for the last jobs")
    load.finish()
    lost = load.accepted - load.acked.keys()
    twice = load.acked.total() - len(load.acked)
    print(f"pushed {len(load.accepted)}, done {len(load.acked)}, lost {len(lost)}, run twice {twice}")
    print(f"the longest that nothing was answered: {load.longest_silence:.1f} s")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
