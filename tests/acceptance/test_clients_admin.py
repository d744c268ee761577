"""Other people's clients administer the server: they pause queues, change many jobs at once, and ask how it goes."""

from typing import Any

import pytest

from acceptance.clients.programs import Client
from acceptance.clients.servers import Target
from wire_client import WireClient

pytestmark = pytest.mark.timeout(600)

LATER = "2099-01-02T03:04:05Z"


def sizes(wire: WireClient) -> dict[str, int]:
    info = wire.info()["faktory"]
    return {**info["sets"], "enqueued": sum(info["queues"].values())}


def schedule(wire: WireClient, jid: str, **fields: Any) -> None:
    wire.push(jid, at=LATER, **fields)


def fail_into_retries(wire: WireClient, jid: str, **fields: Any) -> None:
    wire.push(jid, **fields)
    job = wire.fetch()
    assert job is not None
    wire.fail(job["jid"], errtype="E", message="m")


def mutate(client: Client, target: Target, cmd: str, where: str, **chosen: Any) -> None:
    message: dict[str, Any] = {"cmd": cmd, "target": where}
    if chosen:
        message["filter"] = chosen
    assert client.run(target.environment(), "mutate", message) == {"done": True}


def test_info(client: Client, target: Target, wire: WireClient) -> None:
    client.need("info")
    wire.push("info-00001", queue="one")
    wire.push("info-00002", queue="two")
    wire.push("info-00003", queue="two")
    fetched = wire.fetch("one")
    assert fetched is not None
    wire.ack(fetched["jid"])
    found = client.run(target.environment(), "info")["info"]
    assert found["faktory"]["queues"] == {"one": 0, "two": 2}
    assert found["faktory"]["total_queues"] == 2
    assert found["faktory"]["total_enqueued"] == 2
    assert found["faktory"]["total_processed"] == 1
    assert found["faktory"]["total_failures"] == 0
    assert found["server"]["faktory_version"].startswith("1.")
    assert found["server"]["connections"] >= 1
    assert set(found) == {"now", "server_utc_time", "faktory", "server"}


def test_pause_and_resume(client: Client, target: Target, wire: WireClient) -> None:
    client.need("pause")
    wire.push("paused-0001", queue="slow")
    wire.push("paused-0002", queue="fast")
    assert client.run(target.environment(), "pause", {"queues": ["slow"]}) == {"done": True}
    fetched = wire.fetch("slow", "fast")
    assert fetched is not None
    assert fetched["jid"] == "paused-0002"
    assert client.run(target.environment(), "resume", {"queues": ["*"]}) == {"done": True}
    fetched = wire.fetch("slow", "fast")
    assert fetched is not None
    assert fetched["jid"] == "paused-0001"


def test_remove(client: Client, target: Target, wire: WireClient) -> None:
    client.need("pause")
    wire.push("removed-001", queue="old")
    wire.push("kept-000001", queue="new")
    assert client.run(target.environment(), "remove", {"queues": ["old"]}) == {"done": True}
    assert wire.info()["faktory"]["queues"] == {"new": 1}


def test_mutate_clears(client: Client, target: Target, wire: WireClient) -> None:
    client.need("mutate")
    for number in range(5):
        schedule(wire, f"clear-{number:05d}")
    fail_into_retries(wire, "keep-000001")
    mutate(client, target, "clear", "scheduled")
    assert sizes(wire) == {"scheduled": 0, "retries": 1, "dead": 0, "working": 0, "enqueued": 0}


def test_mutate_kills_by_type(client: Client, target: Target, wire: WireClient) -> None:
    client.need("mutate")
    fail_into_retries(wire, "type-a-0001", jobtype="A")
    fail_into_retries(wire, "type-b-0001", jobtype="B")
    mutate(client, target, "kill", "retries", jobtype="A")
    assert sizes(wire) == {"scheduled": 0, "retries": 1, "dead": 1, "working": 0, "enqueued": 0}
    wire.command(b'MUTATE {"cmd":"requeue","target":"dead"}')
    fetched = wire.fetch()
    assert fetched is not None
    assert fetched["jid"] == "type-a-0001"


def test_mutate_discards_by_pattern(client: Client, target: Target, wire: WireClient) -> None:
    client.need("mutate")
    schedule(wire, "pattern-001", args=["fizz"])
    schedule(wire, "pattern-002", args=["buzz"])
    mutate(client, target, "discard", "scheduled", regexp='*"args":\\["fizz"\\]*')
    assert sizes(wire) == {"scheduled": 1, "retries": 0, "dead": 0, "working": 0, "enqueued": 0}
    mutate(client, target, "requeue", "scheduled", regexp="*buzz*")
    fetched = wire.fetch()
    assert fetched is not None
    assert fetched["jid"] == "pattern-002"


def test_mutate_requeues_by_jid(client: Client, target: Target, wire: WireClient) -> None:
    client.need("mutate")
    for number in range(4):
        schedule(wire, f"chosen-{number:04d}")
    mutate(client, target, "requeue", "scheduled", jids=["chosen-0001", "chosen-0003", "unknown-01"])
    assert sizes(wire) == {"scheduled": 2, "retries": 0, "dead": 0, "working": 0, "enqueued": 2}
    found = [wire.fetch(), wire.fetch()]
    assert {job["jid"] for job in found if job} == {"chosen-0001", "chosen-0003"}


def test_mutate_without_a_filter_is_about_all(client: Client, target: Target, wire: WireClient) -> None:
    client.need("mutate")
    schedule(wire, "every-00001")
    schedule(wire, "every-00002")
    mutate(client, target, "kill", "scheduled")
    assert sizes(wire)["dead"] == 2
    mutate(client, target, "discard", "dead")
    assert sizes(wire) == {"scheduled": 0, "retries": 0, "dead": 0, "working": 0, "enqueued": 0}
