"""Claims: who tries to lead, when, and what comes of it."""

from cluster.box import Box, ask
from cluster.test_node import OK, connect, push
from lineshaft.cluster.presence import Presence, Presences, Role, encode_presence


def test_a_standby_does_not_claim_what_another_has_just_claimed() -> None:
    box = Box()
    old = box.leader()
    box.advance(5)
    box.kill(old.name)
    first, second = box.others()
    while first.node.role is not Role.CLAIMING:
        box.clock.now += 100
        first.node.tick()
        second.node.tick()
        for node in (first, second):
            node.carry_board()
            if node.node.role is not Role.CLAIMING:
                node.carry()
    # Both want to know where the log ends; the other one's answer comes when the epoch of this one has begun.
    assert second.node.role is Role.CLAIMING
    while first.carry():
        first.settle()
    for reader in second.link.readers:
        reader.deliver()
    box.settle()
    box.advance(2)
    assert len(box.leaders()) == 1
    assert sum(node.node.takeovers for node in (first, second)) == 1


def test_a_standby_takes_over_although_it_is_told_of_no_entries() -> None:
    # Who tells it of them died with the leader, and the log's servers make no other for a while.
    box = Box()
    old = box.leader()
    peer = connect(old)
    box.advance(1)
    for standby in box.others():
        for reader in standby.link.readers:
            reader.stop()
    assert ask(box, peer, push("job-00001")) == OK
    box.kill(old.name)
    began = box.clock()
    new = box.leader()
    assert box.clock() - began <= 5000
    assert b"job-00001" in ask(box, connect(new), "FETCH default")


def test_a_claim_that_came_to_stand_after_it_was_given_up_is_followed_by_another_at_once() -> None:
    box = Box("ab")
    old = box.leader()
    box.advance(5)
    box.kill(old.name)
    (standby,) = box.others()
    last = box.log.last
    while not (claims := [one for one in standby.link.requests if standby.node.role is Role.CLAIMING]):
        box.clock.now += 100
        standby.node.tick()
        standby.carry_board()
        if standby.node.role is not Role.CLAIMING:
            standby.carry()
    # The tail is read; the record of the epoch arrives, and no answer comes back.
    claims[0].arrive()
    claims[0].answer()
    (claim,) = [one for one in standby.link.requests if not one.has_arrived]
    standby.link.requests.clear()
    claim.time_out()
    claim.arrive()
    assert box.log.last == last + 1
    began = box.clock()
    assert box.leader() is standby
    assert box.clock() - began <= 1500


def test_a_standby_that_was_asleep_does_not_take_over_from_a_leader_that_is_well() -> None:
    box = Box()
    leader = box.leader()
    box.advance(2)
    standby = box.others()[0]
    box.clock.now += 500
    standby.node.tick()
    standby.carry()
    # It asks for the board once more, and the answer, which is no news, comes after its sleep.
    box.clock.now += 500
    standby.node.tick()
    questions = [*standby.board.requests, *standby.link.requests]
    standby.board.requests.clear()
    standby.link.requests.clear()
    for question in questions:
        question.arrive()
    standby.is_paused = True
    box.advance(10)
    for question in questions:
        question.answer()
    standby.is_paused = False
    box.advance(5)
    assert box.leaders() == [leader]
    assert standby.node.takeovers == 0


def test_an_heir_of_an_epoch_that_is_over_claims_nothing() -> None:
    presences = Presences()
    notice = Presence("a", "a-1", Role.STANDBY, 1, 7, 100, "a:7419", "", heir="b")
    presences.read({"node.a": encode_presence(notice)}, 1000)
    assert presences.heir(7) == "b"
    assert presences.heir(8) == ""
    presences.read({"node.c": encode_presence(Presence("c", "c-1", Role.LEADER, 1, 8, 101, "c:7419", ""))}, 1001)
    assert presences.heir(7) == ""
    assert presences.heir(8) == ""
