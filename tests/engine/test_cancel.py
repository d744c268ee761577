"""CANCEL where the transcript does not reach: how many are told, what ends a flag, what is durable."""

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.engine.cancel import MOST_TOLD
from lineshaft.engine.settings import Settings

BEAT = 'BEAT {"wid":"%s"}'


def held(box: Harness, count: int = 1) -> tuple[list[str], Peer]:
    """A worker that holds so many cancelled jobs."""
    peer = box.connect('{"v":2,"wid":"w1","features":["other","cancel"]}')
    jids = [f"job-{number:06}" for number in range(count)]
    for jid in jids:
        assert peer.ask(f'PUSH {{"jid":"{jid}","jobtype":"T","args":[]}}') == b"+OK\r\n"
        peer.ask("FETCH default")
        assert peer.ask(f'CANCEL {{"jid":"{jid}"}}') == b"+OK\r\n"
    return jids, peer


def test_a_beat_tells_a_bounded_number_and_all_in_turn() -> None:
    box = Harness()
    jids, peer = held(box, 2 * MOST_TOLD + 1)
    told: list[str] = []
    for _ in range(3):
        some = peer.ask_json(BEAT % "w1")["cancelled"]
        assert len(some) == MOST_TOLD
        told += some
    assert set(told) == set(jids)
    check_store(box.store)
    check_memory(box.server.engine)


@pytest.mark.parametrize("line", ["FAIL", "REQUEUE", "ACK"])
def test_the_flag_goes_with_the_lease(line: str) -> None:
    box = Harness()
    jids, peer = held(box)
    assert peer.ask(f'{line} {{"jid":"{jids[0]}"}}') == b"+OK\r\n"
    assert peer.ask(BEAT % "w1") == b"+OK\r\n"
    assert not box.server.engine.state.cancels.by_holder
    figures = peer.ask_json("INFO")["faktory"]
    assert sum(figures["sets"].values()) + figures["total_enqueued"] == 0
    check_store(box.store)
    check_memory(box.server.engine)


@pytest.mark.parametrize("seconds", [61, 1801])
def test_a_job_of_a_worker_that_vanished_or_took_too_long_does_not_run_again(seconds: int) -> None:
    box = Harness()
    _, peer = held(box)
    peer.ask(BEAT % "w1")
    if seconds < 1800:
        peer.leave()
    box.advance(seconds)
    figures = box.connect().ask_json("INFO")["faktory"]
    assert sum(figures["sets"].values()) + figures["total_enqueued"] == 0
    assert not box.server.engine.state.cancels.by_holder


def test_without_the_index_only_running_jobs_are_found() -> None:
    box = Harness(rules=Settings(jid_index=False))
    _, peer = held(box)
    peer.ask('PUSH {"jid":"waiting-1","jobtype":"T","args":[]}')
    assert b"-ERR Job not found waiting-1: only running jobs" in peer.ask('CANCEL {"jid":"waiting-1"}')


def test_the_reply_waits_for_the_disk() -> None:
    box = Harness()
    peer = box.connect()
    peer.ask('PUSH {"jid":"waiting-1","jobtype":"T","args":[]}')
    box.hold_syncs = True
    assert peer.ask('CANCEL {"jid":"waiting-1"}') == b""
    box.hold_syncs = False
    box.settle()
    assert peer.take() == b"+OK\r\n"


def test_a_flush_forgets_the_flags() -> None:
    box = Harness()
    _, peer = held(box)
    peer.ask("FLUSH")
    assert peer.ask(BEAT % "w1") == b"+OK\r\n"


def test_a_beat_tells_only_what_is_on_disk() -> None:
    box = Harness()
    peer = box.connect('{"v":2,"wid":"w1","features":["cancel"]}')
    peer.ask('PUSH {"jid":"running-1","jobtype":"T","args":[]}')
    peer.ask("FETCH default")
    box.hold_syncs = True
    assert box.connect().ask('CANCEL {"jid":"running-1"}') == b""
    assert peer.ask(BEAT % "w1") == b""
    box.hold_syncs = False
    box.settle()
    assert b'"cancelled":["running-1"]' in peer.take()


def test_a_refusal_says_that_the_job_is_dead() -> None:
    box = Harness()
    peer = box.connect()
    for _ in range(2):
        peer.ask('PUSH {"jid":"twins-001","jobtype":"T","args":[],"retry":-1}')
    peer.ask("FETCH default")
    peer.ask('FAIL {"jid":"twins-001"}')
    assert peer.ask('CANCEL {"jid":"twins-001"}') == b"+OK\r\n"
    assert peer.ask('CANCEL {"jid":"twins-001"}') == (
        b"-ERR Job not found twins-001: it is dead and runs no more; MUTATE discards it\r\n"
    )
    assert peer.ask_json("INFO")["faktory"]["sets"]["dead"] == 1
