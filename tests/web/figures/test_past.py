"""What is drawn over time: rates of unevenly spaced notes, and what an earlier process has noted."""

from pathlib import Path

import pytest

from browser.stage import staged
from lineshaft.engine.records import NoteRecord
from lineshaft.errors import NotLeading
from lineshaft.server import rescue
from lineshaft.store.memory import MemoryStore
from lineshaft.web.figures.past import GRAINS, Note, Past
from lineshaft.web.figures.pulse import Pulse

NOW = 1_764_000_000_000
HOUR = 3_600_000


def note(at: int, processed: int, failed: int = 0) -> Note:
    return Note(at, processed, failed, 0, 0, 0, 0, 0)


def test_one_rate_a_step() -> None:
    past = Past()
    for second in range(400):
        past.take(note(NOW + second * 1000, 10 * second, second))
    done, failed = past.rates("5m")
    assert (len(done), len(failed)) == (300, 300)
    assert done == pytest.approx([10.0] * 300)
    assert failed == pytest.approx([1.0] * 300)
    assert past.rates("24h")[0] == pytest.approx([10.0])


def test_a_ragged_clock_makes_no_ragged_curve() -> None:
    past = Past()
    at = NOW
    for second in range(100):
        at += 990 + 20 * (second % 2)
        past.take(note(at, (at - NOW) // 10))
    done, _ = past.rates("5m")
    assert min(done) == pytest.approx(100, abs=2)
    assert max(done) == pytest.approx(100, abs=2)


def test_what_was_noted_each_minute_is_spread_over_it() -> None:
    past = Past()
    past.recall([(NOW - 120_000, NoteRecord(0, 0, 0, 0, 0, 0, 0)), (NOW - 60_000, NoteRecord(600, 60, 0, 0, 0, 0, 0))])
    past.take(note(NOW, 600, 60))
    done, failed = past.rates("5m")
    assert done == pytest.approx([10.0] * 60 + [0.0] * 60)
    assert failed == pytest.approx([1.0] * 60 + [0.0] * 60)


def test_what_is_too_old_for_a_chart_is_not_in_it() -> None:
    past = Past()
    past.recall([(NOW - hours * HOUR, NoteRecord(1000 - hours, 0, 0, 0, 0, 0, 0)) for hours in range(167, 0, -1)])
    past.take(note(NOW, 1000))
    assert {grain.name: len(past.notes[grain.name]) for grain in GRAINS} == {"5m": 1, "1h": 2, "24h": 25, "1w": 168}
    assert len(past.rates("1w")[0]) == 167


def test_a_flush_and_a_clock_set_back() -> None:
    past = Past()
    past.take(note(NOW, 1000))
    past.take(note(NOW + 1000, 3))
    past.take(note(NOW + 2000, 5))
    assert past.rates("5m")[0] == pytest.approx([0.0, 2.0])
    past.take(note(NOW - HOUR, 5))
    assert [kept.at for kept in past.notes["5m"]] == [NOW - HOUR]
    assert past.rates("5m") == ([], [])


def test_a_new_process_goes_on_where_the_last_one_was(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        engine = stage.server.engine
        for minutes in range(30, 0, -1):
            stage.clock.shift_ms = -minutes * 60_000
            stage.do(engine.take_note)
            stage.push({"queue": "q"})
        stage.clock.shift_ms = 0

        def begin_again() -> Pulse:
            pulse = Pulse(stage.site.backend)
            pulse.start()
            pulse.stop()
            return pulse

        past = stage.do(begin_again).past
    # The last is that of the stage's own start.
    assert [kept.enqueued for kept in past.notes["1h"]][:31] == [*range(30), 0]
    assert 179 <= len(past.rates("1h")[0]) <= 186


def test_a_node_that_comes_to_lead_goes_on_where_the_last_leader_was(tmp_path: Path) -> None:
    with staged(tmp_path) as stage:
        server = stage.server
        for minutes in range(30, 0, -1):
            stage.clock.shift_ms = -minutes * 60_000
            stage.do(server.engine.take_note)
        stage.clock.shift_ms = 0

        def come_to_lead() -> Past:
            store, pulse = server.store, Pulse(stage.site.backend)
            rescue.stand_by(server, NotLeading("another node leads"), MemoryStore())
            pulse.start()
            assert not pulse.past.notes["1h"]
            rescue.lead(server, store)
            pulse.start()
            pulse.stop()
            return pulse.past

        past = stage.do(come_to_lead)
    assert 179 <= len(past.rates("1h")[0]) <= 186
