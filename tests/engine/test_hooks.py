"""Hooks and the moves that they follow: whatever a crash keeps, both are there or neither is."""

from typing import Any, NamedTuple

import pytest

from harness import Harness
from invariants import check_store, rows_of
from lineshaft.engine import keys
from lineshaft.engine.engine import Engine
from lineshaft.engine.hooks import Hooks, Verdict
from lineshaft.engine.settings import Settings
from lineshaft.engine.value import split_value
from lineshaft.job import Job, decode_pushed, decode_stored
from lineshaft.store.faulty import FaultyStore


def follow(kind: str, job: Job) -> tuple[Job, ...]:
    """Two follow-ups for each move, so that half of them would show too."""
    if job.queue == "told":
        return ()
    jobs = (f'{{"jid":"{kind}-{n}-{job.jid}","jobtype":"T","args":[],"queue":"told"}}' for n in (1, 2))
    return tuple(decode_pushed(one.encode()) for one in jobs)


HOOKS = Hooks(
    push=lambda job: Verdict(follow=follow("push", job)),
    fetch=lambda job, _: follow("fetch", job),
    ack=lambda job, _: follow("ack", job),
    fail=lambda job, _: follow("fail", job),
    dead=lambda job: follow("dead", job),
)


class Picture(NamedTuple):
    """Where the jobs are, what was counted, and what was told."""

    places: list[tuple[str, bytes, bool]]
    processed: int
    told: list[str]


def picture(store: FaultyStore, now: int) -> Picture:
    """As a start after a crash finds it."""
    engine = Engine(FaultyStore(rows_of(store)), Settings(), lambda: 0.5, now, HOOKS)
    places: list[tuple[str, bytes, bool]] = []
    told: list[str] = []
    for kind in (b"R", b"T"):
        for key, value in engine.state.turn.scan(*keys.prefix_range(kind), limit=1 << 30):
            job = decode_stored(split_value(value)[1])
            if job.queue == "told":
                told.append(job.jid)
            else:
                places.append((job.jid, key[:2], bool(engine.state.leases.all_of(job.jid))))
    return Picture(sorted(places), engine.state.processed(), sorted(told))


#: Everything that tells, one move each: a late ACK, a reservation that ends and a kill by MUTATE among them.
SCRIPT: list[str | float] = [
    'PUSH {"jid":"done-0001","jobtype":"T","args":[],"custom":{"track":1,"unique_for":9}}',
    "FETCH default",
    'ACK {"jid":"done-0001","result":1}',
    'PUSH {"jid":"late-0001","jobtype":"T","args":[]}',
    "FETCH default",
    61.0,
    'ACK {"jid":"late-0001"}',
    'PUSHB [{"jid":"dies-0001","jobtype":"T","args":[],"retry":-1},'
    '{"jid":"gone-0001","jobtype":"T","args":[],"retry":0}]',
    "FETCH default",
    'FAIL {"jid":"dies-0001"}',
    "FETCH default",
    'FAIL {"jid":"gone-0001"}',
    'PUSH {"jid":"ends-0001","jobtype":"T","args":[],"reserve_for":60,"retry":-1,"queue":"q"}',
    "slow FETCH q",
    61.0,
    'PUSH {"jid":"kill-0001","jobtype":"T","args":[],"at":"2099-01-01T00:00:00Z"}',
    'MUTATE {"cmd":"kill","target":"scheduled"}',
]


@pytest.mark.parametrize("rules", [{}, {"history_keep": 10**9}], ids=["plain", "history"])
def test_a_follow_up_and_its_move_are_one_commit(rules: dict[str, Any]) -> None:
    box = Harness(rules=Settings(**rules), hooks=HOOKS)
    peer, slow = box.worker("w1"), box.worker("w2", beats=False)
    box.hold_syncs = True
    seen = [picture(box.store, box.clock())]
    for step in SCRIPT:
        if isinstance(step, float):
            peer.leave()
            box.advance(step)
            peer, slow = box.worker("w1"), box.worker("w2", beats=False)
        elif step.startswith("slow "):
            slow.ask(step.removeprefix("slow "))
        else:
            peer.ask(step)
        seen.append(picture(box.store, box.clock()))
    assert len({tuple(one.told) for one in seen}) > 12
    assert {"ack-2-late-0001", "fail-1-ends-0001", "dead-1-ends-0001", "dead-2-kill-0001"} <= {*seen[-1].told}
    for kept in range(box.store.unsynced + 1):
        after = box.store.crash(kept)
        check_store(after)
        assert picture(after, box.clock()) in seen, f"{kept} commits kept"
