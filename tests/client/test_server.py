"""Both clients against a real server."""

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lineshaft.client import AsyncClient, Client, JobFailed, Track, job_of
from lineshaft.client.client import PushedJob
from lineshaft.errors import PeerError, Refusal
from processes import ServerProcess


def test_from_push_to_result(kind: Any, url: str) -> None:
    with kind(url) as client:
        pushed = client.push(job_of("sum", 1, 2).using(track=True))
        assert pushed.track_get().state == "enqueued"
        job = client.fetch("default")
        assert (job["jid"], job["args"]) == (pushed.jid, [1, 2])
        client.track_set(pushed.jid, percent=50, desc="half")
        track = pushed.track_get()
        assert (track.state, track.percent, track.desc) == ("working", 50, "half")
        with pytest.raises(TimeoutError, match="is working after"):
            pushed.wait(0.02)
        client.ack(pushed.jid, 3)
        assert pushed.wait(1) == 3
        assert client.wait(pushed.jid, 1, int) == 3


def test_a_result_has_the_type_that_was_declared(url: str) -> None:
    with Client(url) as client:
        pushed = client.push(job_of("day", 1))
        assert client.fetch("default") is not None
        client.ack(pushed.jid, "2026-11-25")
        day = PushedJob(client._talker, pushed.jid, datetime).wait
        with pytest.raises(msgspec.ValidationError):
            day(1)
        assert client.wait(pushed.jid, timedelta(seconds=1), str) == "2026-11-25"


def test_nobody_waits_for_a_job_that_will_not_succeed(kind: Any, url: str) -> None:
    with kind(url) as client:
        dying = client.push(job_of("dies").using(track=True, retry=-1))
        client.fetch("default")
        client.fail(dying.jid, "Oops", "no")
        with pytest.raises(JobFailed, match="is dead") as caught:
            dying.wait(1)
        assert isinstance(caught.value.track, Track)
        cancelled = client.push(job_of("waits").using(track=True))
        cancelled.cancel()
        with pytest.raises(JobFailed, match="was cancelled"):
            cancelled.wait(1)
        with pytest.raises(Refusal, match="Job not found"):
            cancelled.cancel()


def test_bulk(kind: Any, url: str) -> None:
    with kind(url) as client:
        first = job_of("T", 1).using(unique_for=60)
        jobs = (job_of("T", number) for number in range(2_500))
        assert client.push_bulk(jobs, chunk=300) == {}
        again = first.using(jid="second-one")
        refused = client.push_bulk([first, again, {"jobtype": "T", "args": "no"}, {"jobtype": "T", "args": []}])
        assert len(refused) == 2
        assert (refused["second-one"].code, str(refused["second-one"])) == ("NOTUNIQUE", "Job not unique")
        assert {str(refusal) for refusal in refused.values()} >= {"invalid JSON: args must be an array"}
        assert client.info()["faktory"]["queues"] == {"default": 2_502}
        # One that no server can read as a job concerns its chunk.
        refused = client.push_bulk([job_of("T"), {"jobtype": 7, "args": []}, job_of("T"), job_of("T")], chunk=2)
        assert len(refused) == 2


def test_large_jobs_are_cut_into_chunks_by_size(kind: Any, url: str) -> None:
    with kind(url) as client:
        assert client.push_bulk(job_of("T", "x" * 500_000) for _ in range(40)) == {}
        assert client.info()["faktory"]["queues"] == {"default": 40}


def test_scheduled(kind: Any, url: str) -> None:
    with kind(url) as client:
        client.push(job_of("T").using(in_=3600))
        client.push(job_of("T").using(at=datetime.now(UTC) + timedelta(days=1)))
        client.push(job_of("T").using(at=datetime.now(UTC) - timedelta(days=1)))
        assert client.info()["faktory"]["sets"]["scheduled"] == 2
        client.mutate("requeue", "scheduled")
        assert client.info()["faktory"]["queues"] == {"default": 3}


def test_operators(kind: Any, url: str) -> None:
    with kind(url) as client:
        client.push(job_of("T"))
        client.queue("pause", "default")
        client.queue("resume", "*")
        assert 0 <= client.queue("latency", "default")["default"] < 60
        job = client.fetch("default")
        client.requeue(job["jid"], timedelta(hours=1))
        assert client.info()["faktory"]["sets"]["scheduled"] == 1
        client.queue("remove", "default")
        assert client.info()["faktory"]["queues"] == {}


def test_hooks_see_every_job(kind: Any, url: str) -> None:
    with kind(url, on_push=[lambda job: job.using(custom={"tenant": 7})]) as client:
        client.push(job_of("T"))
        client.push_bulk([job_of("T")])
        assert [client.fetch("default")["custom"] for _ in range(2)] == [{"tenant": 7}] * 2


def test_many_threads_share_few_connections(url: str) -> None:
    with Client(url, connections=3) as client, ThreadPoolExecutor(20) as threads:
        pushed = list(threads.map(lambda number: client.push(job_of("T", number)).jid, range(200)))
        assert len(set(pushed)) == 200
        assert len(client._pool.idle) <= 3
        assert client.info()["faktory"]["queues"] == {"default": 200}
        assert client.info()["server"]["connections"] <= 3


def test_a_call_for_which_no_connection_is_free_times_out(url: str) -> None:
    with Client(url, connections=1, timeout_seconds=0.3) as client:
        # As one who asks has it until the answer is there.
        with client._talker._places, pytest.raises(TimeoutError):
            client.info()
        assert client._talker._places._value == 1


def test_many_tasks_share_few_connections(url: str) -> None:
    async def main() -> None:
        client = AsyncClient(url, connections=3)
        async with client:
            pushed = await asyncio.gather(*[client.push(job_of("T", number)) for number in range(200)])
            assert len({job.jid for job in pushed}) == 200
            info = await client.info()
            assert info["server"]["connections"] <= 3
            assert info["faktory"]["queues"] == {"default": 200}

    asyncio.run(main())


def test_a_cancelled_call_leaves_the_client_usable(url: str) -> None:
    async def main() -> None:
        async with AsyncClient(url, connections=1) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await client.fetch("empty")
            assert (await client.info())["faktory"]["queues"] == {}
            waiting = asyncio.create_task(client.fetch("empty"))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await client.push(job_of("T"))

    asyncio.run(main())


def test_one_client_in_several_loops(url: str) -> None:
    client = AsyncClient(url)
    for number in range(3):
        asyncio.run(_push_one(client, number))
    with Client(url) as other:
        assert other.info()["faktory"]["queues"] == {"default": 3}


async def _push_one(client: AsyncClient, number: int) -> None:
    await client.push(job_of("T", number))
    # Left open on purpose: the loop that ends takes the connection with it.
    for link in client._pool.idle:
        link.close()
    await asyncio.sleep(0)


def test_a_fork_has_connections_of_its_own(url: str) -> None:
    with Client(url) as client:
        client.push(job_of("T"))
        child = os.fork()
        if child == 0:
            try:
                client.push(job_of("T"))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        client.push(job_of("T"))
        assert client.info()["faktory"]["queues"] == {"default": 3}


def test_a_server_that_restarts_is_no_error(kind: Any, tmp_path: Path) -> None:
    # As long as a start may take on a busy machine.
    with ServerProcess(tmp_path) as server, kind(f"tcp://127.0.0.1:{server.port}", timeout_seconds=60) as client:
        client.push(job_of("T"))
        server.stop()
        starting = threading.Timer(0.3, server.start)
        starting.start()
        client.push(job_of("T"))
        starting.join()
        assert client.info()["faktory"]["queues"] == {"default": 2}


def test_a_server_that_is_not_there(kind: Any) -> None:
    # On a busy machine no time may be left for the last try.
    gone = pytest.raises((ConnectionRefusedError, TimeoutError))
    with kind("tcp://127.0.0.1:1", timeout_seconds=0.2) as client, gone:
        client.info()
    with kind("tcp://127.0.0.1:1", reconnect=False) as client, pytest.raises(ConnectionRefusedError):
        client.info()


def test_a_command_that_does_no_harm_is_sent_again(kind: Any, tmp_path: Path) -> None:
    # As long as a start may take on a busy machine.
    with ServerProcess(tmp_path) as server, kind(f"tcp://127.0.0.1:{server.port}", timeout_seconds=60) as client:
        restarting = threading.Thread(target=_restart, args=(server,))
        restarting.start()
        # It waits when the server is killed, and again after that.
        assert client.fetch("empty") is None
        restarting.join()
        with pytest.raises((PeerError, ConnectionError)):
            _killed_meanwhile(client, server)


def _restart(server: ServerProcess) -> None:
    """One after the other, however late each comes."""
    time.sleep(0.2)
    server.kill()
    time.sleep(0.4)
    server.start()


def _killed_meanwhile(client: Any, server: ServerProcess) -> None:
    killing = threading.Timer(0.2, server.kill)
    killing.start()
    try:
        # Two seconds for each FETCH: the PUSH is not answered before the server is killed, even if that comes late.
        client.pipeline([b"FETCH empty"] * 20 + [b'PUSH {"jid":"abcdefgh","jobtype":"T","args":[]}'])
    finally:
        killing.join()
