"""What once went wrong in the engine, and must not again: each test failed before its defect was mended."""

import gc
import json
import time

import pytest

from invariants import check_memory, check_store
from lineshaft.engine import index
from lineshaft.engine.agenda.due import SLICE
from lineshaft.engine.engine import Engine
from lineshaft.engine.retry import Report
from lineshaft.engine.settings import Settings
from lineshaft.errors import Refusal
from lineshaft.job import Job, decode_pushed
from lineshaft.store.faulty import FaultyStore

NOW = 1_764_000_000_000
IN_FIVE_SECONDS = "2025-11-24T16:00:05Z"
#: Two of these are more than one slice of a scan takes in bytes.
LARGE = "x" * (5 << 20)


def job(jid: str, **fields: object) -> Job:
    """A job as it is pushed."""
    return decode_pushed(json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields}).encode())


def new_engine(store: FaultyStore | None = None, rules: Settings | None = None) -> Engine:
    return Engine(store or FaultyStore(), rules or Settings(), lambda: 0.5, NOW)


def tick_through(engine: Engine, now: int) -> None:
    """Do everything that is due at an instant, a commit after each slice as the server does it."""
    engine.advance(now)
    for _ in range(10_000):
        again = engine.tick()
        engine.commit()
        if again > now:
            return
    pytest.fail("the engine is never through")


def beating_worker(engine: Engine, wid: str) -> None:
    """A connected worker that has sent a BEAT, so that its jobs are taken back when it has vanished."""
    engine.connect(wid, "h", 1, ())
    engine.beat(wid, 0, None)


def leave(engine: Engine, wid: str) -> None:
    engine.disconnect(engine.state.workers.present[wid])


def test_a_large_job_removed_in_this_turn_does_not_hide_the_scheduled_one_behind_it() -> None:
    store = FaultyStore()
    engine = new_engine(store)
    for jid in ("large-001", "large-002"):
        engine.push(job(jid, at=IN_FIVE_SECONDS, args=[LARGE]))
    engine.commit()
    engine.mutate("discard", "scheduled", jids=["large-001"])
    engine.advance(NOW + 60_000)
    engine.tick()
    engine.commit()
    tick_through(engine, NOW + 120_000)
    payload = engine.fetch(["default"], "w")
    assert payload is not None
    assert b"large-002" in payload
    engine.commit()
    check_store(store)


def test_a_large_job_removed_in_this_turn_does_not_hide_the_ready_ones_behind_it() -> None:
    store = FaultyStore()
    before = new_engine(store)
    for jid in ("large-001", "large-002", "large-003"):
        before.push(job(jid, args=[LARGE]))
    before.commit()
    engine = new_engine(store)
    engine.commit()
    engine.mutate("discard", "queue:default", jids=["large-001"])
    payload = engine.fetch(["default"], "w")
    assert payload is not None
    assert b"large-002" in payload
    engine.commit()
    check_store(store)
    check_memory(engine)


def test_a_job_that_fails_hundreds_of_times_is_still_retried_at_an_instant_that_can_be_written() -> None:
    engine = new_engine()
    engine.push(job("failed-01", retry=100_000))
    for _ in range(720):
        assert engine.fetch(["default"], "w") is not None
        engine.fail("failed-01", "w", Report("E", "m"))
        engine.mutate("requeue", "retries")
        engine.commit()
    assert engine.figures()["queues"]["default"] == 1


def test_the_latency_of_a_queue_that_is_named_often_is_read_once() -> None:
    store = FaultyStore()
    engine = new_engine(store)
    engine.push(job("large-001", args=["x" * 5000]))
    engine.commit()
    before = store.gets
    assert engine.latency(["default"] * 1000) == {"default": 0.0}
    assert store.gets - before <= 1


def seconds_of_a_recovery(every: int) -> float:
    """What it costs, slice by slice, to give the jobs of a vanished worker to others, when so many are leased."""
    engine = new_engine()
    beating_worker(engine, "worker-1")
    lost = 300
    for number in range(every):
        engine.push(job(f"job-{number:06}"))
    engine.commit()
    for number in range(every):
        engine.fetch(["default"], "worker-1" if number < lost else "other")
        if number % 100 == 99:
            engine.commit()
    engine.commit()
    leave(engine, "worker-1")
    engine.advance(NOW + 61_000)
    slices: list[float] = []
    # What is lying about from the pushes is not to be collected meanwhile.
    gc.disable()
    try:
        while not slices or engine.state.lost:
            began = time.process_time()
            engine.tick()
            slices.append(time.process_time() - began)
            engine.commit()
    finally:
        gc.enable()
    assert len(slices) > 1, "the first one recovered everything"
    return sum(slices)


def test_recovering_one_worker_costs_nothing_for_the_jobs_of_others() -> None:
    assert seconds_of_a_recovery(50_000) < 5 * seconds_of_a_recovery(1000)


def test_a_restart_looks_through_few_jobs_however_many_were_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MOST_YOUNG", 100)
    monkeypatch.setattr(index, "MOST_BEYOND", 400)
    store = FaultyStore()
    engine = new_engine(store)
    for number in range(3000):
        engine.push(job(f"job-{number:06}", at=IN_FIVE_SECONDS))
    tick_through(engine, NOW + 100_000)
    assert engine.figures()["queues"]["default"] == 3000
    looked_at = []
    decode_head = index.decode_head

    def counting(payload: bytes) -> object:
        looked_at.append(payload)
        return decode_head(payload)

    monkeypatch.setattr(index, "decode_head", counting)
    new_engine(store)
    assert len(looked_at) <= 500


def test_late_acks_do_not_look_through_the_whole_turn() -> None:
    engine = new_engine()
    for start in (0, 10_000):
        assert engine.push_bulk([job(f"job-{start + number:06}") for number in range(10_000)]) == {}
    began = time.process_time()
    for number in range(1000):
        assert not engine.ack(f"unknown-{number}", "w")
    assert time.process_time() - began < 0.5


def test_a_reload_that_lowers_recover_after_applies_to_who_is_gone_already() -> None:
    engine = new_engine(rules=Settings(recover_after=3_600_000))
    beating_worker(engine, "worker-1")
    engine.push(job("held-0001"))
    engine.fetch(["default"], "worker-1")
    leave(engine, "worker-1")
    engine.tick()
    engine.commit()
    engine.apply(Settings(recover_after=10_000))
    tick_through(engine, NOW + 120_000)
    assert engine.figures()["queues"]["default"] == 1


def test_a_worker_that_comes_back_while_its_jobs_are_recovered_is_still_one_that_beats() -> None:
    store = FaultyStore()
    engine = new_engine(store)
    beating_worker(engine, "worker-1")
    for number in range(SLICE + 50):
        engine.push(job(f"job-{number:06}"))
        engine.fetch(["default"], "worker-1")
    engine.commit()
    leave(engine, "worker-1")
    engine.advance(NOW + 61_000)
    engine.tick()
    assert engine.state.lost, "one slice recovered everything: nothing is under way"
    engine.connect("worker-1", "h", 1, ())
    assert engine.fetch(["default"], "worker-1") is not None
    leave(engine, "worker-1")
    tick_through(engine, NOW + 61_000)
    tick_through(engine, NOW + 200_000)
    assert engine.figures()["sets"]["working"] == 0
    check_store(store)
    check_memory(engine)


def test_a_late_ack_ends_the_job_that_was_taken_back_and_not_its_twin_that_another_worker_holds() -> None:
    engine = new_engine()
    beating_worker(engine, "w1")
    beating_worker(engine, "w2")
    engine.push(job("twins-001", args=["first"]))
    engine.fetch(["default"], "w1")
    leave(engine, "w1")
    tick_through(engine, NOW + 59_000)
    engine.beat("w2", 0, None)
    tick_through(engine, NOW + 61_000)
    engine.pause(["default"])
    engine.push(job("twins-001", args=["second"], queue="other"))
    engine.fetch(["other"], "w2")
    assert engine.ack("twins-001", "w1")
    assert engine.figures()["total_enqueued"] == 0
    assert [lease.holder for lease in engine.state.leases.all_of("twins-001")] == ["w2"]
    engine.commit()
    check_store(engine.state.turn.store)
    check_memory(engine)


def test_a_push_with_a_wish_that_nobody_understands_makes_no_queue() -> None:
    engine = new_engine()
    with pytest.raises(Refusal, match="unique_for"):
        engine.push(job("wishes-01", queue="new", custom={"unique_for": "long"}))
    assert not engine.figures()["queues"]


def test_the_finished_jobs_with_a_jid_are_bounded_in_bytes() -> None:
    engine = new_engine(rules=Settings(history_keep=86_400_000))
    for _ in range(4):
        engine.push(job("large-001", args=[LARGE]))
        engine.fetch(["default"], "w")
        engine.ack("large-001", "w")
    assert len(engine.views.finished("large-001")) == 1


def test_a_job_that_seemed_undelivered_and_was_done_is_done() -> None:
    engine = new_engine()
    engine.push(job("job-00001"))
    assert engine.fetch(["default"], "w1") is not None
    engine.give_back("job-00001", "w1")
    assert not engine.ack("job-00001", "w2"), "another worker never had it"
    assert engine.ack("job-00001", "w1")
    assert engine.fetch(["default"], "w2") is None
    engine.commit()
    check_memory(engine)
