"""Expiring jobs where the transcripts do not reach: many at once, in slices, under a FETCH and without an index."""

import pytest

from harness import Harness
from invariants import check_memory, check_store
from lineshaft.engine import fetch
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.job import decode_pushed
from lineshaft.store.memory import MemoryStore

NOW = 1_764_000_000_000


def push(engine: Engine, jid: str, **custom: object) -> None:
    given = ",".join(f'"{name}":{value}' for name, value in custom.items())
    engine.push(decode_pushed(f'{{"jid":"{jid}","jobtype":"T","args":[],"custom":{{{given}}}}}'.encode()))


@pytest.mark.parametrize("jid_index", [True, False])
def test_a_backlog_expires_in_slices(jid_index: bool) -> None:
    store = MemoryStore()
    engine = Engine(store, Settings(jid_index=jid_index), lambda: 0.5, NOW)
    for number in range(2500):
        push(engine, f"expire-{number:04}", expires_in=5 + number % 2)
    push(engine, "lasts-0001")
    engine.commit()
    for instant, left in ((NOW + 5000, 1251), (NOW + 6000, 1)):
        engine = Engine(store, Settings(jid_index=jid_index), lambda: 0.5, instant - 1)
        assert engine.deadline() <= instant
        engine.advance(instant)
        slices = 1
        while engine.tick() <= instant:
            slices += 1
        assert slices > 10
        engine.commit()
        assert engine.state.queues.by_name["default"].size == left
        check_store(store, has_index=jid_index)
        check_memory(engine)
    payload = engine.fetch(["default"], "w")
    assert payload is not None
    assert b"lasts-0001" in payload


def test_a_fetch_drops_a_bounded_number_and_its_worker_is_served_all_the_same() -> None:
    box = Harness()
    peer = box.connect()
    for number in range(3 * fetch.MOST_DROPPED):
        # Dropped by the FETCH, since no time has passed in which they could be swept.
        push(box.server.engine, f"expire-{number:04}", expires_at='"2000-01-01T00:00:00Z"')
    push(box.server.engine, "lasts-0001")
    assert box.server.engine.fetch(["default"], "other") is None
    assert box.server.engine.state.queues.by_name["default"].size == 2 * fetch.MOST_DROPPED + 1
    assert peer.ask_json("FETCH default")["jid"] == "lasts-0001"
    assert box.server.engine.state.totals.expired == 3 * fetch.MOST_DROPPED
