"""Tracks where the transcripts do not reach: what is durable, what is too large, whose record it is."""

import pytest

from harness import Harness
from invariants import check_memory, check_store, rows_of
from lineshaft.engine.settings import Limits, Settings

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


@pytest.mark.parametrize(("size", "kept"), [(Limits().result_bytes, True), (Limits().result_bytes + 1, False)])
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


@pytest.mark.parametrize("letter", [b"P", b"U"])
def test_a_damaged_record_of_a_feature_holds_nobody_up(letter: bytes) -> None:
    """A track or a lock that cannot be read is none: neither its job nor what else comes due stops over it."""
    box = Harness()
    peer = box.connect()
    job = 'PUSH {"jid":"%s","jobtype":"T","args":[%d],"reserve_for":60,"custom":{"track":1,"unique_for":60}}'
    jids = ["track-0001", "track-0002", "track-0003"]
    for number, jid in enumerate(jids):
        assert peer.ask(job % (jid, number)) == b"+OK\r\n"
        assert peer.ask_json("FETCH default")["jid"] == jid
    damaged = {key: value[:-1] for key, value in rows_of(box.store).items() if key[:1] == letter}
    assert len(damaged) == 3
    box.store.commit(damaged, [])
    assert peer.ask('ACK {"jid":"track-0001"}') == b"+OK\r\n"
    assert peer.ask_json("TRACK GET track-0002")["jid"] == "track-0002"
    assert peer.ask('TRACK SET {"jid":"track-0002","percent":5}') == b"+OK\r\n"
    assert peer.ask('FAIL {"jid":"track-0002","retry_in":0}') == b"+OK\r\n"
    assert peer.ask('PUSH {"jid":"track-0004","jobtype":"T","args":[9],"custom":{"track":1}}') == b"+OK\r\n"
    box.advance(61)
    assert box.server.engine.figures()["sets"]["working"] == 0
    assert peer.ask(job % ("track-0005", 2)) == b"+OK\r\n"
