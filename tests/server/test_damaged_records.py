"""A record of a feature that cannot be read is taken for absent: nobody's work stops over it."""

import json
import logging

import pytest

from harness import Harness, Peer
from invariants import rows_of
from lineshaft.store.faulty import FaultyStore

OK = b"+OK\r\n"


def job(jid: str, **custom: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], "custom": custom})


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, logger="lineshaft")


def damaged(before: Harness, prefix: bytes) -> tuple[Harness, Peer]:
    """A server on the same rows, of which those that begin like this cannot be read."""
    before.advance(0.01)
    rows = {key: b"\xc1" if key.startswith(prefix) else value for key, value in rows_of(before.store).items()}
    assert b"\xc1" in rows.values()
    harness = Harness(store=FaultyStore(rows), now=before.clock())
    return harness, harness.worker("worker-1")


def test_a_track() -> None:
    before = Harness()
    peer = before.connect()
    assert peer.ask("PUSH " + job("tracked-1", track=1)) == OK
    assert peer.ask("PUSH " + job("behind-01")) == OK
    _, peer = damaged(before, b"Ptracked-1")
    assert peer.ask_json("FETCH default")["jid"] == "tracked-1", "the head of the queue is no stumbling block"
    assert peer.ask('ACK {"jid":"tracked-1"}') == OK
    assert peer.ask_json("FETCH default")["jid"] == "behind-01"
    assert peer.ask_json("TRACK GET tracked-1")["state"] == "unknown"


def test_a_lock_is_free_for_the_next() -> None:
    before = Harness()
    assert before.connect().ask("PUSH " + job("unique-01", unique_for=600)) == OK
    _, peer = damaged(before, b"U")
    assert peer.ask("PUSH " + job("unique-02", unique_for=600)) == OK
    assert peer.ask("PUSH " + job("unique-03", unique_for=600)) == b"-NOTUNIQUE Job not unique\r\n"
    for jid in ("unique-01", "unique-02"):
        assert peer.ask_json("FETCH default")["jid"] == jid
        assert peer.ask(json.dumps({"jid": jid}).join(["ACK ", ""])) == OK
    assert peer.ask("PUSH " + job("unique-04", unique_for=600)) == OK


def test_a_batch_is_forgotten() -> None:
    before = Harness()
    peer = before.connect()
    bid = peer.ask('BATCH NEW {"success":{"jobtype":"C","args":[]}}').split(b"\r\n")[1].decode()
    assert peer.ask("PUSH " + job("member-01", bid=bid)) == OK
    harness, peer = damaged(before, b"Bb")
    assert peer.ask_json("FETCH default")["jid"] == "member-01"
    assert peer.ask('ACK {"jid":"member-01"}') == OK
    assert peer.ask(f"BATCH STATUS {bid}").startswith(b"-ERR no such batch")
    harness.advance(3600)
    assert peer.closed or peer.ask("INFO").startswith(b"$")
    assert harness.connect().ask("PUSH " + job("after-001")) == OK
