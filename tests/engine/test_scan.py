"""Looking for jobs outside of the loop finds what the loop finds, and a MUTATE that is fed does what it does there."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Harness
from invariants import check_store
from lineshaft.engine.search.filter import Filter, contains
from lineshaft.engine.search.scan import Seen, Sought, scan
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import Views
from lineshaft.errors import Refusal


def stepping() -> bool:
    """One slice at a time."""
    return False


def box_of(count: int, *, text: str = "needle") -> Harness:
    """Jobs in the retries and in a queue; one in three has the text, one in five another type."""
    box, chance = Harness(), random.Random(4)
    producer = box.connect()
    for number in range(count):
        job = {
            "jid": f"job-{number:05}",
            "jobtype": "other" if number % 5 == 0 else "mail",
            "args": [text.swapcase() if number % 3 == 0 else "straw", number],
            "priority": chance.choice([1, 5, 9]),
        }
        at = {"at": f"2030-01-01T00:{number // 60 % 60:02}:{number % 60:02}Z"} if number % 2 else {"queue": "q"}
        assert producer.ask("PUSH " + json.dumps({**job, **at})) == b"+OK\r\n"
    return box


def views(box: Harness) -> Views:
    box.server.begin_turn()
    return box.server.engine.views


def jids(box: Harness, sought_at, filter: Filter) -> list[str]:
    """Go through a place as the search process does, look by look, and confirm what it finds."""
    found, cursor = [], ""
    while True:
        seen = scan(box.store, sought_at(cursor), stepping)
        found += [view.jid for view in views(box).confirm(seen.hits, filter)]
        cursor = seen.cursor.hex()
        if not cursor:
            return found


def in_loop(take) -> list[str]:
    found, cursor = [], ""
    while True:
        part = take(cursor)
        found += [view.jid for view in part.jobs]
        cursor = part.cursor
        if not cursor:
            return found


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize(
    "filter", [Filter(text="Needle"), Filter(jobtype="other"), Filter(text="needle", jobtype="other")]
)
def test_a_set_is_found_as_in_the_loop(filter: Filter, limit: int, newest: bool) -> None:
    box = box_of(120)

    def sought(cursor: str) -> Sought:
        return views(box).sought_in_set(SetName.SCHEDULED, cursor=cursor, limit=limit, filter=filter, newest=newest)

    expected = in_loop(lambda at: views(box).timed(SetName.SCHEDULED, cursor=at, limit=9, filter=filter, newest=newest))
    assert expected
    assert jids(box, sought, filter) == expected


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_queue_is_found_as_in_the_loop(limit: int) -> None:
    box, filter = box_of(120), Filter(text="needle")
    worker = box.worker("w1")
    for _ in range(10):
        worker.ask("FETCH q")

    def sought(cursor: str) -> Sought:
        return views(box).sought_in_queue("q", cursor=cursor, limit=limit, filter=filter)

    expected = in_loop(lambda at: views(box).enqueued("q", cursor=at, limit=9, filter=filter))
    assert len(expected) > 5
    assert jids(box, sought, filter) == expected


def test_more_than_one_slice_is_gone_through() -> None:
    box, filter = box_of(700), Filter(text="needle")
    first = scan(box.store, views(box).sought_in_queue("q", cursor="", limit=0, filter=filter), stepping)
    assert (first.hits, 0 < first.looked_at < 350, bool(first.cursor)) == ([], True, True), "one slice, counted only"
    whole = scan(box.store, views(box).sought_in_queue("q", cursor="", limit=0, filter=filter), lambda: True)
    assert (whole.count, whole.looked_at, whole.cursor) == (117, 350, b"")


def test_what_has_gone_or_changed_is_not_shown() -> None:
    box, filter = box_of(20), Filter(text="needle")
    sought = views(box).sought_in_queue("q", cursor="", limit=100, filter=filter)
    seen = scan(box.store, sought, lambda: True)
    assert len(seen.hits) == 4
    worker = box.worker("w1")
    for _ in range(6):
        worker.ask("FETCH q")
    assert 0 < len(views(box).confirm(seen.hits, filter)) < 4, "the others are in a worker's hands"
    assert views(box).confirm(seen.hits, Filter(text="straw")) == []
    box.connect().ask("QUEUE REMOVE q")
    assert views(box).confirm(seen.hits, filter) == [], "the queue is gone, though its rows may still lie there"


def test_a_cursor_of_another_place_is_refused() -> None:
    box = box_of(4)
    with pytest.raises(Refusal, match="invalid cursor"):
        views(box).sought_in_set(SetName.DEAD, cursor="4142", limit=1, filter=Filter(text="x"), newest=False)
    with pytest.raises(Refusal, match="invalid cursor"):
        views(box).sought_in_queue("q", cursor="zz", limit=1, filter=Filter(text="x"))
    assert views(box).sought_in_queue("none", cursor="", limit=1, filter=Filter(text="x")).ranges == []


@settings(max_examples=40)
@given(st.text(max_size=12), st.text(max_size=4))
def test_a_text_is_found_whatever_its_case(hay: str, needle: str) -> None:
    payload = hay.encode("utf-8", "surrogatepass")
    assert contains(payload, needle) == (needle.casefold() in payload.decode("utf-8", "replace").casefold())


@pytest.mark.parametrize(("hay", "needle"), [("STRASSE", "straße"), ("Kelvin K", "KELVIN k"), ("x", "K")])
def test_odd_cases_of_letters(hay: str, needle: str) -> None:
    assert contains(hay.encode(), needle) == (needle.casefold() in hay.casefold())


# Feeding


def begin(box: Harness, filter: Filter, *, command: str = "discard", target: str = "scheduled") -> int:
    box.server.begin_turn()
    number = box.server.engine.mutate(command, target, chosen=filter)
    assert number is not None
    return number


def end_turn(box: Harness) -> None:
    box.server.need_turn()
    box.settle()


def test_a_fed_mutate_is_done_with_what_is_handed_in_alone() -> None:
    box = box_of(700)
    number = begin(box, Filter(text="needle"))
    engine = box.server.engine
    assert engine.feed() == number
    end_turn(box)
    left = engine.state.scheduled.size
    box.advance(5000)
    assert engine.state.scheduled.size == left, "nothing is done by itself"
    assert engine.feed() is None, "it is fed already"
    while (sought := engine.sought_by(number)) is not None:
        seen = scan(box.store, sought, stepping)
        box.server.begin_turn()
        engine.mutate_found(number, seen.hits, seen.cursor)
        end_turn(box)
    assert engine.state.scheduled.size == 350 - 117
    assert engine.take_finished() == [number]
    assert not engine.state.chores.active
    assert not engine.state.chores.fed
    check_store(box.store)


def test_what_is_handed_in_is_judged_again() -> None:
    box = box_of(700)
    number = begin(box, Filter(text="needle"))
    engine = box.server.engine
    assert engine.feed() == number
    all_jobs = scan(box.store, Sought(engine.sought_by(number).ranges, Filter(), 1000), lambda: True)
    engine.mutate_found(number, [*all_jobs.hits, b"Tsnonsense", b"Q"], b"")
    end_turn(box)
    assert engine.state.scheduled.size == 350 - 117
    check_store(box.store)


def test_a_chore_that_is_let_go_is_done_in_the_loop() -> None:
    box = box_of(700)
    number = begin(box, Filter(text="needle"), command="requeue")
    engine = box.server.engine
    assert engine.feed() == number
    end_turn(box)
    engine.let_go(number)
    end_turn(box)
    for _ in range(20):
        box.advance(1)
    assert engine.state.scheduled.size == 350 - 117
    assert engine.sought_by(number) is None


def test_jobs_that_came_later_are_left_alone() -> None:
    box = box_of(700)
    number = begin(box, Filter(text="needle"))
    engine = box.server.engine
    assert engine.feed() == number
    end_turn(box)
    box.connect().ask('PUSH {"jid":"latecomer","jobtype":"mail","args":["needle"],"at":"2031-01-01T00:00:00Z"}')
    while (sought := engine.sought_by(number)) is not None:
        seen = scan(box.store, sought, stepping)
        engine.mutate_found(number, seen.hits, seen.cursor)
        end_turn(box)
    assert [view.jid for view in views(box).find("latecomer")] == ["latecomer"]
    assert engine.state.scheduled.size == 350 - 117 + 1


@pytest.mark.parametrize("order", ['{"jobtype":"mail"}', '{"regexp":"*needle*"}', "{}"])
def test_what_has_no_filter_of_ours_is_done_in_the_loop(order: str) -> None:
    box = box_of(700)
    box.connect().send(f'MUTATE {{"cmd":"discard","target":"scheduled","filter":{order}}}\r\n'.encode())
    assert box.server.engine.feed() is None


def test_a_flush_ends_what_is_fed() -> None:
    box = box_of(700)
    number = begin(box, Filter(text="needle"))
    engine = box.server.engine
    assert engine.feed() == number
    box.connect().ask("FLUSH")
    assert engine.sought_by(number) is None
    engine.mutate_found(number, [b"Tsx"], b"")
    assert not engine.state.chores.is_due


def test_seen_is_empty_without_ranges() -> None:
    assert scan(Harness().store, Sought([], Filter(), 5), stepping) == Seen([], 0, 0, b"")
