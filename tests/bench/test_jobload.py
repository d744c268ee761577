"""The loads of the bench, on the real server: the jobs ask for what the row says."""

import json
from pathlib import Path

import pytest
from contestants import PASSWORD, Lineshaft
from jobload import Load, build_jobload, has_tls, run_jobload
from loads import LOADS
from servers import Server
from talk import ServerFailed, ask, ask_info

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


def test_every_shape_of_load_does_all_its_jobs(tmp_path: Path) -> None:
    build_jobload()
    shapes = [
        Load("queues", "cycle", 5, {}, queues=10, per_fetch=5),
        Load("priorities", "cycle", 5, {}, body='"jobtype":"x","args":[],"priority":%P'),
        Load("large", "cycle", 2, {}, args_bytes=65_536),
        Load("filled", "push", 2, {}, bulk=100),
        Load("drain", "drain", 2, {}),
    ]
    with Server(Lineshaft(), tmp_path, sync="never") as server:
        for shape in shapes:
            assert run_jobload(shape, jobs=200, port=server.port, pid=server.pid).jobs == 200, shape.name
        counted = ask_info(server.port)["faktory"]
        assert (counted["total_enqueued"], counted["total_processed"]) == (0, 200 * 4)


def test_an_open_loop_keeps_to_its_rate_and_counts_from_the_instant_that_was_meant(tmp_path: Path) -> None:
    build_jobload()
    load = Load("open", "cycle", 1, {})
    with Server(Lineshaft(), tmp_path, sync="never") as server:
        one = server.pid
        # A machine that stops for a while just before the end leaves some undone, but not every time.
        for _ in range(5):
            slow = run_jobload(load, jobs=10**6, port=server.port, pid=one, per_second=100, limit_seconds=1)
            assert slow.jobs < 200
            if slow.jobs > 50:
                break
        assert slow.jobs > 50
        assert set(slow.latency_us) == {"PUSH", "FETCH", "ACK", "CYCLE", "LATE"}
        # One connection cannot do so many in a second: what has to wait for it has waited, and is counted so.
        flooded = run_jobload(load, jobs=10**6, port=server.port, pid=one, per_second=50_000, limit_seconds=0.1)
        assert flooded.latency_us["PUSH"][1] > 5 * flooded.latency_us["FETCH"][1]


@pytest.mark.parametrize("secured", ["tls", "password"])
def test_a_secured_server_is_loaded(secured: str, tmp_path: Path) -> None:
    build_jobload()
    if not has_tls():
        pytest.skip("no OpenSSL to build jobload with (libssl-dev)")
    load = Load(secured, "cycle", 2, {}, secured=secured)
    password = PASSWORD if secured == "password" else ""
    with Server(Lineshaft(secured=secured), tmp_path, sync="never") as server:
        found = run_jobload(load, jobs=200, port=server.port, pid=server.pid, password=password)
        assert found.jobs == 200
