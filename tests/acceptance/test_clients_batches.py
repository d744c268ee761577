"""Other people's clients make batches, fill them, ask how far they are, and their workers run them to the end."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from acceptance.clients.programs import Client, Running, a_job, wait_until
from acceptance.clients.servers import Target
from wire_client import WireClient

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def batches(client: Client) -> None:
    """Only libraries with batches."""
    client.need("batch")


def calls(word: str, **fields: Any) -> dict[str, Any]:
    """A callback, known by its one argument: not every library can give it a jid."""
    return a_job(f"callback-{word}", args=[word], queue="work", **fields)


def jobs(*numbers: int, **fields: Any) -> list[dict[str, Any]]:
    return [a_job(f"batch-{number:06d}", args=[number], queue="work", **fields) for number in numbers]


def make(client: Client, target: Target, **fields: Any) -> str:
    """A batch through the library, with both callbacks unless others are given; returns its bid."""
    if not {"success", "complete"} & fields.keys():
        fields = {"success": calls("success"), "complete": calls("complete"), **fields}
    bid: str = client.run(target.environment(), "batch", fields)["bid"]
    assert bid.startswith("b-")
    return bid


def reopen(client: Client, target: Target, bid: str, **fields: Any) -> None:
    assert client.run(target.environment(), "batch_open", {"bid": bid, **fields}) == {"bid": bid}


def status(client: Client, target: Target, bid: str) -> dict[str, Any]:
    """What the library understood of BATCH STATUS."""
    found: dict[str, Any] = client.run(target.environment(), "batch_status", {"bid": bid})["status"]
    return found


def counts(found: dict[str, Any]) -> tuple[int, int, int, str, str]:
    return found["total"], found["pending"], found["failed"], found["complete_st"], found["success_st"]


def seen(wire: WireClient, bid: str) -> tuple[int, int, int, str, str]:
    """The same over the wire, which is quicker to ask often."""
    return counts(json.loads(wire.command(b"BATCH STATUS " + bid.encode())))


def words(it: Running) -> list[Any]:
    """The first arguments of what was run, in order."""
    return [line["args"][0] for line in it.lines() if "ran" in line]


def take(wire: WireClient) -> dict[str, Any]:
    job = wire.fetch("work")
    assert job is not None
    return job


def take_and_ack(wire: WireClient) -> dict[str, Any]:
    job = take(wire)
    wire.ack(job["jid"])
    return job


def is_drained(wire: WireClient) -> bool:
    """Whether nothing is left to be run."""
    info = wire.info()["faktory"]
    return info["queues"].get("work", 0) == 0 and info["sets"]["working"] == 0 == info["sets"]["scheduled"]


def test_its_worker_runs_a_batch_and_its_callbacks(
    client: Client, target: Target, wire: WireClient, tmp_path: Path
) -> None:
    with client.working(tmp_path, target.environment(), "work", wid="worker-batch") as it:
        bid = make(client, target, description="ünïcødé ☃", jobs=jobs(1, 2, 3))
        wait_until(lambda: seen(wire, bid) == (3, 0, 0, "2", "2"), "the end of the batch")
        assert words(it) == [1, 2, 3, "complete", "success"]
        if "more" not in client.lacks:
            assert [line.get("bid") for line in it.lines()] == [bid] * 3 + [None] * 2
            assert [line.get("_bid") for line in it.lines()] == [None] * 3 + [bid] * 2
    found = status(client, target, bid)
    assert (found["bid"], found["description"]) == (bid, "ünïcødé ☃")
    assert counts(found) == (3, 0, 0, "2", "2")
    assert is_drained(wire)
    assert wire.info()["faktory"]["total_processed"] == 5


def test_an_empty_batch_calls_back_at_once(client: Client, target: Target, wire: WireClient) -> None:
    bid = make(client, target)
    assert counts(status(client, target, bid)) == (0, 0, 0, "1", "")
    complete = take(wire)
    assert (complete["args"], complete["custom"]["_bid"]) == (["complete"], bid)
    assert "bid" not in complete["custom"]
    assert wire.info()["faktory"]["queues"]["work"] == 0
    wire.ack(complete["jid"])
    assert counts(status(client, target, bid)) == (0, 0, 0, "2", "1")
    success = take_and_ack(wire)
    assert (success["args"], success["custom"]["_bid"]) == (["success"], bid)
    assert counts(status(client, target, bid)) == (0, 0, 0, "2", "2")
    assert is_drained(wire)


@pytest.mark.parametrize("word", ["success", "complete"])
def test_one_callback_alone(client: Client, target: Target, wire: WireClient, word: str) -> None:
    bid = make(client, target, **{word: calls(word)}, jobs=jobs(1))
    take_and_ack(wire)
    job = take_and_ack(wire)
    assert (job["jobtype"], job["args"], job["custom"]["_bid"]) == ("note", [word], bid)
    done = ("2", "") if word == "complete" else ("", "2")
    assert counts(status(client, target, bid)) == (1, 0, 0, *done)
    assert is_drained(wire)


def test_the_status_as_it_moves(client: Client, target: Target, wire: WireClient) -> None:
    bid = make(client, target, jobs=jobs(1, 2, 3))
    found = status(client, target, bid)
    assert counts(found) == (3, 3, 0, "", "")
    assert not found.get("parent_bid")
    assert abs(datetime.fromisoformat(found["created_at"]) - datetime.now(UTC)) < timedelta(minutes=5)
    take_and_ack(wire)
    assert counts(status(client, target, bid)) == (3, 2, 0, "", "")
    wire.fail(take(wire)["jid"])
    assert counts(status(client, target, bid)) == (3, 1, 1, "", "")
    take_and_ack(wire)
    assert counts(status(client, target, bid)) == (3, 0, 1, "1", "")


def test_jobs_are_pushed_in_bulk(client: Client, target: Target, wire: WireClient) -> None:
    client.need("bulk batch")
    bid = make(client, target, bulk=True, jobs=jobs(1, 2))
    reopen(client, target, bid, bulk=True, jobs=jobs(3, 4, custom={"tenant": "t1"}))
    assert counts(status(client, target, bid)) == (4, 4, 0, "", "")
    customs = [take_and_ack(wire)["custom"] for _ in range(4)]
    assert customs == [{"bid": bid}] * 2 + [{"bid": bid, "tenant": "t1"}] * 2
    assert take(wire)["args"] == ["complete"]


def test_nothing_is_called_before_the_commit(client: Client, target: Target, wire: WireClient) -> None:
    bid = make(client, target, open=True, jobs=jobs(1))
    take_and_ack(wire)
    assert counts(status(client, target, bid)) == (1, 0, 0, "", "")
    assert is_drained(wire)
    reopen(client, target, bid, jobs=jobs(2))
    assert counts(status(client, target, bid)) == (2, 1, 0, "", "")
    assert [take_and_ack(wire)["args"] for _ in range(3)] == [[2], ["complete"], ["success"]]
    assert counts(status(client, target, bid)) == (2, 0, 0, "2", "2")


def test_jobs_are_added_from_outside_to_a_committed_batch(client: Client, target: Target, wire: WireClient) -> None:
    bid = make(client, target, jobs=jobs(1))
    reopen(client, target, bid, jobs=jobs(2, 3))
    assert counts(status(client, target, bid)) == (3, 3, 0, "", "")
    assert [take_and_ack(wire)["args"] for _ in range(4)] == [[1], [2], [3], ["complete"]]


def test_a_job_adds_one_to_its_own_batch(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    client.need("more")
    with client.working(tmp_path, target.environment(), "work", wid="worker-more") as it:
        bid = make(client, target, jobs=[a_job("batch-more", jobtype="more", args=["work"], queue="work")])
        wait_until(lambda: seen(wire, bid) == (2, 0, 0, "2", "2"), "the end of the batch")
        assert words(it) == ["work", "more", "complete", "success"]


def test_a_parent_waits_for_its_child(client: Client, target: Target, wire: WireClient) -> None:
    parent = make(client, target, success=calls("parent"), jobs=jobs(1))
    child = make(client, target, success=calls("child"), parent=parent, jobs=jobs(2))
    assert status(client, target, child)["parent_bid"] == parent
    assert take_and_ack(wire)["custom"]["bid"] == parent
    assert counts(status(client, target, parent)) == (1, 0, 0, "", "")
    assert take_and_ack(wire)["custom"]["bid"] == child
    of_child = take(wire)
    assert of_child["args"] == ["child"]
    assert (of_child["custom"]["_bid"], of_child["custom"]["_pbid"]) == (child, parent)
    assert counts(status(client, target, parent)) == (1, 0, 0, "", "")
    wire.ack(of_child["jid"])
    of_parent = take_and_ack(wire)
    assert (of_parent["args"], of_parent["custom"]["_bid"]) == (["parent"], parent)
    assert counts(status(client, target, parent)) == (1, 0, 0, "", "2")


def test_its_worker_runs_a_nested_batch(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    parent = make(client, target, jobs=jobs(1))
    child = make(client, target, success=calls("child"), parent=parent, jobs=jobs(2, 3))
    with client.working(tmp_path, target.environment(), "work", wid="worker-nested") as it:
        wait_until(lambda: seen(wire, parent) == (1, 0, 0, "2", "2"), "the end of the parent")
        assert words(it) == [1, 2, 3, "child", "complete", "success"]
    assert counts(status(client, target, child)) == (2, 0, 0, "", "2")


def test_a_job_that_fails_and_is_retried(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    marker = str(tmp_path / "tried")
    with client.working(tmp_path, target.environment(), "work", wid="worker-flaky") as it:
        flaky = a_job("batch-flaky", jobtype="flaky", args=[marker], queue="work")
        bid = make(client, target, jobs=[flaky, *jobs(1)])
        wait_until(lambda: seen(wire, bid) == (2, 0, 1, "2", ""), "the complete callback")
        assert words(it) == [marker, 1, "complete"]
        assert counts(status(client, target, bid)) == (2, 0, 1, "2", "")
        # A retry is due in 15 s at the earliest; an operator need not wait.
        wire.command(b'MUTATE {"cmd":"requeue","target":"retries"}')
        wait_until(lambda: seen(wire, bid) == (2, 0, 0, "2", "2"), "the success callback")
        assert words(it) == [marker, 1, "complete", marker, "success"]


def test_a_job_that_dies(client: Client, target: Target, wire: WireClient, tmp_path: Path) -> None:
    with client.working(tmp_path, target.environment(), "work", wid="worker-dying") as it:
        dying = a_job("batch-dying", jobtype="boom", args=["boom"], queue="work", retry=-1)
        bid = make(client, target, jobs=[dying, *jobs(1)])
        wait_until(lambda: seen(wire, bid) == (2, 0, 1, "2", ""), "the complete callback")
        # The success callback would be there with the ACK of the other one.
        assert is_drained(wire)
        assert words(it) == ["boom", 1, "complete"]
    assert counts(status(client, target, bid)) == (2, 0, 1, "2", "")
    assert wire.info()["faktory"]["sets"]["dead"] == 1


def test_a_callback_keeps_its_fields(client: Client, target: Target, wire: WireClient) -> None:
    wanted = {"retry": 3, "custom": {"tenant": "t1"}, "reserve_for": 120}
    bid = make(client, target, success=calls("success", **wanted))
    job = take_and_ack(wire)
    assert (job["jobtype"], job["queue"]) == ("note", "work")
    if client.name == "pyfaktory":  # Its callbacks have no other fields.
        assert (job["retry"], job["custom"]) == (25, {"_bid": bid})
    else:
        assert {key: job[key] for key in ("jid", "retry", "reserve_for")} == {
            "jid": "callback-success",
            "retry": 3,
            "reserve_for": 120,
        }
        assert job["custom"] == {"tenant": "t1", "_bid": bid}


@pytest.mark.parametrize("command", ["batch_status", "batch_open"])
def test_an_unknown_bid(client: Client, target: Target, command: str) -> None:
    done = client.try_run(target.environment(), command, {"bid": "b-unknown"})
    assert done.returncode != 0
    assert "no such batch b-unknown" in done.stderr


def test_an_unknown_parent(client: Client, target: Target) -> None:
    wanted = {"success": calls("success"), "parent": "b-unknown", "jobs": []}
    done = client.try_run(target.environment(), "batch", wanted)
    assert done.returncode != 0
    assert "no such batch b-unknown" in done.stderr
