"""History: what is kept, for how long, how much of it, and that it is nothing when it is off."""

import pytest
from msgspec import json

from harness import Harness, Peer
from invariants import check_memory, check_store, rows_of
from lineshaft.engine.settings import Settings
from lineshaft.engine.stats.history import SLICE
from lineshaft.errors import Refusal
from lineshaft.store.faulty import FaultyStore

DAY = 86_400_000


def run(peer: Peer, jid: str, *, answer: str = 'ACK {"jid":"%s"}', **fields: object) -> None:
    job = {"jid": jid, "jobtype": "T", "args": [1], **fields}
    assert peer.ask("PUSH " + json.encode(job).decode()) == b"+OK\r\n"
    peer.ask("FETCH default")
    assert peer.ask(answer % jid) == b"+OK\r\n"


def past_of(store: FaultyStore) -> list[bytes]:
    return [key for key in rows_of(store) if key[:1] == b"H"]


def test_off_it_keeps_and_costs_nothing() -> None:
    box = Harness()
    run(box.connect(), "job-00001")
    assert not past_of(box.store)
    assert box.server.engine.ack.__name__ == "ack"  # type: ignore[attr-defined]


def test_what_is_shown_of_a_job() -> None:
    box = Harness(rules=Settings(history_keep=DAY))
    peer = box.worker("w1")
    run(peer, "job-00001", answer='FAIL {"jid":"%s","retry_in":0}')
    box.advance(1)
    peer.ask("FETCH default")
    box.advance(2)
    assert peer.ask('ACK {"jid":"job-00001","result":{"a": 1}}') == b"+OK\r\n"
    (shown,) = json.decode(json.encode(box.server.engine.views.finished("job-00001")))
    job = shown.pop("job")
    assert (job["args"], job["failure"]["retry_count"]) == ([1], 0)
    assert shown == {
        "jid": "job-00001",
        "outcome": "success",
        "worker": "w1",
        "attempts": 2,
        "enqueued_at": "2025-11-24T16:00:00.000Z",
        "started_at": "2025-11-24T16:00:01.000Z",
        "finished_at": "2025-11-24T16:00:03.000Z",
        "result": {"a": 1},
    }


def test_pages_from_the_newest_on() -> None:
    box = Harness(rules=Settings(history_keep=DAY))
    peer = box.connect()
    for number in range(7):
        run(peer, f"job-0000{number}")
    run(peer, "job-00009", answer='FAIL {"jid":"%s"}', retry=0)
    engine, cursor, seen = box.server.engine, "", []
    while True:
        jobs, cursor, _ = engine.views.history(cursor=cursor, limit=3)
        seen += [(job["jid"], job["outcome"]) for job in jobs]
        if not cursor:
            break
    expected = [(f"job-0000{number}", "success") for number in range(7)]
    assert seen == [("job-00009", "discarded"), *reversed(expected)]
    with pytest.raises(Refusal, match="invalid cursor"):
        engine.views.history(cursor="no hex")
    check_store(box.store)
    check_memory(engine)


def test_it_goes_when_it_is_old_and_a_start_goes_on_with_it() -> None:
    box = Harness(rules=Settings(history_keep=DAY))
    run(box.connect(), "job-00001")
    box.advance(80_000)
    run(box.connect(), "job-00002")
    box = Harness(rules=Settings(history_keep=DAY), store=box.store, now=box.clock())
    box.advance(6_400)
    assert [job["jid"] for job in box.server.engine.views.history()[0]] == ["job-00002"]
    box.advance(80_000)
    assert past_of(box.store) == [b"Hn"]
    check_store(box.store)


def test_the_oldest_go_when_there_are_too_many_or_too_large_ones() -> None:
    for rules in (Settings(history_keep=DAY, history_max=2), Settings(history_keep=DAY, history_max_bytes=500)):
        box = Harness(rules=rules)
        for number in range(2 * SLICE + 5):
            run(box.connect(), f"job-{number:05}")
            box.advance(0.001)
        assert [job["jid"] for job in box.server.engine.views.history()[0]] == ["job-00204", "job-00203"]
        check_store(box.store)
        check_memory(box.server.engine)


def test_switched_off_it_is_cleared() -> None:
    box = Harness(rules=Settings(history_keep=DAY))
    for number in range(SLICE + 5):
        run(box.connect(), f"job-{number:05}")
    assert len(past_of(box.store)) == 2 * (SLICE + 5) + 1
    other = Harness(rules=Settings(), store=box.store.crash(box.store.unsynced), now=box.clock())
    other.settle()
    other.advance(1)
    assert past_of(other.store) == [b"Hn"]


def test_a_flush_clears_it() -> None:
    box = Harness(rules=Settings(history_keep=DAY))
    run(box.connect(), "job-00001")
    box.connect().ask("FLUSH")
    assert not past_of(box.store)
    assert box.server.engine.views.history() == ([], "", 0)
