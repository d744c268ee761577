"""What once went wrong in the server, and must not again: each test failed before its defect was mended."""

import json
import logging

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.engine.settings import Limits, Settings
from lineshaft.server.settings import ServerSettings, SyncMode

OK = b"+OK\r\n"
NULL = b"$-1\r\n"
HOUR = 3600


def job(jid: str, **fields: object) -> str:
    return json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1, logger="lineshaft")


def sizes(harness: Harness) -> tuple[int, int]:
    """How many jobs wait in the default queue, and how many are held by workers."""
    figures = harness.server.engine.figures()
    return figures["queues"].get("default", 0), figures["sets"]["working"]


def check(harness: Harness) -> None:
    check_store(harness.store)
    check_memory(harness.server.engine)


class SlowlyClosing(Peer):
    """A peer whose connection is lost only some time after the server closed it, as asyncio's are."""

    def close(self) -> None:
        """Nothing happens yet."""

    abort = close


def connect_slowly_closing(harness: Harness) -> SlowlyClosing:
    peer = SlowlyClosing(harness)
    peer.session = harness.server.accept(peer)
    peer.take()
    assert peer.ask('HELLO {"v":2}') == OK
    return peer


# The clock


def test_who_waited_when_the_clock_was_set_back_is_answered_in_time() -> None:
    harness = Harness()
    early, late = harness.connect(), harness.connect()
    assert early.ask("FETCH q") == b""
    harness.clock.advance(seconds=-HOUR)
    assert late.ask("FETCH q") == b""
    harness.advance(15)
    assert early.take() == NULL


def test_who_begins_to_wait_after_the_clock_was_set_back_is_answered_in_time() -> None:
    harness = Harness()
    early, late = harness.connect(), harness.connect()
    assert early.ask("FETCH q") == b""
    harness.clock.advance(seconds=-HOUR)
    assert late.ask("FETCH q") == b""
    harness.advance(15)
    assert late.take() == NULL


def test_interval_syncs_go_on_when_the_clock_was_set_back() -> None:
    harness = Harness(settings=ServerSettings(sync=SyncMode.INTERVAL, sync_interval_ms=100))
    peer = harness.connect()
    assert peer.ask("PUSH " + job("pushed-01")) == OK
    harness.clock.advance(seconds=-HOUR)
    harness.advance(15)
    assert peer.ask("PUSH " + job("pushed-02")) == OK
    harness.advance(15)
    assert harness.store.unsynced == 0


# The store


def test_a_store_with_a_damaged_record_is_tried_again_until_it_is_mended() -> None:
    harness = Harness()
    peer = harness.connect()
    assert peer.ask("PUSH " + job("pushed-01")) == OK
    key, record = next((key, value) for key, value in rows_of(harness.store).items() if key.startswith(b"Q"))
    harness.store.commit({key: b"\xc1"})
    harness.store.sync()
    harness.store.fail_commit(harness.store.commits + 1, applied=False)
    assert peer.ask("PUSH " + job("pushed-02", queue="other")).startswith(b"-ERR")
    harness.advance(30)
    assert harness.server.failed is not None
    harness.store.commit({key: record})
    harness.store.sync()
    harness.advance(30)
    assert peer.ask("PUSH " + job("pushed-03")) == OK
    assert sizes(harness) == (2, 0)
    check(harness)


def test_nobody_is_told_of_a_duplicate_that_a_power_cut_can_still_take() -> None:
    harness = Harness(rules=Settings(refuse_duplicate_jids=True))
    first, second = harness.connect(), harness.connect()
    harness.hold_syncs = True
    assert first.ask("PUSH " + job("pushed-01")) == b""
    assert second.ask("PUSH " + job("pushed-01")) == b""
    harness.hold_syncs = False
    harness.settle()
    assert first.take() == OK
    assert second.take().startswith(b"-")


def test_an_ack_that_nobody_waits_for_is_synced_though_a_sync_was_under_way() -> None:
    harness = Harness()
    worker, other = harness.connect(), harness.connect()
    assert worker.ask("PUSH " + job("pushed-01")) == OK
    assert worker.ask("FETCH default").startswith(b"$")
    harness.hold_syncs = True
    assert other.ask("PUSH " + job("pushed-02", queue="other")) == b""
    assert worker.ask('ACK {"jid":"pushed-01"}') == OK
    harness.advance(1.5)
    harness.hold_syncs = False
    harness.settle()
    harness.advance(60)
    assert harness.store.unsynced == 0


def test_one_orphan_that_cannot_be_read_does_not_keep_the_others() -> None:
    harness = Harness()
    peer, workers = harness.connect(), [harness.connect(), harness.connect()]
    for number in range(2):
        assert peer.ask("PUSH " + job(f"ready-00{number}")) == OK
    harness.hold_syncs = True
    for number, worker in enumerate(workers):
        # The PUSH lets the job that follows wait for the sync: it has not reached its worker.
        assert worker.ask("PUSH " + job(f"other-00{number}", queue="other")) == b""
        assert worker.ask("FETCH default") == b""
    broken = harness.store
    broken.fail_get(broken.gets + 1)
    for worker in workers:
        worker.close()
    harness.hold_syncs = False
    harness.settle()
    assert harness.store is not broken
    assert sizes(harness) == (1, 1)
    check(harness)


def test_a_worker_that_fell_silent_is_disconnected_though_the_store_failed_meanwhile() -> None:
    harness = Harness()
    worker, peer = harness.worker("worker-1"), harness.connect()
    assert peer.ask("PUSH " + job("held-0001")) == OK
    assert worker.ask("FETCH default").startswith(b"$")
    broken = harness.store
    harness.advance(50)
    broken.fail_get(broken.gets + 1)
    harness.advance(20)
    assert harness.store is not broken
    assert worker.closed
    # After a restart everyone who holds jobs has the whole time to come back.
    harness.advance(70)
    assert sizes(harness) == (1, 0)
    check(harness)


def test_a_scheduled_job_whose_queue_is_one_too_many_does_not_stop_the_timer() -> None:
    harness = Harness(rules=Settings(most=Limits(queues=3)))
    peer = harness.connect()
    assert peer.ask("PUSH " + job("later-001", queue="gone", at="2025-11-24T16:01:00Z")) == OK
    assert peer.ask("QUEUE REMOVE gone") == OK
    for name in "abc":
        assert peer.ask("PUSH " + job("ready-001", queue=name, reserve_for=60)) == OK
    assert peer.ask("PUSH " + job("ready-002", queue="d")).startswith(b"-ERR too many queues")
    assert peer.ask("FETCH a").startswith(b"$")
    harness.advance(200)
    figures = harness.server.engine.figures()
    assert figures["queues"].get("gone") == 1
    assert figures["sets"]["working"] == 0


# Sessions


def test_a_parked_fetch_is_answered_before_the_overlong_line_behind_it() -> None:
    harness = Harness(settings=ServerSettings(line_limit_bytes=1000))
    peer = harness.connect()
    assert peer.ask("FETCH q") == b""
    peer.send(b"x" * 2000)
    harness.advance(3)
    assert peer.take() == NULL + b"-ERR line too long: the limit is 1000 bytes\r\n"
    assert peer.closed


def test_a_job_that_comes_before_an_overlong_line_is_refused_goes_to_the_fetch_that_waits() -> None:
    harness = Harness(settings=ServerSettings(line_limit_bytes=1000))
    slow, pusher = connect_slowly_closing(harness), harness.connect()
    assert slow.ask("FETCH q") == b""
    slow.send(b"x" * 2000)
    assert pusher.ask("PUSH " + job("pushed-01", queue="q")) == OK
    reply = slow.take()
    assert reply.startswith(b"$")
    assert b"pushed-01" in reply.partition(b"-ERR line too long")[0]


def test_no_job_goes_to_a_connection_that_is_being_closed() -> None:
    harness = Harness(settings=ServerSettings(line_limit_bytes=1000))
    slow, pusher = connect_slowly_closing(harness), harness.connect()
    assert slow.ask("FETCH q") == b""
    slow.send(b"x" * 2000)
    harness.advance(3)
    assert slow.take().endswith(b"-ERR line too long: the limit is 1000 bytes\r\n")
    assert pusher.ask("PUSH " + job("pushed-01", queue="q")) == OK
    assert slow.take() == b""
    assert harness.server.engine.figures()["sets"]["working"] == 0


def test_who_has_not_said_hello_is_not_listened_to_for_long() -> None:
    harness = Harness(settings=ServerSettings(password="secret"))
    stranger = harness.connect(hello=None)
    for _ in range(15):
        if not stranger.closed:
            stranger.send(b"x" * (1 << 20))
    assert stranger.closed
    assert harness.server.unfinished < 1 << 17
