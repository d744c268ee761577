"""The loads of the bench, on the real server: the jobs ask for what the row says."""

import json
from pathlib import Path

import pytest
from jobload import LOADS, build_jobload, run_jobload
from servers import Lineshaft, Server, ServerFailed, ask

pytestmark = pytest.mark.usefixtures("compiler")

BATCHED = next(load for load in LOADS if load.has_batch)


def test_the_jobs_of_a_run_belong_to_one_batch(tmp_path: Path) -> None:
    build_jobload()
    with Server(Lineshaft(), tmp_path, sync="never") as server:
        bid = server.contestant.begin_batch(server.port)
        run_jobload(BATCHED, jobs=300, port=server.port, pid=server.pid, bid=bid)
        found = json.loads(ask(server.port, f"BATCH STATUS {bid}".encode()))
        assert (found["total"], found["pending"], found["failed"]) == (300, 0, 0)
        with pytest.raises(ServerFailed, match="answered with -ERR"):
            ask(server.port, b"BATCH NEW {}")
