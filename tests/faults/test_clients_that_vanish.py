"""Clients that do not read, and clients whose machine has gone without a word: nobody else notices them."""

import json
import os
import socket
import time
from pathlib import Path

import pytest

from processes import ServerProcess
from wire_client import WireClient

#: Of Linux: a socket in repair is closed without telling the peer, as when a machine loses its power.
TCP_REPAIR = 19

JOB = "x" * 100_000
JOBS = 300


def rss_mb(server: ServerProcess) -> int:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmRSS"))


def push_large(client: WireClient) -> None:
    """Far more than the kernel keeps for a connection."""
    for begin in range(0, JOBS, 50):
        jobs = [{"jid": f"large-{n:05d}", "jobtype": "T", "args": [JOB]} for n in range(begin, begin + 50)]
        assert client.command(b"PUSHB " + json.dumps(jobs).encode()) == b"{}"


def test_a_client_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, WireClient(server.port) as other:
        push_large(other)
        before = rss_mb(server)
        slow = WireClient(server.port)
        slow.socket.sendall(b"FETCH default\r\n" * JOBS)
        time.sleep(0.5)
        # It would be for good: the other one reads nothing before all of these are answered.
        for number in range(50):
            other.push(f"quick-{number:05d}", queue="quick")
            assert other.fetch("quick") is not None
        assert rss_mb(server) - before < 20, "what it does not read is not held for it"
        # When it reads at last, it has them all, each once.
        read = [json.loads(slow.reply())["jid"] for _ in range(JOBS)]
        assert len(set(read)) == JOBS
        slow.close()


def test_a_client_that_never_reads_and_goes_gives_its_jobs_back(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server, WireClient(server.port) as other:
        push_large(other)
        slow = WireClient(server.port)
        slow.socket.sendall(b"FETCH default\r\n" * JOBS)
        time.sleep(0.3)
        slow.close()
        found = set[str]()
        while (job := other.fetch()) is not None:
            found.add(job["jid"])
        # What the kernel had taken for it counts as sent, and comes back by its reservation.
        assert len(found) > JOBS // 2, "what did not leave the server is given to others"


@pytest.mark.slow
def test_a_worker_whose_machine_has_gone(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not hasattr(socket, "TCP_KEEPIDLE"):
        pytest.skip("only root can close a socket without a word, and on Linux")
    with ServerProcess(tmp_path, "[workers]\nrecover_after = 1\n") as server, WireClient(server.port) as other:
        gone = WireClient(server.port, {"v": 2, "wid": "w-gone", "hostname": "h", "pid": 1, "labels": []})
        assert gone.command(b'BEAT {"wid":"w-gone"}') == "OK"
        assert other.push("kept-00001", reserve_for=3600) == "OK"
        job = gone.fetch()
        assert job is not None
        try:
            gone.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except OSError as error:
            gone.close()
            pytest.skip(f"no socket can be closed without a word here: {error}")
        gone.close()
        # A minute of silence, then a second of patience.
        end, job = time.monotonic() + 90, None
        while job is None and time.monotonic() < end:
            job = other.fetch()
        assert job is not None, "its job goes to another"
        assert job["jid"] == "kept-00001"
