"""Other people's workers run jobs, report what became of them, and stop when they are told to."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from acceptance.clients.programs import Client, wait_until
from acceptance.clients.servers import Target
from wire_client import WireClient

pytestmark = pytest.mark.timeout(600)


def sets(wire: WireClient) -> dict[str, int]:
    found: dict[str, int] = wire.info()["faktory"]["sets"]
    return found


def processed(wire: WireClient) -> int:
    found: int = wire.info()["faktory"]["total_processed"]
    return found


def push(wire: WireClient, jid: str, **fields: Any) -> None:
    # One library refuses a job without `reserve_for`, though the protocol makes it optional.
    wire.push(jid, reserve_for=600, **fields)


def requeue(wire: WireClient, target: str) -> None:
    wire.command(b'MUTATE {"cmd":"requeue","target":"%s"}' % target.encode())


def take(wire: WireClient) -> dict[str, Any]:
    job = wire.fetch("work")
    assert job is not None
    return job


def test_runs_and_acknowledges(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    args = [1, "two ☃", [3.5], {"four": None}]
    with client.working(tmp_path, target.environment(), "work", wid="worker-ack") as it:
        push(wire, "run-000001", jobtype="note", queue="work", args=args)
        wait_until(lambda: processed(wire) == 1, "the ACK")
        assert it.lines() == [{"ran": "run-000001", "jobtype": "note", "args": args}]
    info = wire.info()["faktory"]
    assert (info["total_failures"], info["queues"], info["sets"]["working"]) == (0, {"work": 0}, 0)


def test_names_with_weights_reach_the_server(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    expected = [f"heavy-{number:05d}" for number in range(5)] + [f"light-{number:05d}" for number in range(5)]
    for jid in expected:
        push(wire, jid, jobtype="note", queue=jid[:5])
    with client.working(tmp_path, target.environment(), "heavy:3", "light:1", "idle", wid="worker-weights") as it:
        wait_until(lambda: processed(wire) == len(expected), "10 ACKs")
        assert Counter(it.ran()) == Counter(expected)


def test_runs_every_job_once(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    expected = [f"many-{number:06d}" for number in range(30)]
    for jid in expected:
        push(wire, jid, jobtype="note", queue=f"work{len(jid) % 2}")
    queues = sorted({f"work{len(jid) % 2}" for jid in expected} | {"idle"})
    with client.working(tmp_path, target.environment(), *queues, wid="worker-many") as it:
        wait_until(lambda: processed(wire) == len(expected), "30 ACKs")
        assert Counter(it.ran()) == Counter(expected)


def test_a_failing_job_dies_after_its_retries(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    with client.working(tmp_path, target.environment(), "work", wid="worker-die") as it:
        push(wire, "die-000001", jobtype="boom", queue="work", retry=1, backtrace=5)
        wait_until(lambda: sets(wire)["retries"] == 1, "the first failure")
        # A retry is due in 15 s at the earliest; an operator need not wait.
        requeue(wire, "retries")
        wait_until(lambda: sets(wire)["dead"] == 1, "its death")
        assert it.ran() == ["die-000001"] * 2
    requeue(wire, "dead")
    failure = take(wire)["failure"]
    assert (failure["retry_count"], failure["remaining"], failure["message"]) == (1, 0, "boom")
    assert failure["errtype"]
    assert len(failure.get("backtrace", [])) <= 50
    info = wire.info()["faktory"]
    assert (info["total_failures"], info["total_processed"]) == (2, 2)


def test_without_retries_a_failing_job_dies_at_once(
    client: Client, target: Target, wire: WireClient, tmp_path: Path
) -> None:
    with client.working(tmp_path, target.environment(), "work", wid="worker-once"):
        push(wire, "once-000001", jobtype="boom", queue="work", retry=-1)
        wait_until(lambda: sets(wire)["dead"] == 1, "its death")
    assert sets(wire) == {"scheduled": 0, "retries": 0, "dead": 1, "working": 0}


def test_an_ephemeral_job_is_discarded(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    with client.working(tmp_path, target.environment(), "work", wid="worker-ephemeral"):
        push(wire, "gone-000001", jobtype="boom", queue="work", retry=0)
        wait_until(lambda: wire.info()["faktory"]["total_failures"] == 1, "the failure")
    assert sets(wire) == {"scheduled": 0, "retries": 0, "dead": 0, "working": 0}


def test_a_retry_succeeds(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    with client.working(tmp_path, target.environment(), "work", wid="worker-retry") as it:
        push(wire, "retry-00001", jobtype="flaky", queue="work", args=[str(tmp_path / "tried")])
        wait_until(lambda: sets(wire)["retries"] == 1, "the first failure")
        requeue(wire, "retries")
        wait_until(lambda: processed(wire) == 2, "the ACK")
        assert it.ran() == ["retry-00001"] * 2
    assert sets(wire) == {"scheduled": 0, "retries": 0, "dead": 0, "working": 0}


def test_obeys_quiet_and_terminate(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    wid = "worker-obedient"

    def tell(state: str) -> None:
        # A worker's state only moves forward, whoever reports it: the next BEAT of the worker learns of it.
        said = json.dumps({"wid": wid, "current_state": state}).encode()
        assert json.loads(wire.command(b"BEAT " + said)) == {"state": state}

    with client.working(tmp_path, target.environment(), "work", wid=wid) as it:
        push(wire, "before-0001", jobtype="note", queue="work")
        wait_until(lambda: processed(wire) == 1, "a job before the signal")
        tell("quiet")
        # A FETCH that waited already may still get a job, but waits no longer than one that begins now; after the
        # first of these the server hands out nothing, and after the last the worker has heard it from a BEAT.
        assert wire.fetch("idle") is None
        push(wire, "during-0001", jobtype="note", queue="work")
        for _ in range(math.ceil(client.beat_seconds / 2)):
            assert wire.fetch("idle") is None
        assert it.process.poll() is None
        tell("terminate")
        it.wait_end(client.beat_seconds + 60)
        assert it.ran() == ["before-0001"]
        assert it.lines()[-1] == {"stopped": True}
    assert take(wire)["jid"] == "during-0001"
