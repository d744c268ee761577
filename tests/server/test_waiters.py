"""Waiters: first come, first served in every queue's line; nobody is forgotten, nobody waits too long."""

from dataclasses import dataclass

from lineshaft.server.waiters import PARK_MS, Waiters


@dataclass(eq=False)
class Session:
    parked: list[str] | None = None
    parked_until: int = 0
    place: int = 0
    holder: str = "w"


def test_the_first_in_a_line_is_the_one_who_has_waited_longest() -> None:
    waiters, first, second = Waiters(), Session(), Session()
    waiters.park(first, ["a", "b"], 0)
    waiters.park(second, ["b"], 1)
    assert (waiters.first("a"), waiters.first("b"), waiters.first("c")) == (first, first, None)
    waiters.remove(first)
    assert (waiters.first("a"), waiters.first("b")) == (None, second)
    assert first.parked is None
    assert set(waiters.by_queue) == {"b"}, "no empty line stays"


def test_removing_twice_or_before_is_nothing() -> None:
    waiters, session = Waiters(), Session()
    waiters.remove(session)
    waiters.park(session, ["a", "a"], 0)
    waiters.remove(session)
    waiters.remove(session)
    assert not waiters.by_queue


def test_each_is_given_two_seconds() -> None:
    waiters, sessions = Waiters(), [Session() for _ in range(3)]
    for number, session in enumerate(sessions):
        waiters.park(session, ["a"], number * 10)
    assert waiters.deadline() == PARK_MS == 2000
    assert waiters.take_expired(PARK_MS - 1) == []
    assert waiters.take_expired(PARK_MS + 10) == sessions[:2]
    assert waiters.first("a") is sessions[2]
    assert waiters.deadline() == PARK_MS + 20
    waiters.remove(sessions[2])
    assert waiters.deadline() > 1 << 60


def test_one_that_left_and_came_back_is_not_answered_early() -> None:
    waiters, session = Waiters(), Session()
    waiters.park(session, ["a"], 0)
    waiters.remove(session)
    waiters.park(session, [], 500)
    assert waiters.all() == [session]
    assert waiters.take_expired(PARK_MS) == []
    assert waiters.all() == [session]
    assert waiters.take_expired(PARK_MS + 500) == [session]
    assert waiters.all() == []


def waiting(waiters: Waiters, *holders: str) -> list[Session]:
    sessions = [Session(holder=holder) for holder in holders]
    for session in sessions:
        waiters.park(session, ["a", "b"], 0)
    return sessions


def test_who_steps_aside_is_out_of_one_line_until_its_worker_may_have_more() -> None:
    waiters = Waiters()
    first, second, third = waiting(waiters, "w1", "w1", "w2")
    waiters.step_aside("a", first)
    waiters.step_aside("a", second)
    assert (waiters.first("a"), waiters.first("b")) == (third, first)
    waiters.step_forward("a", "w2")
    waiters.step_forward("b", "w1")
    assert waiters.first("a") is third
    waiters.step_forward("a", "w1")
    assert waiters.first("a") is first, "it has waited longest"
    waiters.remove(first)
    assert waiters.first("a") is second, "the next of its worker takes its place"
    waiters.remove(second)
    assert (waiters.first("a"), waiters.aside) == (third, {})


def test_a_line_of_its_own_outlives_the_other_and_ends_with_its_last() -> None:
    waiters = Waiters()
    (only,) = waiting(waiters, "w1")
    waiters.step_aside("a", only)
    assert waiters.names() == {"a", "b"}
    assert waiters.first("a") is None
    waiters.remove(only)
    assert (waiters.names(), waiters.aside, waiters.by_queue) == (set(), {}, {})


def test_one_who_leaves_from_aside_lets_another_forward_and_time_ends_it_as_ever() -> None:
    waiters = Waiters()
    first, second, third = waiting(waiters, "w1", "w1", "w1")
    for session in (first, second, third):
        waiters.step_aside("a", session)
    waiters.remove(second)
    assert waiters.first("a") is first
    assert waiters.take_expired(PARK_MS) == [first, third]
    assert (waiters.names(), waiters.aside) == (set(), {})


def test_everyone_may_come_back_at_once() -> None:
    waiters = Waiters()
    sessions = waiting(waiters, "w1", "w1", "w2")
    for session in sessions:
        waiters.step_aside("a", session)
    waiters.step_forward("a", None)
    assert waiters.aside == {}
    assert set(waiters.by_queue["a"]) == set(sessions)
