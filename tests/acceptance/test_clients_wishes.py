"""Other people's clients ask for unique, expiring and tracked jobs, and are understood."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptance.clients.programs import Client, a_job, wait_until
from acceptance.clients.servers import Target
from wire_client import WireClient

pytestmark = pytest.mark.timeout(600)

LATER = "2099-01-02T03:04:05Z"


def push(client: Client, target: Target, jid: str, **fields: Any) -> bool:
    """Push a job through the library; whether it was taken."""
    done = client.try_run(target.environment(), "push", {"jobs": [a_job(jid, **fields)]})
    if done.returncode == 0:
        return True
    # One library only tells yes from no.
    expected = f"did not take {jid}" if client.name == "faktory.py" else "not unique"
    assert expected in done.stderr
    return False


def track(client: Client, target: Target, jid: str) -> dict[str, Any]:
    found: dict[str, Any] = client.run(target.environment(), "track", {"jid": jid})["track"]
    return {name: value for name, value in found.items() if value not in (None, "", 0)}


def state(wire: WireClient, jid: str) -> str:
    found: str = json.loads(wire.command(b"TRACK GET " + jid.encode()))["state"]
    return found


def test_a_unique_job_is_refused_until_the_first_is_done(client: Client, target: Target, wire: WireClient) -> None:
    assert push(client, target, "unique-0001", unique_for=600)
    assert not push(client, target, "unique-0002", unique_for=600)
    assert push(client, target, "unique-0003", unique_for=600, args=[2])
    assert push(client, target, "unique-0004")
    job = wire.fetch()
    assert job is not None
    assert job["jid"] == "unique-0001"
    assert job["custom"]["unique_for"] == 600
    assert not push(client, target, "unique-0005", unique_for=600, unique_until="success")
    wire.ack("unique-0001")
    assert push(client, target, "unique-0006", unique_for=600)


def test_a_unique_job_until_its_start(client: Client, target: Target, wire: WireClient) -> None:
    assert push(client, target, "unique-0001", unique_for=600, unique_until="start")
    assert not push(client, target, "unique-0002", unique_for=600, unique_until="start")
    assert wire.fetch() is not None
    assert push(client, target, "unique-0003", unique_for=600, unique_until="start")


def test_a_bulk_push_names_the_job_that_is_not_unique(client: Client, target: Target) -> None:
    client.need("bulk")
    jobs = [a_job(f"unique-000{number}", unique_for=600) for number in (1, 2)]
    found = client.run(target.environment(), "bulk", {"jobs": jobs})
    assert found == {"refused": {"unique-0002": "NOTUNIQUE Job not unique"}}


def test_an_expiring_job_is_dropped(client: Client, target: Target, wire: WireClient) -> None:
    assert push(client, target, "expire-0001", expires_in=0.001)
    assert push(client, target, "expire-0002", expires_in=600)
    assert push(client, target, "expire-0003", expires_in=0.001, at=LATER)
    job = wire.fetch()
    assert job is not None
    assert job["jid"] == "expire-0002"

    def left() -> tuple[int, int]:
        info = wire.info()
        return info["server"]["jobs_expired"], info["faktory"]["sets"]["scheduled"]

    # Most libraries compute an instant, which for the third job lies long before its `at`.
    computed = client.name in {"faktory.go", "faktory.rs"}
    wait_until(lambda: left() == ((2, 0) if computed else (1, 1)), "the expired jobs to be gone")


def test_a_job_is_tracked_from_push_to_end(client: Client, target: Target, wire: WireClient) -> None:
    client.need("track")
    environment = target.environment()
    assert track(client, target, "track-0001") == {"jid": "track-0001", "state": "unknown"}
    assert push(client, target, "track-0001", track=True)
    before = track(client, target, "track-0001")
    assert datetime.fromisoformat(before.pop("updated_at")).date() <= datetime.now(UTC).date()
    assert before == {"jid": "track-0001", "state": "enqueued"}
    assert wire.fetch() is not None
    client.run(environment, "progress", {"jid": "track-0001", "percent": 42, "desc": "ünïcødé ☃"})
    found = track(client, target, "track-0001")
    assert (found["state"], found["percent"], found["desc"]) == ("working", 42, "ünïcødé ☃")
    wire.fail("track-0001", retry_in=0)
    assert track(client, target, "track-0001")["state"] in {"failed", "enqueued"}
    job = wire.fetch()
    assert job is not None
    wire.ack("track-0001")
    assert track(client, target, "track-0001")["state"] == "success"


def test_a_job_that_dies_is_tracked(client: Client, target: Target, wire: WireClient) -> None:
    client.need("track")
    assert push(client, target, "track-0002", track=True, retry=-1)
    assert wire.fetch() is not None
    wire.fail("track-0002")
    assert track(client, target, "track-0002")["state"] == "dead"


def test_what_a_library_has_no_method_for_is_a_line(client: Client, target: Target, wire: WireClient) -> None:
    client.need("line")
    environment = target.environment()
    wire.push("lines-00001", custom={"track": 1})
    asked = client.run(environment, "line", {"verb": "TRACK", "argument": "GET lines-00001"})["reply"]
    assert json.loads(asked)["state"] == "enqueued"
    wire.fetch()
    client.run(environment, "line", {"verb": "REQUEUE", "argument": '{"jid":"lines-00001"}'})
    assert state(wire, "lines-00001") == "enqueued"
    client.run(environment, "line", {"verb": "CANCEL", "argument": '{"jid":"lines-00001"}'})
    assert wire.info()["faktory"]["queues"] == {"default": 0}


def test_a_worker_says_how_far_it_is(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    client.need("track")
    marker = tmp_path / "go-on"
    with client.working(tmp_path, target.environment(), "default", wid="worker-track"):
        assert push(client, target, "track-0003", jobtype="report", args=[str(marker)], track=True)
        wait_until(lambda: track(client, target, "track-0003").get("percent") == 50, "its report")
        found = track(client, target, "track-0003")
        assert (found["state"], found["desc"]) == ("working", "half way")
        # Somebody else's wish to hold it longer is no error, and changes nothing.
        until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
        client.run(target.environment(), "progress", {"jid": "track-0003", "percent": 60, "reserve_until": until})
        marker.touch()
        wait_until(lambda: state(wire, "track-0003") == "success", "its end")
