"""Pace: what is due by itself, and long work, waits for the disk, so that clients need not wait for what it wrote."""

import json

import pytest

from harness import Harness, Peer
from invariants import check_memory, check_store
from lineshaft.clock import format_instant
from lineshaft.engine.agenda.due import SLICE
from lineshaft.server.pace import LEAST_BYTES, LONG_MS, MOST_BYTES, QUICK_MS, Pace
from lineshaft.server.settings import ServerSettings, SyncMode
from lineshaft.server.timers import YIELD_MS

OK = b"+OK\r\n"

#: Eight times what may be written between two syncs.
JOBS, JOB_BYTES = 4000, 2000
MOST_JOBS_PER_SYNC = MOST_BYTES // JOB_BYTES + 100
DUE_MS = 60_000


def filled(mode: SyncMode = SyncMode.ALWAYS) -> tuple[Harness, Peer]:
    """A server with many jobs that are due in a minute; from now on the test ends the syncs."""
    harness = Harness(settings=ServerSettings(sync=mode))
    peer, at = harness.connect(), format_instant(harness.clock() + DUE_MS)
    for first in range(0, JOBS, 500):
        jobs = [
            {"jid": f"many-{number:06}", "jobtype": "T", "args": ["x" * JOB_BYTES], "at": at}
            for number in range(first, first + 500)
        ]
        assert peer.ask_json("PUSHB " + json.dumps(jobs)) == {}
    harness.hold_syncs = True
    return harness, peer


def left(harness: Harness) -> int:
    waiting: int = harness.server.engine.figures()["sets"]["scheduled"]
    return waiting


def test_what_is_due_runs_no_further_ahead_of_the_disk_than_its_share() -> None:
    harness, peer = filled()
    harness.advance(DUE_MS / 1000)
    moved = JOBS - left(harness)
    assert 0 < moved <= 2 * MOST_JOBS_PER_SYNC, "one share that is being synced, and the next"
    harness.advance(5)
    assert JOBS - left(harness) == moved, "it rests for as long as the sync takes"
    assert b"many-000000" in peer.ask("FETCH default"), "nobody else does"
    before, syncs = left(harness), 0
    while left(harness):
        harness.finish_sync()
        harness.settle()
        assert before - left(harness) <= MOST_JOBS_PER_SYNC
        before, syncs = left(harness), syncs + 1
    assert syncs > JOBS / MOST_JOBS_PER_SYNC / 2
    harness.hold_syncs = False
    if harness.pending_sync is not None:
        harness.finish_sync()
    harness.settle()
    check_store(harness.store)
    check_memory(harness.server.engine)


def test_a_chore_rests_too_and_is_answered_at_its_end() -> None:
    harness, peer = filled()
    peer.send(b'MUTATE {"cmd":"requeue","target":"scheduled"}\r\n')
    assert JOBS - left(harness) <= 2 * MOST_JOBS_PER_SYNC
    while harness.pending_sync is not None:
        assert peer.received == b""
        harness.finish_sync()
        harness.settle()
    assert (left(harness), peer.take()) == (0, OK)


def test_while_somebody_waits_and_syncs_take_long_the_share_shrinks() -> None:
    harness, _ = filled()
    producer = harness.connect()
    harness.advance(DUE_MS / 1000)
    moved = []
    for number in range(6):
        producer.send(b'PUSH {"jid":"pushed-%d","jobtype":"T","args":[]}\r\n' % number)
        harness.finish_sync()
        before = left(harness)
        harness.advance(4 * LONG_MS / 1000)
        moved.append(before - left(harness))
    assert moved == sorted(moved, reverse=True)
    assert moved[0] > moved[-1] == SLICE, "it goes on, however slow the disk is"
    assert producer.take() == OK * 5


def test_while_somebody_waits_for_a_sync_there_is_a_rest_after_each_slice() -> None:
    harness, _ = filled()
    producer = harness.connect()
    producer.send(b'PUSH {"jid":"pushed-1","jobtype":"T","args":[]}\r\n')
    harness.clock.now += DUE_MS
    harness.settle()
    for slices in range(1, 4):
        assert JOBS - left(harness) == slices * SLICE
        harness.advance(YIELD_MS / 1000)
    harness.finish_sync()
    assert harness.callbacks or harness.wake_at == harness.clock(), "it goes on at once when the sync has ended"
    harness.settle()
    assert producer.take() == OK
    assert JOBS - left(harness) > MOST_JOBS_PER_SYNC - SLICE, "nobody waits any more"


@pytest.mark.parametrize("mode", [SyncMode.INTERVAL, SyncMode.NEVER])
def test_where_nobody_waits_for_syncs_nothing_rests(mode: SyncMode) -> None:
    harness, _ = filled(mode)
    harness.advance(DUE_MS / 1000)
    assert left(harness) == 0


def test_a_failed_sync_ends_the_rest() -> None:
    harness, _ = filled()
    harness.advance(DUE_MS / 1000)
    assert left(harness) > 0
    harness.store.fail_sync(harness.store.syncs + 1)
    harness.hold_syncs = False
    harness.finish_sync()
    harness.advance(1)
    assert left(harness) == 0
    check_store(harness.store)
    check_memory(harness.server.engine)


class TestShare:
    @pytest.mark.parametrize(
        ("taken", "awaited", "share"),
        [
            (LONG_MS + 1, True, 1 / 2),
            (LONG_MS, True, 1),
            (QUICK_MS, True, 1),
            (QUICK_MS - 1, True, 2),
            (LONG_MS + 1, False, 2),
        ],
    )
    def test_follows_the_syncs_that_somebody_waits_for(self, taken: int, awaited: bool, share: float) -> None:
        pace = Pace()
        pace.share = MOST_BYTES // 4
        pace.sync_began(1_000)
        pace.sync_ended(1_000 + taken, awaited=awaited)
        assert pace.share == MOST_BYTES // 4 * share

    def test_has_bounds(self) -> None:
        pace = Pace()
        for taken, bound in [(1_000, LEAST_BYTES), (0, MOST_BYTES)]:
            for _ in range(20):
                pace.sync_began(1_000)
                pace.sync_ended(1_000 + taken, awaited=True)
            assert pace.share == bound

    def test_counts_rows_by_their_size(self) -> None:
        pace = Pace()
        pace.wrote({b"key": b"x" * (MOST_BYTES - 200), b"gone": None})
        assert not pace.is_full
        pace.wrote({b"another": b"x" * 200})
        assert pace.is_full
        pace.sync_began(1_000)
        assert not pace.is_full
