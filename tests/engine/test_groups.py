"""What went wrong, counted: together always as many as there are, whatever happens to the jobs."""

import json

import pytest

from harness import Harness
from lineshaft.engine.search.filter import Filter
from lineshaft.engine.settings import Settings
from lineshaft.engine.stats import groups
from lineshaft.engine.stats.groups import HOURS, shape_of
from lineshaft.engine.timed import SetName
from lineshaft.store.faulty import FaultyStore


def fail(box: Harness, jobtype: str, message: str, *, retry: int = -1, errtype: str = "Boom") -> str:
    """A job that fails; returns its jid."""
    producer, worker = box.connect(), box.worker("w1")
    jid = f"job-{box.server.engine.state.order:08}"
    producer.ask("PUSH " + json.dumps({"jid": jid, "jobtype": jobtype, "args": [], "retry": retry}))
    worker.ask("FETCH default")
    assert worker.ask("FAIL " + json.dumps({"jid": jid, "errtype": errtype, "message": message})) == b"+OK\r\n"
    producer.leave()
    worker.leave()
    return jid


def told(box: Harness, name: SetName = SetName.DEAD) -> list[tuple[str, str, str, int]]:
    box.server.begin_turn()
    found, _ = box.server.engine.views.groups(name)
    assert sum(group.count for group in found) == box.server.engine.state.sets[name].size
    return [(group.jobtype, group.errtype, group.shape, group.count) for group in found]


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        ("execution expired after 30 s", "execution expired after … s"),
        ("Couldn't find User with 'id'=88213", "Couldn't find User with …=…"),
        ('no such key: "user:17" (0x7fae01)', "no such key: … (…)"),
        ("row 9f1c2d3e-aaaa-bbbb-cccc-0123456789ab is gone", "row … is gone"),
        ("commit 9f1c2d3eaa failed", "commit … failed"),
        ("10.0.0.1:5432 refused", "… refused"),
        ("deadbeefcafe says no", "deadbeefcafe says no"),
        ("x" * 1000, "x" * 200),
    ],
)
def test_the_shape_of_a_message(message: str, shape: str) -> None:
    assert shape_of(message) == shape


def test_jobs_that_fail_in_the_same_way_are_one_group() -> None:
    box = Harness()
    for number in range(3):
        fail(box, "mail", f"no answer after {number} s")
    fail(box, "mail", "no answer after 9 s", errtype="Other")
    fail(box, "report", "no answer after 9 s")
    fail(box, "report", "no answer after 9 s", retry=5)
    assert sorted(told(box)) == [
        ("mail", "Boom", "no answer after … s", 3),
        ("mail", "Other", "no answer after … s", 1),
        ("report", "Boom", "no answer after … s", 1),
    ]
    assert told(box, SetName.RETRIES) == [("report", "Boom", "no answer after … s", 1)]


def test_a_filter_means_a_group() -> None:
    box = Harness()
    jids = [fail(box, "mail", f"no answer after {number} s") for number in range(2)]
    fail(box, "mail", "something else")
    box.server.begin_turn()
    groups_there, count = box.server.engine.views.groups(SetName.DEAD)
    assert count == 2
    chosen = Filter(group=groups_there[0].group)
    found = box.server.engine.views.timed(SetName.DEAD, filter=chosen)
    assert sorted(view.jid for view in found.jobs) == sorted(jids)
    box.server.engine.mutate("requeue", "dead", chosen=chosen)
    box.server.need_turn()
    box.settle()
    assert told(box) == [("mail", "Boom", "something else", 1)]


def test_whatever_happens_the_counts_are_the_sizes() -> None:
    box = Harness(rules=Settings(dead_max=4))
    jids = [fail(box, f"type-{number}", "no", retry=3) for number in range(4)]
    client = box.connect()
    client.ask('PUSH {"jid":"12345678-later","jobtype":"later","args":[],"at":"2099-01-01T00:00:00Z"}')
    client.ask('MUTATE {"cmd":"kill","target":"scheduled"}')
    assert told(box) == [("later", "", "", 1)]
    client.ask(f'CANCEL {{"jid":"{jids[0]}"}}')
    client.ask(f'MUTATE {{"cmd":"kill","target":"retries","filter":{{"jids":["{jids[1]}"]}}}}')
    client.ask(f'MUTATE {{"cmd":"discard","target":"retries","filter":{{"jids":["{jids[2]}"]}}}}')
    box.server.engine.reschedule(SetName.RETRIES, jids[3], box.clock() + 5000)
    box.server.need_turn()
    box.settle()
    assert told(box, SetName.RETRIES) == [("type-3", "Boom", "no", 1)]
    box.advance(6)
    assert told(box, SetName.RETRIES) == []
    worker = box.worker("w2")
    assert jids[3] in worker.ask("FETCH default").decode()
    worker.ask(f'ACK {{"jid":"{jids[3]}"}}')
    for number in range(6):
        fail(box, f"more-{number}", "no")
    box.advance(1)
    assert len(told(box)) == 4, "the oldest of too many were pruned"
    client.ask("FLUSH")
    assert told(box) == told(box, SetName.RETRIES) == []


def test_they_are_there_after_a_restart() -> None:
    box = Harness()
    for number in range(3):
        fail(box, "mail", f"after {number}")
    before = told(box)
    again = Harness(store=box.store.crash(box.store.unsynced))
    assert told(again) == before == [("mail", "Boom", "after …", 3)]


def test_too_many_ways_to_fail_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_GROUPS", 2)
    box = Harness()
    jids = [fail(box, f"type-{number}", "no") for number in range(5)]
    assert sorted(told(box)) == [("", "", "", 3), ("type-0", "Boom", "no", 1), ("type-1", "Boom", "no", 1)]
    for jid in jids:
        box.connect().ask(f'MUTATE {{"cmd":"discard","target":"dead","filter":{{"jids":["{jid}"]}}}}')
    assert told(box) == []


@pytest.mark.parametrize("more", [-2, 2])
def test_a_start_counts_anew_what_does_not_fit(more: int) -> None:
    box = Harness()
    for number in range(3):
        fail(box, f"type-{number}", "no")
    rows = {key: value for commit in box.store.log for key, value in commit.changes.items()}
    kept = {key: value for key, value in rows.items() if value is not None}
    grouped = sorted(key for key in kept if key.startswith(b"Yd"))
    if more < 0:
        for key in grouped[:2]:
            del kept[key]
        expected = [("", "", "", 2)]
    else:
        kept[grouped[0]] = kept[grouped[0]].replace(b"\x01\xcf", b"\x03\xcf", 1)
        expected = []
    again = Harness(store=FaultyStore(kept))
    assert [group for group in told(again) if not group[0]] == expected


def test_a_row_that_cannot_be_read_is_counted_no_more() -> None:
    box = Harness()
    fail(box, "mail", "no")
    fail(box, "mail", "no")
    key = box.server.engine.views.timed(SetName.DEAD).jobs[0].key
    box.store.commit({key: b"{"})
    box.connect().ask('MUTATE {"cmd":"discard","target":"dead"}')
    assert told(box) == []


def test_a_group_knows_how_it_grew() -> None:
    box = Harness()

    def hours() -> list[int]:
        box.server.begin_turn()
        (group,), _ = box.server.engine.views.groups(SetName.DEAD)
        assert len(group.hours) == HOURS
        return group.hours[-4:]

    fail(box, "mail", "no")
    fail(box, "mail", "no")
    assert hours() == [0, 0, 0, 2]
    box.advance(2 * 3600)
    assert hours() == [0, 2, 0, 0]
    fail(box, "mail", "no")
    assert hours() == [0, 2, 0, 1]
    again = Harness(store=box.store.crash(box.store.unsynced), now=box.clock())
    again.server.begin_turn()
    assert again.server.engine.views.groups(SetName.DEAD)[0][0].hours[-4:] == [0, 2, 0, 1]
    box.advance(23 * 3600)
    fail(box, "mail", "no")
    box.server.begin_turn()
    (group,), _ = box.server.engine.views.groups(SetName.DEAD)
    assert (group.hours[0], group.hours[-1], sum(group.hours)) == (1, 1, 2)
    box.advance(60 * 3600)
    assert hours() == [0, 0, 0, 0]
    fail(box, "mail", "no")
    assert hours() == [0, 0, 0, 1]
