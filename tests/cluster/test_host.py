"""The host: the clock of the lease, and a process that ends although NATS stands still."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cluster.real import RealCluster, nats_program

CLOCK = "import time; from lineshaft.cluster.host import _milliseconds as ours; print(ours() - time.monotonic() * 1000)"


def can_have_times() -> bool:
    """Whether this process may have clocks of its own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-T", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_have_times(), reason="needs root and time namespaces")
def test_the_lease_runs_on_while_the_machine_is_suspended() -> None:
    """As after a night: the clock that counts it is ahead of the one that stood still."""
    command = ["unshare", "-T", "--boottime", "30000", sys.executable, "-c", CLOCK]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(found) > 29_000_000


@pytest.mark.skipif(nats_program() is None and not os.environ.get("CI"), reason="nats-server is not installed")
def test_a_node_ends_although_nats_stands_still(tmp_path: Path) -> None:
    with RealCluster(tmp_path, "a", replicas=1) as cluster:
        cluster.nats[0].pause()
        try:
            began = time.monotonic()
            assert cluster.nodes["a"].stop() == 0
            assert time.monotonic() - began < 10
        finally:
            cluster.nats[0].go_on()
