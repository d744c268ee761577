"""Stopping: who waits is answered, what is in flight is finished, and later commands are told so."""

import json

from harness import Harness
from invariants import check_memory, check_store

OK = b"+OK\r\n"
REFUSED = b"-ERR shutdown in progress\r\n"


def job(jid: str) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": []})


def test_a_waiter_is_answered_at_once() -> None:
    harness = Harness()
    waiter = harness.worker("worker-1")
    assert waiter.ask("FETCH default") == b""
    harness.server.stop()
    harness.settle()
    assert waiter.take() == b"$-1\r\n"


def test_a_waiter_that_was_served_before_is_answered_once() -> None:
    harness = Harness()
    waiter, producer = harness.connect(), harness.connect()
    assert waiter.ask("FETCH default") == b""
    assert producer.ask("PUSH " + job("abcdefgh")) == OK
    assert b"abcdefgh" in waiter.take()
    assert waiter.ask("FETCH default") == b""
    harness.server.stop()
    harness.settle()
    assert waiter.take() == b"$-1\r\n"


def test_later_commands_are_refused() -> None:
    harness = Harness()
    peer = harness.worker("worker-1")
    assert peer.ask("PUSH " + job("abcdefgh")) == OK
    harness.server.stop()
    for line in ("PUSH " + job("abcdefgi"), "FETCH default", "INFO", 'BEAT {"wid":"worker-1"}', "FLUSH", "NONSENSE"):
        assert peer.ask(line) == REFUSED
    assert not peer.closed
    harness.settle()
    assert harness.server.is_idle()
    after = Harness(store=harness.store.crash(harness.store.unsynced), now=harness.clock()).connect()
    assert after.ask_json("INFO")["faktory"]["queues"] == {"default": 1}


def test_one_that_comes_too_late_is_told_so() -> None:
    harness = Harness()
    late = harness.connect(hello=None)
    late.take()
    harness.server.stop()
    assert late.ask('HELLO {"v":2,"wid":"worker-1"}') == REFUSED
    assert late.closed
    probe = harness.connect(hello=None)
    probe.take()
    assert probe.ask("GET / HTTP/1.1") == b""
    assert probe.closed


def test_what_is_in_flight_is_finished() -> None:
    harness = Harness()
    peer = harness.connect()
    harness.hold_syncs = True
    assert peer.ask("PUSH " + job("abcdefgh")) == b""
    harness.server.stop()
    assert peer.ask("PUSH " + job("abcdefgi")) == b"", "it stands behind the reply that is held"
    assert not harness.server.is_idle()
    harness.hold_syncs = False
    harness.settle()
    assert peer.take() == OK + REFUSED
    assert harness.server.is_idle()
    assert harness.store.unsynced == 0
    check_store(harness.store)
    check_memory(harness.server.engine)


def test_commands_behind_a_waiting_fetch_are_refused() -> None:
    harness = Harness()
    peer = harness.connect()
    peer.send(f"FETCH default\r\nPUSH {job('abcdefgh')}\r\n".encode())
    assert peer.take() == b""
    harness.server.stop()
    harness.settle()
    assert peer.take() == b"$-1\r\n" + REFUSED


def test_a_store_that_fails_meanwhile_is_still_told_of() -> None:
    harness = Harness()
    peer = harness.connect()
    harness.hold_syncs = True
    assert peer.ask("PUSH " + job("abcdefgh")) == b""
    harness.server.stop()
    harness.store.fail_sync(harness.store.syncs + 1)
    harness.finish_sync()
    harness.settle()
    assert peer.take().endswith(b"the outcome is unknown\r\n")
    assert peer.ask("INFO") == REFUSED
    assert harness.server.is_idle()
