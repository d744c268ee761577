"""The cluster's demo: three servers of NATS and three nodes on loopback, load, and the leader killed again and again.

```
 producers, workers ── any node ══> the leader ──> the log on three servers of NATS
                                       ^ SIGKILL, every few seconds, as soon as there is another
```

At the end every job whose push was answered `+OK` is counted: how many were done, how many lost (0, or the exit code is
1), how many run twice, which a job may after a crash. `make demo-cluster`; `ARGS="--kills 10"` makes it longer, and
`NATS_SERVER=build/nats/nats-server` takes a newer nats-server (`make nats`), whose servers then sync each entry.
"""

import argparse
import re
import subprocess
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
    program = nats_program()
    if program is None:
        print("nats-server is missing; Debian and Ubuntu: apt install nats-server", file=sys.stderr)
        return 2
    version, can_sync = about(program)
    sync = "always" if can_sync else "2m"
    root = Path(tempfile.mkdtemp(prefix="lineshaft-cluster-"))
    print(f"three servers of NATS {version}, sync_interval {sync}, and three nodes; what they say is in {root}/*.log")
    jetstream = f"sync_interval: {sync}" if can_sync else ""
    with RealCluster(root, rules="[workers]\nrecover_after = 15\n", jetstream=jetstream) as cluster:
        return play(cluster, kills)


def about(program: str) -> tuple[str, bool]:
    """A nats-server's version, and whether it can sync each entry: from 2.10 on."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"v(\d+)\.(\d+)\S*", said)
    if found is None:
        return said.strip(), False
    return found[0], (int(found[1]), int(found[2])) >= (2, 10)


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
    print(f"pushed {len(load.accepted)}, done {len(load.acked)}, lost {len(lost)}, run twice {load.twice}")
    print(f"the longest that nothing was answered: {load.longest_silence:.1f} s")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
