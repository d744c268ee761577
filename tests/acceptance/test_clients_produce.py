"""What other people's clients push is taken as it was meant."""

import json
from typing import Any

import pytest

from acceptance.clients.programs import Client, a_job
from acceptance.clients.servers import Target
from wire_client import WireClient

pytestmark = pytest.mark.timeout(600)

LATER = "2099-01-02T03:04:05Z"


def fetch_all(wire: WireClient, queue: str, count: int) -> list[dict[str, Any]]:
    found = [wire.fetch(queue) for _ in range(count)]
    assert wire.info()["faktory"]["queues"][queue] == 0
    return [job for job in found if job is not None]


def test_push_keeps_every_field(client: Client, target: Target, wire: WireClient) -> None:
    args = [2**53 - 1, 1.5, "ünïcødé ☃", None, {"b": [True], "a": {}}, "x" * 5000]
    pushed = a_job("fields-0001", args=args, queue="a.b_c-d", retry=3, custom={"tenant": "t1"}, reserve_for=120)
    client.run(target.environment(), "push", {"jobs": [pushed]})
    fetched = wire.fetch("a.b_c-d")
    assert fetched is not None
    assert {key: fetched[key] for key in pushed} == pushed
    assert "created_at" in fetched
    assert "enqueued_at" in fetched


def test_pushes_are_fetched_in_order(client: Client, target: Target, wire: WireClient) -> None:
    names = [f"order-{number:04d}" for number in range(20)]
    client.run(target.environment(), "push", {"jobs": [a_job(jid) for jid in names]})
    assert [job["jid"] for job in fetch_all(wire, "default", 20)] == names


def test_push_later(client: Client, target: Target, wire: WireClient) -> None:
    client.run(target.environment(), "push", {"jobs": [a_job("later-0001", at=LATER)]})
    info = wire.info()["faktory"]
    assert info["sets"]["scheduled"] == 1
    assert sum(info["queues"].values()) == 0
    wire.command(b'MUTATE {"cmd":"requeue","target":"scheduled"}')
    fetched = wire.fetch()
    assert fetched is not None
    assert fetched["jid"] == "later-0001"
    assert fetched["at"].startswith("2099-01-02T03:04:05")


def test_a_time_in_the_past_is_now(client: Client, target: Target, wire: WireClient) -> None:
    client.run(target.environment(), "push", {"jobs": [a_job("past-0001", at="2001-01-02T03:04:05Z")]})
    assert wire.info()["faktory"]["queues"] == {"default": 1}


def test_push_in_bulk(client: Client, target: Target, wire: WireClient) -> None:
    client.need("bulk")
    jobs = [a_job(f"bulk-{number:06d}", queue="bulk", args=[number]) for number in range(200)]
    assert client.run(target.environment(), "bulk", {"jobs": jobs}) == {"refused": {}}
    assert sorted(job["args"][0] for job in fetch_all(wire, "bulk", 200)) == list(range(200))


def test_a_bad_job_in_bulk_stops_no_other(client: Client, target: Target, wire: WireClient) -> None:
    client.need("bulk")
    jobs = [a_job("good-0001"), a_job("bad-000001", reserve_for=100_000), a_job("good-0002", at=LATER)]
    found = client.run(target.environment(), "bulk", {"jobs": jobs})
    assert found == {"refused": {"bad-000001": "jobs cannot be reserved for more than one day"}}
    info = wire.info()["faktory"]
    assert (info["queues"], info["sets"]["scheduled"]) == ({"default": 1}, 1)


def test_a_refused_push_is_told(client: Client, target: Target, wire: WireClient) -> None:
    done = client.try_run(target.environment(), "push", {"jobs": [a_job("bad-000002", reserve_for=100_000)]})
    assert done.returncode != 0
    # One library only tells yes from no.
    expected = "did not take bad-000002" if client.name == "faktory.py" else "reserved for more than one day"
    assert expected in done.stderr
    assert json.dumps(wire.info()["faktory"]["queues"]) == "{}"
