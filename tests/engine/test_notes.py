"""The figures of once a minute: kept over a restart, thinned out, and never more than there may be."""

from harness import Harness
from lineshaft.engine.records import NoteRecord
from lineshaft.engine.stats.notes import EVERY_MS, GRAINS, MOST

HOUR = 3_600_000


def note(box: Harness) -> bool:
    box.server.begin_turn()
    taken = box.server.engine.take_note()
    box.server.need_turn()
    box.settle()
    return taken


def notes(box: Harness) -> list[tuple[int, NoteRecord]]:
    box.server.begin_turn()
    return box.server.engine.views.notes(0)


def test_one_a_minute_says_how_things_stood() -> None:
    box = Harness()
    client = box.connect()
    client.ask('PUSH {"jid":"job-00001","jobtype":"T","args":[]}')
    assert note(box)
    assert not note(box), "this minute has its note"
    worker = box.worker("w1")
    worker.ask("FETCH default")
    worker.ask('ACK {"jid":"job-00001"}')
    box.advance(60)
    assert note(box)
    (first_at, first), (second_at, second) = notes(box)
    assert second_at - first_at == EVERY_MS
    assert first_at % EVERY_MS == 0
    assert (first.processed, first.enqueued, second.processed, second.enqueued) == (0, 1, 1, 0)
    before = notes(box)
    again = Harness(store=box.store.crash(box.store.unsynced), now=box.clock())
    assert notes(again) == before
    assert not note(again)
    again.connect().ask("FLUSH")
    assert notes(again) == []


def test_a_week_of_them_is_thinned_out() -> None:
    box = Harness()
    engine = box.server.engine
    begin = box.clock() // HOUR * HOUR + HOUR
    for minute in range(9 * 24 * 60):
        engine.advance(begin + minute * EVERY_MS)
        assert engine.take_note()
        if minute % 500 == 0:
            engine.commit()
    engine.commit()
    now = engine.state.now
    kept = engine.state.notes.kept
    assert kept == [at for at, _ in engine.views.notes(0)]
    assert len(kept) < sum(keep // every for every, keep in GRAINS) < MOST
    assert [at for at in kept if at > now - HOUR] == list(range(now - HOUR + EVERY_MS, now + 1, EVERY_MS))
    assert all(at % 300_000 == 0 for at in kept if at < now - 2 * HOUR)
    assert all(at % HOUR == 0 for at in kept if at < now - 26 * HOUR)
    assert kept[0] <= now - 7 * 24 * HOUR


def test_a_clock_that_was_wrong_for_a_while_costs_no_note() -> None:
    box = Harness()
    note(box)
    (at, _) = notes(box)[0]
    engine = box.server.engine
    engine.advance(EVERY_MS)
    engine.take_note()
    assert engine.state.notes.kept == [EVERY_MS, at]
    assert [found for found, _ in engine.views.notes(0)] == [EVERY_MS], "what is yet to come is not shown"
    engine.advance(at + EVERY_MS)
    engine.take_note()
    assert engine.state.notes.kept == [at, at + EVERY_MS]
