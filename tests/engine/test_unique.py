"""Unique jobs where the transcripts do not reach: instants, a million locks, what is revealed before it is durable."""

import pytest

from harness import Harness
from invariants import check_memory, check_store, rows_of
from lineshaft.engine.agenda import forget
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.errors import Refusal
from lineshaft.job import decode_pushed
from lineshaft.store.memory import MemoryStore

NOW = 1_764_000_000_000
PUSH = 'PUSH {"jid":"unique-00%d","jobtype":"T","args":[],"custom":{"unique_for":60}}'


def push(engine: Engine, jid: str, *, args: str = "[]", at: str = "", until: float = 60) -> None:
    when = f',"at":"{at}"' if at else ""
    engine.push(
        decode_pushed(f'{{"jid":"{jid}","jobtype":"T","args":{args}{when},"custom":{{"unique_for":{until}}}}}'.encode())
    )


def new_engine(store: MemoryStore | None = None) -> Engine:
    return Engine(store or MemoryStore(), Settings(), lambda: 0.5, NOW)


def locks(engine: Engine) -> list[bytes]:
    return [key for key in rows_of(engine.state.turn.store) if key[:1] == b"U"]


def test_a_scheduled_jobs_lock_lives_its_delay_and_its_time() -> None:
    engine = new_engine()
    push(engine, "unique-001", at="2025-11-24T16:01:40Z", until=10)
    engine.advance(NOW + 109_999)
    with pytest.raises(Refusal, match="not unique"):
        push(engine, "unique-002")
    engine.advance(NOW + 110_000)
    # Nothing has swept it yet: it has ended all the same.
    push(engine, "unique-002")
    engine.commit()
    check_store(engine.state.turn.store)
    check_memory(engine)


def test_arguments_are_compared_as_they_were_sent() -> None:
    engine = new_engine()
    push(engine, "unique-001", args="[1.0]")
    push(engine, "unique-002", args="[1]")
    with pytest.raises(Refusal) as refusal:
        push(engine, "unique-003", args="[1]")
    assert refusal.value.text == "NOTUNIQUE Job not unique"


def test_a_lock_for_ever_fits_into_its_key() -> None:
    engine = new_engine()
    push(engine, "unique-001", until=1e300)
    engine.commit()
    check_store(engine.state.turn.store)


def test_locks_end_in_slices_with_an_exact_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "SLICE", 10)
    store = MemoryStore()
    engine = new_engine(store)
    for number in range(25):
        push(engine, f"unique-{number:03}", args=f"[{number}]", until=5)
    push(engine, "unique-later", until=50)
    engine.commit()
    engine = new_engine(store)
    assert engine.state.expiries.next_at == NOW + 5000
    engine.advance(NOW + 5000)
    left = []
    while engine.tick() <= engine.state.now:
        engine.commit()
        left.append(len(locks(engine)))
    engine.commit()
    assert left[:2] == [16, 6]
    assert len(locks(engine)) == 1
    assert engine.state.expiries.next_at == NOW + 50_000
    check_store(store)


def test_notunique_is_said_only_when_what_it_reveals_is_on_disk() -> None:
    box = Harness()
    first, second = box.connect(), box.connect()
    box.hold_syncs = True
    assert first.ask(PUSH % 1) == b""
    assert second.ask(PUSH % 2) == b""
    assert second.ask("PUSH {}") == b""
    box.hold_syncs = False
    box.settle()
    assert first.take() == b"+OK\r\n"
    assert second.take().startswith(b"-NOTUNIQUE Job not unique\r\n-ERR ")
