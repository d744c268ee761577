"""Batches, against a real server."""

import asyncio
from typing import Any

import pytest

from lineshaft.client import AsyncClient, Client, job_of
from lineshaft.errors import Refusal, UsageError


def finish(client: Client, queue: str = "default") -> dict[str, Any]:
    job = client.fetch(queue)
    assert job is not None
    client.ack(job["jid"])
    return job


def test_the_callback_comes_after_all_jobs(url: str) -> None:
    with Client(url) as client:
        with client.batch("import", success=job_of("report", 1), complete=job_of("log", 2)) as batch:
            batch.push(job_of("load", 1))
            batch.push_bulk(job_of("load", number) for number in range(2, 4))
        status = batch.status()
        assert (status.bid, status.description, status.total, status.pending) == (batch.bid, "import", 3, 3)
        assert {finish(client)["custom"]["bid"] for _ in range(3)} == {batch.bid}
        assert finish(client)["jobtype"] == "log"
        report = finish(client)
        assert (report["jobtype"], report["args"], report["custom"]["_bid"]) == ("report", [1], batch.bid)
        assert batch.status().success_st == "2"


def test_a_with_that_fails_commits_nothing(url: str) -> None:
    with Client(url) as client:
        with pytest.raises(ZeroDivisionError), client.batch(success=job_of("report")) as batch:  # noqa: PT012
            batch.push(job_of("load"))
            1 / 0  # noqa: B018
        assert finish(client)["jobtype"] == "load"
        assert batch.status().success_st == ""
        # A second thought.
        batch.commit()
        assert finish(client)["jobtype"] == "report"


def test_children_and_later_jobs(url: str) -> None:
    with Client(url) as client:
        with client.batch("parent", success=job_of("all")) as parent:
            with client.batch("child", success=job_of("part"), parent=parent) as child:
                child.push(job_of("load"))
            assert child.status().parent_bid == parent.bid
            assert parent.bid is not None
        assert child.bid is not None
        with client.open_batch(child.bid) as again:
            again.push(job_of("load"))
        assert [finish(client)["jobtype"] for _ in range(4)] == ["load", "load", "part", "all"]


def test_death(url: str) -> None:
    with Client(url) as client:
        with client.batch(success=job_of("report"), death=job_of("alarm")) as batch:
            batch.push(job_of("load").using(retry=-1))
        job = client.fetch("default")
        assert job is not None
        client.fail(job["jid"], "E", "m")
        assert finish(client)["jobtype"] == "alarm"


def test_what_cannot_be(url: str) -> None:
    with Client(url) as client:
        with pytest.raises(UsageError, match="a batch needs a callback"):
            client.batch("none")
        with pytest.raises(UsageError, match="not made yet"):
            client.batch(success=job_of("T")).push(job_of("T"))
        with pytest.raises(Refusal, match="no such batch b-unknown"), client.open_batch("b-unknown"):
            pass


def test_awaited(url: str) -> None:
    async def main() -> None:
        async with AsyncClient(url) as client:
            async with client.batch("import", success=job_of("report")) as batch:
                pushed = await batch.push(job_of("load").using(track=True))
                assert await batch.push_bulk([job_of("load")]) == {}
            assert (await batch.status()).total == 2
            assert (await pushed.track_get()).state == "enqueued"
            assert batch.bid is not None
            async with client.open_batch(batch.bid) as again:
                await again.push(job_of("load"))
            assert (await batch.status()).total == 3

    asyncio.run(main())
