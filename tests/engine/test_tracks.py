"""Tracks where the transcripts do not reach: what is durable, what is too large, whose record it is."""

import pytest

from harness import Harness
from invariants import check_memory, check_store, rows_of
from lineshaft.engine.settings import Settings
from lineshaft.engine.tracks import MAX_RESULT_BYTES

PUSH = 'PUSH {"jid":"track-0001","jobtype":"T","args":[],"queue":"%s","custom":{"track":1}}'


def test_track_get_reveals_only_what_is_on_disk() -> None:
    box = Harness()
    first, second = box.connect(), box.connect()
    assert first.ask(PUSH % "a") == b"+OK\r\n"
    box.hold_syncs = True
    first.ask("FETCH a")
    assert second.ask("TRACK GET track-0001") == b""
    box.hold_syncs = False
    box.settle()
    assert b'"state":"working"' in second.take()


@pytest.mark.parametrize(("size", "kept"), [(MAX_RESULT_BYTES, True), (MAX_RESULT_BYTES + 1, False)])
def test_a_result_that_is_too_large_is_dropped_and_the_job_is_done(size: int, kept: bool) -> None:
    box = Harness()
    peer = box.connect()
    peer.ask(PUSH % "a")
    peer.ask("FETCH a")
    assert peer.ask('ACK {"jid":"track-0001","result":"%s"}' % ("x" * (size - 2))) == b"+OK\r\n"
    shown = peer.ask_json("TRACK GET track-0001")
    assert shown["state"] == "success"
    assert ("result" in shown) is kept


def test_the_record_is_the_newest_jobs() -> None:
    box = Harness()
    peer = box.connect()
    peer.ask(PUSH % "a")
    peer.ask("FETCH a")
    peer.ask(PUSH % "b")
    peer.ask('ACK {"jid":"track-0001","result":1}')
    assert peer.ask_json("TRACK GET track-0001")["state"] == "enqueued"
    peer.ask("FETCH b")
    peer.ask('ACK {"jid":"track-0001","result":2}')
    assert peer.ask_json("TRACK GET track-0001")["result"] == 2
    check_store(box.store)
    check_memory(box.server.engine)


def test_a_result_is_shown_for_its_time_and_the_state_for_half_an_hour() -> None:
    box = Harness(rules=Settings(results_keep=60_000))
    peer = box.connect()
    peer.ask(PUSH % "a")
    peer.ask("FETCH a")
    peer.ask('ACK {"jid":"track-0001","result":1}')
    box.advance(60)
    peer = box.connect()
    shown = peer.ask_json("TRACK GET track-0001")
    assert shown["state"] == "success"
    assert "result" not in shown
    box.advance(1740)
    peer = box.connect()
    assert peer.ask_json("TRACK GET track-0001")["state"] == "unknown"
    assert not [key for key in rows_of(box.store) if key[:1] in {b"P", b"E"}]


def test_an_ack_with_a_result_promises_it() -> None:
    box = Harness()
    peer = box.connect()
    for jid in ("result-001", "result-002"):
        peer.ask(f'PUSH {{"jid":"{jid}","jobtype":"T","args":[]}}')
        peer.ask("FETCH default")
    box.hold_syncs = True
    assert peer.ask('ACK {"jid":"result-001"}') == b"+OK\r\n"
    assert peer.ask('ACK {"jid":"result-002","result":1}') == b""
    box.hold_syncs = False
    box.settle()
    assert peer.take() == b"+OK\r\n"
