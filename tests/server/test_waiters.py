"""Waiters: first come, first served in every queue's line; nobody is forgotten, nobody waits too long."""

from dataclasses import dataclass

from lineshaft.server.waiters import PARK_MS, Waiters


@dataclass(eq=False)
class Session:
    parked: list[str] | None = None
    parked_until: int = 0


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
