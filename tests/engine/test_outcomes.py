"""What became of jobs, by queue and type: each end of each kind, and no more types than there may be."""

import json

import pytest

from harness import Harness
from lineshaft.engine.stats.outcomes import MOST_TYPES, OTHER


def told(box: Harness, queue: str = "default") -> dict[tuple[str, str], int]:
    found = box.server.engine.state.queues.by_name[queue].outcomes.all()
    return {(jobtype, outcome): count for jobtype, outcome, count in found}


def push(box: Harness, jid: str, jobtype: str = "T", **fields: object) -> None:
    client = box.connect()
    assert client.ask("PUSH " + json.dumps({"jid": jid, "jobtype": jobtype, "args": [], **fields})) == b"+OK\r\n"
    client.leave()


@pytest.mark.parametrize("custom", [{}, {"custom": {"unique_for": 60}}])
def test_every_end_is_counted(custom: dict[str, object]) -> None:
    box = Harness()
    worker = box.worker("w1")
    for jid, retry in (("job-0done", 5), ("job-retry", 5), ("job-0dead", 0), ("job-throw", -1), ("job-stop0", 5)):
        push(box, jid, jobtype=f"type {jid}", retry=retry, **custom)
        worker.ask("FETCH default")
        if jid == "job-stop0":
            worker.ask(f'CANCEL {{"jid":"{jid}"}}')
        if jid == "job-0done":
            worker.ask(f'ACK {{"jid":"{jid}"}}')
        else:
            worker.ask(f'FAIL {{"jid":"{jid}","errtype":"E","message":"m"}}')
    assert told(box) == {
        ("type job-0done", "success"): 1,
        ("type job-retry", "retry"): 1,
        ("type job-0dead", "discarded"): 1,
        ("type job-throw", "dead"): 1,
        ("type job-stop0", "cancelled"): 1,
    }


def test_expired_jobs_are_counted_however_they_go() -> None:
    box = Harness()
    expires = {"custom": {"expires_at": "2020-01-01T00:00:00Z"}}
    push(box, "job-00001", jobtype="late", **expires)
    box.worker("w1").ask("FETCH default")
    box.advance(3)
    assert told(box) == {("late", "expired"): 1}


def test_a_lease_knows_the_type_after_a_restart() -> None:
    box = Harness()
    push(box, "job-00001", jobtype="mail")
    box.worker("w1").ask("FETCH default")
    again = Harness(store=box.store.crash(box.store.unsynced), now=box.clock())
    again.worker("w1").ask('ACK {"jid":"job-00001"}')
    assert told(again) == {("mail", "success"): 1}


def test_a_result_counts_too() -> None:
    box = Harness()
    push(box, "job-00001", jobtype="mail")
    worker = box.worker("w1")
    worker.ask("FETCH default")
    worker.ask('ACK {"jid":"job-00001","result":1}')
    assert told(box) == {("mail", "success"): 1}


def test_types_without_end_are_one() -> None:
    box = Harness()
    worker = box.worker("w1")
    for number in range(MOST_TYPES + 20):
        push(box, f"job-{number:05}", jobtype=f"type-{number}" if number else "x" * 5000)
        worker.ask("FETCH default")
        worker.ask(f'ACK {{"jid":"job-{number:05}"}}')
    found = told(box)
    assert len(found) == MOST_TYPES + 1
    assert found[OTHER, "success"] == 20
    assert max(len(jobtype) for jobtype, _ in found) == 100
