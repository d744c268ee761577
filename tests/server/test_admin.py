"""INSPECT and SIGNAL, and the filters of MUTATE that go beyond the protocol."""

import json
from typing import Any

import pytest

from harness import Harness, Peer
from lineshaft.engine.settings import Settings

LATER = "2096-01-01T00:00:00Z"


def job(jid: str, **fields: Any) -> str:
    return "PUSH " + json.dumps({"jid": jid, "jobtype": "T", "args": [1], **fields})


def look(peer: Peer, what: str, **wanted: Any) -> dict[str, Any]:
    answer = peer.ask_json("INSPECT " + json.dumps({"what": what, **wanted}))
    assert set(answer) == {"rows", "cursor"}
    return answer  # type: ignore[no-any-return]


def rows(peer: Peer, what: str, **wanted: Any) -> list[Any]:
    """All of them, page by page."""
    found, cursor = [], ""
    for _ in range(1000):
        answer = look(peer, what, cursor=cursor, **wanted)
        found += answer["rows"]
        cursor = answer["cursor"]
        if not cursor:
            return found
    pytest.fail("it has no end")


def jids(peer: Peer, **wanted: Any) -> list[str]:
    return [row["job"]["jid"] for row in rows(peer, "jobs", **wanted)]


@pytest.fixture
def box() -> Harness:
    """Jobs in every place."""
    harness = Harness(rules=Settings(history_keep=10**9))
    peer = harness.connect()
    for number in range(7):
        peer.ask(job(f"ready-00{number}", queue="mail", jobtype="A" if number % 2 else "B"))
    peer.ask(job("first-001", queue="mail", priority=9))
    peer.ask(job("later-001", at=LATER, args=["Needle"]))
    peer.ask(job("later-002", at="2095-01-01T00:00:00Z", queue="other"))
    worker = harness.worker("w1")
    for jid, retry in (("failed-01", 5), ("failed-02", 5), ("dead-0001", -1), ("held-0001", 5), ("done-0001", 5)):
        peer.ask(job(jid, queue="work", retry=retry))
        assert worker.ask_json("FETCH work")["jid"] == jid
    for jid in ("failed-01", "failed-02", "dead-0001"):
        worker.ask(f'FAIL {{"jid":"{jid}","errtype":"E{jid[-1]}","message":"it broke"}}')
    worker.ask('ACK {"jid":"done-0001"}')
    return harness


def test_queues(box: Harness) -> None:
    peer = box.connect()
    peer.ask("QUEUE PAUSE other")
    box.advance(1.5)
    found = rows(peer, "queues", limit=1)
    assert [row["name"] for row in found] == ["default", "mail", "other", "work"]
    found = found[1:]
    assert found[0] == {
        "name": "mail",
        "size": 8,
        "paused": False,
        "latency": 1.5,
        "pushed": 8,
        "processed": 0,
        "failed": 0,
        "max_jobs": None,
    }
    assert [row["paused"] for row in found] == [False, True, False]
    assert found[2]["failed"] == 3
    assert rows(peer, "queues", queue="work") == found[2:]
    assert rows(peer, "queues", queue="none") == []


def test_workers(box: Harness) -> None:
    peer = box.connect()
    (found,) = rows(peer, "workers")
    assert found == {
        "wid": "w1",
        "hostname": "h",
        "pid": 1,
        "labels": ["python"],
        "state": "running",
        "jobs": 1,
        "connections": 1,
        "rss_kb": 0,
        "started_at": "2025-11-24T16:00:00.000Z",
        "heard_at": "2025-11-24T16:00:00.000Z",
    }
    assert rows(peer, "workers", wid="w2") == []


def test_jobs_of_every_place_in_pages(box: Harness) -> None:
    peer = box.connect()
    ready = ["first-001", *(f"ready-00{number}" for number in range(7))]
    assert jids(peer, place="ready", queue="mail") == ready
    assert jids(peer, place="ready", queue="mail", limit=3) == ready
    assert jids(peer, place="ready", queue="mail", limit=1, jobtype="A") == ["ready-001", "ready-003", "ready-005"]
    assert jids(peer, place="ready", queue="none") == []
    assert jids(peer, place="scheduled") == ["later-002", "later-001"]
    assert jids(peer, place="scheduled", newest=True, limit=1) == ["later-001", "later-002"]
    assert jids(peer, place="scheduled", text="needle") == ["later-001"]
    assert jids(peer, place="scheduled", queue="other") == ["later-002"]
    assert jids(peer, place="scheduled", since="2095-06-01T00:00:00Z") == ["later-001"]
    assert jids(peer, place="scheduled", until="2095-06-01T00:00:00Z") == ["later-002"]
    assert sorted(jids(peer, place="retries", limit=1)) == ["failed-01", "failed-02"]
    assert jids(peer, place="retries", errtype="E2") == ["failed-02"]
    assert jids(peer, place="dead", text="IT BROKE") == ["dead-0001"]
    assert jids(peer, place="leased") == ["held-0001"]
    assert jids(peer, place="leased", wid="w2") == []
    assert jids(peer, place="leased", jobtype="X") == []
    (held,) = rows(peer, "jobs", place="leased")
    assert held["wid"] == "w1"
    assert held["until"] == "2025-11-24T16:30:00.000Z"


def test_one_job(box: Harness) -> None:
    peer = box.connect()
    (found,) = rows(peer, "job", jid="first-001")
    assert (found["place"], found["priority"], found["queue"]) == ("ready", 9, "mail")
    assert "at" not in found
    (found,) = rows(peer, "job", jid="later-001")
    assert (found["place"], found["at"]) == ("scheduled", "2096-01-01T00:00:00.000Z")
    (found,) = rows(peer, "job", jid="held-0001")
    assert (found["place"], found["wid"]) == ("leased", "w1")
    (found,) = rows(peer, "job", jid="done-0001")
    assert (found["place"], found["outcome"]) == ("finished", "success")
    assert rows(peer, "job", jid="nothing-1") == []
    assert [row["jid"] for row in rows(peer, "history")] == ["done-0001"]


def test_a_look_waits_for_what_it_shows_to_be_on_disk() -> None:
    box = Harness()
    pushing, peer = box.connect(), box.connect()
    box.hold_syncs = True
    assert pushing.ask(job("job-00001")) == b""
    assert peer.ask('INSPECT {"what":"queues"}') == b""
    box.hold_syncs = False
    box.settle()
    assert b'"size":1' in peer.take()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("INSPECT", b"-ERR invalid JSON: "),
        ("INSPECT {}", b"-ERR what must be one of queues, workers, jobs, job, history\r\n"),
        ('INSPECT {"what":"everything"}', b"-ERR what must be one of "),
        ('INSPECT {"what":"jobs"}', b"-ERR place must be ready, leased, scheduled, retries or dead\r\n"),
        ('INSPECT {"what":"jobs","place":"gone"}', b"-ERR place must be "),
        ('INSPECT {"what":"jobs","place":"ready"}', b"-ERR jobs of place ready need the name of their queue\r\n"),
        ('INSPECT {"what":"jobs","place":"dead","cursor":"zz"}', b"-ERR invalid cursor\r\n"),
        ('INSPECT {"what":"jobs","place":"leased","cursor":"zz"}', b"-ERR invalid cursor\r\n"),
        ('INSPECT {"what":"jobs","place":"dead","since":"soon"}', b"-ERR invalid timestamp for 'since': soon\r\n"),
        ('INSPECT {"what":"jobs","place":"dead","limit":501}', b"-ERR invalid JSON: "),
        ('INSPECT {"what":"jobs","place":"dead","text":"%s"}' % ("x" * 1001), b"-ERR invalid JSON: "),
        ('INSPECT {"what":"job"}', b"-ERR missing jid\r\n"),
        ('SIGNAL {"wid":"w1"}', b"-ERR state must be quiet or terminate\r\n"),
        ('SIGNAL {"wid":"w1","state":"running"}', b"-ERR state must be quiet or terminate\r\n"),
        ('SIGNAL {"state":"quiet"}', b"-ERR missing wid\r\n"),
        ('SIGNAL {"wid":"nobody","state":"quiet"}', b"-ERR unknown worker nobody\r\n"),
    ],
)
def test_bad_input(box: Harness, line: str, said: bytes) -> None:
    assert box.connect().ask(line).startswith(said)


def test_a_signal_is_heard_with_the_next_beat(box: Harness) -> None:
    peer, worker = box.connect(), box.worker("w2")
    assert peer.ask('SIGNAL {"wid":"w2","state":"quiet"}') == b"+OK\r\n"
    assert worker.ask('BEAT {"wid":"w2"}').endswith(b'{"state":"quiet"}\r\n')
    assert {row["wid"]: row["state"] for row in rows(peer, "workers")} == {"w1": "running", "w2": "quiet"}
    assert peer.ask('SIGNAL {"wid":"all","state":"terminate"}') == b"+OK\r\n"
    assert {row["state"] for row in rows(peer, "workers")} == {"terminate"}


@pytest.mark.parametrize(
    ("filter", "left"),
    [
        ({"queue": "other"}, ["later-001"]),
        ({"text": "needle"}, ["later-002"]),
        ({"text": "needle", "queue": "other"}, ["later-001", "later-002"]),
        ({"jobtype": "T", "until": "2095-06-01T00:00:00Z"}, ["later-001"]),
        ({"regexp": "*later*", "since": "2095-06-01T00:00:00Z"}, ["later-002"]),
        ({"errtype": "E"}, ["later-001", "later-002"]),
        ({"jids": ["later-001"], "queue": "other"}, ["later-002"]),
        ({"queue": ""}, []),
    ],
)
def test_a_mutate_chooses_as_a_look_does(box: Harness, filter: dict[str, Any], left: list[str]) -> None:
    peer = box.connect()
    line = json.dumps({"cmd": "discard", "target": "scheduled", "filter": filter})
    assert peer.ask("MUTATE " + line) == b"+OK\r\n"
    assert sorted(jids(peer, place="scheduled")) == left


def test_a_mutate_with_a_bad_filter_changes_nothing(box: Harness) -> None:
    peer = box.connect()
    for filter in ({"since": "soon"}, {"text": "x" * 1001}, {"Queue": "other"}):
        line = json.dumps({"cmd": "discard", "target": "scheduled", "filter": filter})
        assert peer.ask("MUTATE " + line).startswith(b"-ERR invalid ")
    assert len(jids(peer, place="scheduled")) == 2
