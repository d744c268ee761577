"""ADOPT: jobs with a past come to the place where they were, once each."""

import json
from typing import Any

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.engine.records import LaneRules
from lineshaft.engine.settings import QueueLimits, Settings

NOW = 1_764_000_000_000
LATER, EARLIER = "2025-11-24T17:00:00.000Z", "2025-11-24T15:00:00.000Z"


def job(jid: str, **fields: Any) -> dict[str, Any]:
    return {"jid": jid, "jobtype": "T", "args": [1], **fields}


def adopt(peer: Peer, *elements: dict[str, Any]) -> Any:
    return peer.ask_json("ADOPT " + json.dumps(elements, separators=(",", ":")))


def sets(peer: Peer) -> dict[str, int]:
    counts: dict[str, int] = peer.ask_json("INFO")["faktory"]["sets"]
    return counts


def is_sound(box: Harness) -> None:
    check_store(box.server.engine.state.turn.store)
    check_memory(box.server.engine)


def test_each_to_its_place() -> None:
    box = Harness()
    peer = box.connect()
    answer = adopt(
        peer,
        {"job": job("ready-001", queue="mail", priority=9)},
        {"job": job("later-001"), "place": "scheduled", "at": LATER},
        {"job": job("past-0001"), "place": "scheduled", "at": EARLIER},
        {
            "job": job("retry-001", failure={"retry_count": 2, "message": "no", "errtype": "E"}),
            "place": "retries",
            "at": LATER,
        },
        {"job": job("dead-0001", failure={"retry_count": 25, "message": "no"}), "place": "dead", "at": EARLIER},
    )
    assert answer == {"adopted": 5, "known": [], "refused": {}}
    assert sets(peer) == {"scheduled": 1, "retries": 1, "dead": 1, "working": 0}
    assert peer.ask_json("FETCH default")["jid"] == "past-0001"
    assert peer.ask_json("FETCH mail")["jid"] == "ready-001"
    for jid in ("past-0001", "ready-001"):
        peer.ask(f'ACK {{"jid":"{jid}"}}')
    is_sound(box)
    box.advance(3700)
    fetched = [peer.ask_json("FETCH default") for _ in range(2)]
    assert {one["jid"] for one in fetched} == {"later-001", "retry-001"}
    (retried,) = [one for one in fetched if one["jid"] == "retry-001"]
    assert retried["failure"] == {
        "retry_count": 2,
        "remaining": 23,
        "failed_at": "2025-11-24T16:00:00.000Z",
        "next_at": LATER,
        "message": "no",
        "errtype": "E",
    }
    assert peer.ask('FAIL {"jid":"retry-001"}') == b"+OK\r\n"
    assert peer.ask('MUTATE {"cmd":"requeue","target":"dead"}') == b"+OK\r\n"
    assert peer.ask_json("FETCH default")["failure"]["errtype"] == "unknown"
    is_sound(box)


def test_the_next_failure_goes_on_counting() -> None:
    box = Harness()
    peer = box.connect()
    adopt(peer, {"job": job("ready-001", retry=3, failure={"retry_count": 2})})
    assert peer.ask_json("FETCH default")["failure"]["retry_count"] == 2
    peer.ask('FAIL {"jid":"ready-001"}')
    assert sets(peer)["dead"] == 1


def test_a_jid_is_adopted_once() -> None:
    box = Harness()
    peer = box.connect()
    peer.ask("PUSH " + json.dumps(job("known-001")))
    peer.ask_json("FETCH default")
    answer = adopt(peer, {"job": job("known-001")}, {"job": job("new-00001")}, {"job": job("new-00001")})
    assert answer == {"adopted": 1, "known": [0, 2], "refused": {}}
    assert adopt(peer, {"job": job("new-00001")}) == {"adopted": 0, "known": [0], "refused": {}}


def test_without_the_index_all_are_taken() -> None:
    peer = Harness(rules=Settings(jid_index=False)).connect()
    assert adopt(peer, {"job": job("twice-001")}, {"job": job("twice-001")})["adopted"] == 2


def test_what_cannot_be_stops_none_of_the_others() -> None:
    box = Harness()
    peer = box.connect()
    answer = adopt(
        peer,
        {"job": job("x")},
        {"job": job("job-00001", queue="a b")},
        {"job": job("job-00002"), "place": "leased"},
        {"job": job("job-00003"), "place": "nowhere at all"},
        {"job": job("job-00004"), "place": "dead", "at": "yesterday"},
        {"job": job("job-00005", failure=7)},
        {"job": job("job-00006", args={})},
        {"job": 7},
        {"job": job("job-00007", custom=[])},
        {"job": job("job-00008")},
    )
    assert answer["adopted"] == 1
    assert set(answer["refused"]) == {str(number) for number in range(9)}
    assert answer["refused"]["0"] == "jobs must have a reasonable jid parameter"
    assert answer["refused"]["2"] == "jobs can be adopted to ready, scheduled, retries, dead"
    assert answer["refused"]["3"] == "there is no place nowhere at all"
    assert answer["refused"]["5"].startswith("invalid failure: ")
    is_sound(box)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ADOPT", "-ERR invalid JSON: "),
        ("ADOPT {}", "-ERR invalid JSON: "),
        ('ADOPT [{"place":"dead"}]', "-ERR invalid JSON: "),
        ('ADOPT [{"job":{},"place":7}]', "-ERR invalid JSON: "),
        (
            "ADOPT [" + ",".join(['{"job":{"jid":"job-00001"}}'] * 1001) + "]",
            "-ERR too many jobs: ADOPT takes at most 1000",
        ),
    ],
)
def test_bad_input_changes_nothing(line: str, said: str) -> None:
    box = Harness()
    peer = box.connect()
    assert peer.ask(line).startswith(said.encode())
    assert peer.ask_json("INFO")["faktory"]["total_enqueued"] == 0


def test_limits_of_queues_do_not_hold_it_back_but_a_full_disk_does() -> None:
    box = Harness(rules=Settings(every_queue=QueueLimits(max_jobs=1)))
    peer = box.connect()
    assert adopt(peer, {"job": job("job-00001")}, {"job": job("job-00002")})["adopted"] == 2
    box.server.engine.state.push_refusal = "storage is low"
    assert peer.ask('ADOPT [{"job":{"jid":"job-00003","jobtype":"T","args":[]}}]') == b"-ERR storage is low\r\n"


def test_a_unique_job_comes_in_without_its_lock_when_another_has_it() -> None:
    box = Harness()
    peer = box.connect()
    unique = {"custom": {"unique_for": 600, "track": 1}}
    answer = adopt(
        peer,
        {"job": job("first-001", **unique)},
        {"job": job("second-01", **unique)},
        {"job": job("third-001", **unique), "place": "dead", "at": EARLIER},
    )
    assert answer["adopted"] == 3
    again = json.dumps(job("fourth-01", **unique))
    assert peer.ask("PUSH " + again).startswith(b"-NOTUNIQUE")
    assert peer.ask_json("TRACK GET second-01")["state"] == "enqueued"
    for _ in range(2):
        assert peer.ask(f'ACK {{"jid":"{peer.ask_json("FETCH default")["jid"]}"}}') == b"+OK\r\n"
    assert peer.ask("PUSH " + again) == b"+OK\r\n"
    is_sound(box)


def test_it_survives_a_power_cut_once_it_is_answered() -> None:
    box = Harness()
    peer = box.connect()
    box.hold_syncs = True
    element = {"job": job("job-00001"), "place": "retries", "at": LATER}
    assert peer.ask("ADOPT " + json.dumps([element])) == b""
    box.hold_syncs = False
    box.settle()
    assert peer.take().endswith(b'{"adopted":1,"known":[],"refused":{}}\r\n')


def test_who_waits_is_served() -> None:
    box = Harness()
    waiting, peer = box.connect(), box.connect()
    assert waiting.ask("FETCH default") == b""
    adopt(peer, {"job": job("job-00001")})
    assert b"job-00001" in waiting.take()


def test_a_job_of_a_batch_joins_it() -> None:
    box = Harness()
    peer = box.connect()
    bid = peer.ask('BATCH NEW {"complete":{"jobtype":"Done","args":[]}}').split(b"\r\n")[1].decode()
    unique = {"custom": {"bid": bid, "unique_for": 60}}
    answer = adopt(peer, *({"job": job(f"job-0000{number}", **unique)} for number in range(2)))
    assert answer["adopted"] == 2
    assert adopt(peer, {"job": job("unknown-1", custom={"bid": "b-unknown"})})["adopted"] == 1
    peer.ask(f"BATCH COMMIT {bid}")
    status = peer.ask_json(f"BATCH STATUS {bid}")
    assert (status["total"], status["pending"]) == (2, 2)
    is_sound(box)


def test_jobs_of_a_queue_with_lanes_join_their_lanes() -> None:
    box = Harness(rules=Settings(queues={"fair": QueueLimits(lanes=LaneRules("tenant"))}))
    peer = box.connect()
    tenants = ["a", "a", "a", "b"]
    jobs = [job(f"job-0000{number}", queue="fair", custom={"tenant": name}) for number, name in enumerate(tenants)]
    assert adopt(peer, *({"job": one} for one in jobs))["adopted"] == 4
    assert adopt(peer, {"job": job("later-001", queue="fair", custom={"tenant": "c"}), "place": "retries", "at": LATER})
    order = [peer.ask_json("FETCH fair")["jid"] for _ in range(4)]
    assert order == ["job-00000", "job-00003", "job-00001", "job-00002"], "lanes take turns"
    is_sound(box)
