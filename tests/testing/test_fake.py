"""The testing kit, as its users would use it."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lineshaft import AsyncClient, Client, Dead, Jobs, Refusal, Requeue, Retry, UsageError, job_of, this_job
from lineshaft.client import JobFailed
from lineshaft.testing import FakeServer
from lineshaft.worker.outcome import Done, Failed, GivenBack, Killed

jobs = Jobs()
client = Client(environment={})


@jobs.job(keep_result=True)
async def double(number: int) -> int:
    return 2 * number


@jobs.job(queue="other", run="process", keep_result=True)
def where() -> str:
    return threading.current_thread().name


@jobs.job
def twice(number: int) -> None:
    client.push(double.job(number))
    client.push(double.job(number + 1))


@jobs.job(retry=2)
def fails() -> None:
    raise ValueError("no")


@jobs.job(backoff="fixed:60")
def third_time() -> int:
    if this_job().attempt < 3:
        raise Retry
    return this_job().attempt


@jobs.job(track=True)
def progresses() -> None:
    this_job().progress(30, "a third")


@jobs.job
def verdict(what: str) -> None:
    raise Dead("over") if what == "dead" else Requeue(in_=60)


@jobs.job
def forever() -> None:
    client.push(forever.job())


def test_it_is_the_real_server(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    lineshaft_client.push(job_of("T", 1).using(unique_for=60))
    with pytest.raises(Refusal, match="Job not unique"):
        lineshaft_client.push(job_of("T", 1).using(unique_for=60))
    assert lineshaft_server.queues() == {"default": 1}
    lineshaft_server.advance(minutes=2)
    lineshaft_client.push(job_of("T", 1).using(unique_for=60))
    assert lineshaft_client.push_bulk(job_of("T", number) for number in range(2_000)) == {}
    job = lineshaft_client.fetch("default")
    assert job is not None
    assert lineshaft_server.sets()["working"] == 1
    assert lineshaft_client.fetch("empty") is None


def test_drain(lineshaft_server: FakeServer) -> None:
    with lineshaft_server.serving(client):
        pushed = client.push(double.job(4))
        client.push(twice.job(1))
        client.push(where.job())
        runs = lineshaft_server.drain(jobs)
        assert [run.jobtype for run in runs if run.queue == "default"] == ["double", "twice", "double", "double"]
        assert [run.result for run in runs if run.jobtype == "double"] == [8, 2, 4]
        assert pushed.wait(0) == 8
        assert lineshaft_server.drain(jobs) == []
    assert lineshaft_server.sets()["working"] == 0


def test_drain_some_queues(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    lineshaft_client.push(double.job(1))
    lineshaft_client.push(where.job())
    (run,) = lineshaft_server.drain(jobs, queues=["other"])
    assert run.result.startswith("job")
    assert lineshaft_server.queues() == {"default": 1, "other": 0}


def test_errors_are_raised_once_all_has_run(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    lineshaft_client.push(fails.job())
    last = lineshaft_client.push(double.job(1))
    with pytest.raises(ValueError, match="no"):
        lineshaft_server.drain(jobs)
    assert last.wait(0) == 2
    assert lineshaft_server.sets()["retries"] == 1
    lineshaft_server.advance(hours=1)
    (run,) = lineshaft_server.drain(jobs, raise_errors=False)
    assert isinstance(run.outcome, Failed)
    with pytest.raises(ValueError, match="no"):
        _ = run.result
    lineshaft_server.advance(hours=1)
    lineshaft_server.drain(jobs, raise_errors=False)
    assert lineshaft_server.sets()["dead"] == 1


def test_retries_come_due(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    lineshaft_client.push(third_time.job())
    attempts = []
    for _ in range(3):
        attempts += lineshaft_server.drain(jobs, raise_errors=False)
        lineshaft_server.advance(seconds=60)
    assert [type(run.outcome) for run in attempts] == [Failed, Failed, Done]


def test_verdicts_and_progress(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    lineshaft_client.push(verdict.job("dead"))
    lineshaft_client.push(verdict.job("later"))
    tracked = lineshaft_client.push(progresses.job())
    runs = lineshaft_server.drain(jobs, raise_errors=False)
    assert [type(run.outcome) for run in runs] == [Killed, GivenBack, Done]
    assert lineshaft_server.sets() == {"scheduled": 1, "retries": 0, "dead": 1, "working": 0}
    track = tracked.track_get()
    assert (track.percent, track.desc, track.state) == (30, "a third", "success")


def test_scheduled_jobs_wait_for_the_clock(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    lineshaft_client.push(double.job(1).using(in_=3600))
    lineshaft_server.advance(minutes=59)
    assert lineshaft_server.drain(jobs) == []
    lineshaft_server.advance(minutes=1)
    assert [run.result for run in lineshaft_server.drain(jobs)] == [2]


def test_waiting_lets_time_pass(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    before = lineshaft_server.clock()
    with pytest.raises(TimeoutError):
        lineshaft_client.push(double.job(1).using(track=True)).wait(3600)
    assert lineshaft_server.clock() - before >= 3_600_000
    dying = lineshaft_client.push(verdict.job("dead").using(track=True))
    lineshaft_server.drain(jobs, raise_errors=False)
    with pytest.raises(JobFailed):
        dying.wait(1)


def test_inline(lineshaft_server: FakeServer) -> None:
    with lineshaft_server.inline(jobs, client=client):
        assert client.push(double.job(5)).wait(0) == 10
        client.push(twice.job(1))
        assert lineshaft_server.queues() == {"default": 0}
        with pytest.raises(ValueError, match="no"):
            client.push(fails.job())


def test_afterwards_the_client_is_as_it_was(lineshaft_server: FakeServer) -> None:
    mine = Client("tcp://127.0.0.1:1", reconnect=False)
    with lineshaft_server.serving(mine):
        mine.push(job_of("T"))
    with pytest.raises(ConnectionRefusedError):
        mine.push(job_of("T"))


def test_asyncio(lineshaft_server: FakeServer) -> None:
    async def main() -> None:
        mine = AsyncClient("tcp://127.0.0.1:1")
        with lineshaft_server.serving(mine):
            pushed = await mine.push(double.job(3))
            await lineshaft_server.drain_async(jobs)
            assert await pushed.wait(1) == 6
            assert await mine.fetch("default") is None
        assert await lineshaft_server.async_client().push_bulk([job_of("T")]) == {}

    asyncio.run(main())


def test_jobs_that_never_end(lineshaft_server: FakeServer) -> None:
    with lineshaft_server.serving(client):
        client.push(forever.job())
        with pytest.raises(UsageError, match="20 jobs have run"):
            lineshaft_server.drain(jobs, limit=20)


def test_batches(lineshaft_server: FakeServer, lineshaft_client: Client) -> None:
    with lineshaft_client.batch(success=double.job(100)) as batch:
        batch.push(double.job(1))
    assert [run.result for run in lineshaft_server.drain(jobs)] == [2, 200]
    assert batch.status().success_st == "2"


def test_the_plugin_imports_nothing_that_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_it():\n"
        "    assert 'lineshaft.testing.plugin' in sys.modules\n"
        "    assert not [m for m in sys.modules if m.startswith(('lineshaft.engine', 'lineshaft.client'))]\n"
        "def test_fixture(lineshaft_client):\n"
        "    assert lineshaft_client.info()['server']['description'] == 'Lineshaft, in memory'\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
