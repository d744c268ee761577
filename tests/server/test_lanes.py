"""Lanes on the wire: who waits for a job is woken when a lane may start one, and for no other reason."""

import json

import pytest

from harness import Harness, Peer
from lineshaft.engine.records import LaneRules, Rate
from lineshaft.engine.settings import QueueLimits, Settings


def box(rules: LaneRules) -> Harness:
    return Harness(rules=Settings(queues={"q": QueueLimits(lanes=rules)}))


def push(peer: Peer, jid: str, tenant: str) -> None:
    job = {"jid": jid, "jobtype": "T", "args": [], "queue": "q", "custom": {"tenant": tenant}}
    assert peer.ask(f"PUSH {json.dumps(job)}") == b"+OK\r\n"


def jid_in(reply: bytes) -> str:
    return str(json.loads(reply.partition(b"\r\n")[2])["jid"])


@pytest.mark.parametrize("how", ["ACK", "FAIL", "REQUEUE"])
def test_a_fetch_that_waits_is_woken_by_a_slot(how: str) -> None:
    harness = box(LaneRules("tenant", concurrency=1))
    peer, waiting = harness.connect(), harness.connect()
    push(peer, "a-000001", "a")
    push(peer, "a-000002", "a")
    assert jid_in(peer.ask("FETCH q")) == "a-000001"
    assert waiting.ask("FETCH q") == b""
    assert peer.ask(f'{how} {{"jid":"a-000001"}}') == b"+OK\r\n"
    assert jid_in(waiting.take()) == ("a-000001" if how == "REQUEUE" else "a-000002")


def test_a_fetch_that_waits_is_woken_by_a_token() -> None:
    harness = box(LaneRules("tenant", rate=Rate(1, 1500)))
    peer, waiting = harness.connect(), harness.connect()
    push(peer, "a-000001", "a")
    push(peer, "a-000002", "a")
    assert jid_in(peer.ask("FETCH q")) == "a-000001"
    assert waiting.ask("FETCH q") == b""
    harness.advance(1.499)
    assert waiting.take() == b""
    harness.advance(0.001)
    assert jid_in(waiting.take()) == "a-000002"


def test_a_blocked_queue_is_an_empty_one() -> None:
    harness = box(LaneRules("tenant", strict=True))
    peer, waiting = harness.connect(), harness.connect()
    push(peer, "a-000001", "a")
    push(peer, "a-000002", "a")
    assert jid_in(peer.ask("FETCH q")) == "a-000001"
    assert waiting.ask("FETCH q") == b""
    harness.advance(2)
    assert waiting.take() == b"$-1\r\n"
    push(peer, "a-000003", "a")
    assert waiting.ask("FETCH q") == b""
    push(peer, "b-000001", "b")
    assert jid_in(waiting.take()) == "b-000001"


def test_commands_that_come_together_share_a_turn() -> None:
    harness = box(LaneRules("tenant", strict=True))
    peer = harness.connect()
    for number in range(3):
        push(peer, f"a-00000{number}", "a")
    peer.send(b'FETCH q\r\nACK {"jid":"a-000000"}\r\nFETCH q\r\nACK {"jid":"a-000001"}\r\nFETCH q\r\n')
    jids = [line for line in peer.take().split(b"\r\n") if line.startswith(b"{")]
    assert [json.loads(line)["jid"] for line in jids] == ["a-000000", "a-000001", "a-000002"]
    info = peer.ask_json("INFO")
    assert info["faktory"]["queues"] == {"q": 0}


def test_a_storage_failure_keeps_every_lane_as_it_was() -> None:
    harness = box(LaneRules("tenant", concurrency=1))
    peer = harness.connect('{"v":2,"wid":"w","hostname":"h","pid":1,"labels":[]}')
    for number in range(3):
        push(peer, f"a-00000{number}", "a")
    assert jid_in(peer.ask("FETCH q")) == "a-000000"
    harness.store.fail_commit(harness.store.commits + 1, applied=False)
    assert peer.ask('FAIL {"jid":"a-000000"}').startswith(b"-ERR storage")
    assert peer.ask("FETCH q") == b""
    harness.advance(2)
    assert peer.take() == b"$-1\r\n"
    assert peer.ask('ACK {"jid":"a-000000"}') == b"+OK\r\n"
    assert jid_in(peer.ask("FETCH q")) == "a-000001"
