"""The writer: what is released stands in the log, in order, once; whatever the network does to its appends."""

from collections.abc import Callable
from functools import partial
from itertools import count, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.cluster.fold import Fold, Verdict
from lineshaft.cluster.memory_log import MemoryLink, MemoryLog, Request
from lineshaft.cluster.port import Outcome
from lineshaft.cluster.record import Record, decode_record, decode_transactions, encode_transaction
from lineshaft.cluster.writer import FOLLOW_MS, PATIENCE, Turn, Writer


def at_once(callback: Callable[[], None]) -> None:
    """Nothing else is there."""
    callback()


class Leader:
    """A node that leads, as far as its writer goes."""

    def __init__(self, log: MemoryLog, epoch: int, limit_bytes: int = 4096) -> None:
        self.epoch = epoch
        self.link = MemoryLink(log, limit_bytes)
        self.fold = fold_of(log)[0]
        self.released: list[int] = []
        self.lost: list[str] = []
        self.committed = 0
        record = Record(epoch, 0, 0, b"")
        #: Whether its epoch began.
        self.leads = log.append(record.encode(), self.fold.sequence, f"{epoch}") == self.fold.sequence + 1
        if self.leads:
            self.fold.take(self.fold.sequence + 1, record)
        # So much time passes between two looks at the clock that nothing waits for what is in flight.
        clock = count(0, FOLLOW_MS).__next__
        self.writer = Writer(self.link, self.fold, self._standing, self.lost.append, soon=at_once, clock=clock)

    def _standing(self, fold: Fold, turns: list[Turn]) -> None:
        assert fold is self.fold
        self.released += [turn.number for turn in turns]

    def commit(self, size: int = 1) -> None:
        self.committed += 1
        name = b"%d.%d" % (self.epoch, self.committed)
        changes: dict[bytes, bytes | None] = {name: b"x" * size}
        self.writer.commit(Turn(self.committed, changes, [], encode_transaction(changes)))


def fold_of(log: MemoryLog) -> tuple[Fold, list[str]]:
    """What any node reads in the log: epoch and number of each turn that counts."""
    fold, turns = Fold(), []
    for sequence, data in enumerate(log.entries, 1):
        if fold.take(sequence, decode_record(data)) is Verdict.WHOLE:
            turns += [next(iter(changes)).decode() for changes, _ in decode_transactions(fold.take_body())]
    return fold, turns


def check(log: MemoryLog, leaders: list[Leader]) -> None:
    """What is released counts for every reader, in order and once."""
    _, turns = fold_of(log)
    for leader in leaders:
        assert leader.released == list(range(1, len(leader.released) + 1))
        own = [turn for turn in turns if turn.startswith(f"{leader.epoch}.")] if leader.leads else []
        assert own == [f"{leader.epoch}.{number}" for number in range(1, len(own) + 1)]
        assert len(leader.released) <= len(own)


def test_answers_release_turns_in_order() -> None:
    log = MemoryLog()
    leader = Leader(log, 1)
    for _ in range(3):
        leader.commit()
    first, second, third = leader.link.requests
    for request in (first, second, third):
        request.arrive()
    third.answer()
    second.answer()
    assert leader.released == []
    first.answer()
    assert leader.released == [1, 2, 3]
    assert leader.writer.is_idle


def test_a_newer_version_in_the_tail_is_another_leaders() -> None:
    log = MemoryLog()
    leader = Leader(log, 1)
    leader.commit()
    newer = bytearray(Record(2, 0, 0, b"").encode())
    newer[3] += 1
    log.append(bytes(newer), log.last, "2")
    leader.link.settle()
    assert leader.lost == ["another node leads"]
    assert leader.released == []


def test_turns_that_wait_share_a_record() -> None:
    log = MemoryLog()
    leader = Leader(log, 1)
    for _ in range(100):
        leader.commit()
    assert len(leader.link.requests) == 8
    leader.link.settle()
    assert leader.released == list(range(1, 101))
    assert log.last == 1 + 8 + 1


def test_turns_wait_for_the_append_before_them_and_for_others_that_come_with_them() -> None:
    log, time, callbacks = MemoryLog(), 0, list[Callable[[], None]]()
    leader = Leader(log, 1)
    leader.writer = Writer(
        leader.link, leader.fold, leader._standing, pytest.fail, soon=callbacks.append, clock=lambda: time
    )

    def pass_by(turns: int = 2 * PATIENCE) -> None:
        for _ in range(turns):
            now, callbacks[:] = list(callbacks), []
            for callback in now:
                callback()

    for _ in range(3):
        leader.commit()
        pass_by(PATIENCE - 1)
        assert not leader.link.requests
    pass_by()
    assert (len(leader.link.requests), callbacks) == (1, [])
    # One is in flight: the next ones wait for it, as long as it does not take long.
    leader.commit()
    leader.commit()
    assert callbacks == []
    time += FOLLOW_MS
    leader.commit()
    pass_by()
    assert len(leader.link.requests) == 2
    leader.commit()
    leader.link.settle()
    assert leader.released == [1, 2, 3, 4, 5, 6]
    pass_by()
    leader.link.settle()
    assert leader.released == [1, 2, 3, 4, 5, 6, 7]
    assert log.last == 1 + 3
    assert leader.writer.is_idle


def test_a_stream_of_turns_is_not_waited_for_without_end() -> None:
    log, time, callbacks = MemoryLog(), 0, list[Callable[[], None]]()
    leader = Leader(log, 1)
    leader.writer = Writer(
        leader.link, leader.fold, leader._standing, pytest.fail, soon=callbacks.append, clock=lambda: time
    )
    for _ in range(FOLLOW_MS):
        assert not leader.link.requests
        for _ in range(PATIENCE):
            leader.commit()
            now, callbacks[:] = list(callbacks), []
            for callback in now:
                callback()
        time += 1
    for _ in range(PATIENCE):
        leader.commit()
        now, callbacks[:] = list(callbacks), []
        for callback in now:
            callback()
    assert len(leader.link.requests) == 1


def test_a_turn_that_is_too_large_goes_in_parts() -> None:
    log = MemoryLog()
    leader = Leader(log, 1)
    leader.commit(50_000)
    leader.commit()
    leader.link.settle()
    assert leader.released == [1, 2]
    assert fold_of(log)[1] == ["1.1", "1.2"]
    assert all(len(data) <= 4096 for data in log.entries)
    assert leader.writer.pending_bytes == 0


def test_the_old_leaders_pipelined_records_do_not_count_and_are_not_released() -> None:
    # The measured overlap: the new leader's epoch takes sequence 3, where the old one expected 2. Its "expect 2" is
    # refused; "expect 3" and "expect 4" are accepted, and count for nobody.
    log = MemoryLog()
    old = Leader(log, 1)
    for _ in range(4):
        old.commit()
    requests = list(old.link.requests)
    requests[0].arrive()
    new = Leader(log, 2)
    assert new.leads
    for request in requests[1:]:
        request.arrive()
    assert log.last == 5
    for request in requests:
        request.answer()
    new.commit()
    new.link.settle()
    old.link.requests = old.link.requests[4:]
    old.link.settle()
    assert old.released == [1]
    assert old.lost == ["another node leads"]
    assert new.released == [1]
    assert fold_of(log)[1] == ["1.1", "2.1"]


def test_a_refused_record_is_sent_again_with_those_behind_it() -> None:
    # The first never arrives; the second meets an end that somebody else's entry has made right.
    log = MemoryLog()
    leader = Leader(log, 1)
    leader.commit()
    leader.commit()
    first, second = leader.link.requests
    log.append(b"somebody else's message", 1, "other")
    first.arrive()
    second.arrive()
    assert log.last == 3
    first.answer()
    second.answer()
    leader.link.requests = leader.link.requests[2:]
    assert leader.released == []
    leader.link.settle()
    assert leader.released == [1, 2]
    assert fold_of(log)[1] == ["1.1", "1.2"]


def test_a_lost_answer_is_found_in_the_tail() -> None:
    log = MemoryLog()
    leader = Leader(log, 1)
    leader.commit()
    leader.commit()
    first, second = leader.link.requests
    first.arrive()
    first.time_out()
    second.time_out()
    leader.link.requests = leader.link.requests[2:]
    leader.link.settle()
    # The second, given up, arrives late: it expects what is long past.
    second.arrive()
    assert leader.released == [1, 2]
    assert fold_of(log)[1] == ["1.1", "1.2"]
    assert log.last == 3


def test_a_tail_that_cannot_be_read_is_asked_for_again() -> None:
    log = MemoryLog()
    leader = Leader(log, 1)
    leader.commit()
    leader.link.requests.pop().time_out()
    leader.link.requests.pop().time_out()
    assert leader.link.requests == []
    leader.writer.tick()
    leader.link.settle()
    assert leader.released == [1]


def test_after_stop_nothing_is_sent_or_released() -> None:
    log = MemoryLog()
    leader = Leader(log, 1)
    leader.commit()
    leader.writer.stop()
    leader.commit()
    leader.link.settle()
    assert leader.released == []
    assert log.last == 2


def test_every_order_of_three_appends_each_arriving_answered_or_lost() -> None:
    for order in permutations(range(3)):
        for fates in range(3**3):
            log = MemoryLog()
            leader = Leader(log, 1)
            for _ in range(3):
                leader.commit()
            requests = list(leader.link.requests)
            leader.link.requests.clear()
            for place in order:
                fate = fates // 3**place % 3
                if fate:
                    requests[place].arrive()
                requests[place].answer() if fate == 2 else requests[place].time_out()
                check(log, [leader])
            leader.link.settle()
            for request in requests:
                request.arrive()
            check(log, [leader])
            assert leader.released == [1, 2, 3]


class TwoLeaders:
    """Two nodes that both may think they lead, and a network that does as it likes."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.leaders = [Leader(self.log, 1)]
        #: Given up by their nodes, and still on their way.
        self.late: list[Request] = []

    def step(self, what: int, which: int) -> None:
        leader = self.leaders[which % len(self.leaders)]
        requests = leader.link.requests
        one = requests[which // 7 % len(requests)] if requests else None
        if what == 0:
            leader.commit(1 + which % 3 * 3000)
        elif what == 1 and len(self.leaders) < 4:
            self.leaders.append(Leader(self.log, fold_of(self.log)[0].epoch + 1))
        elif what == 2 and one is not None:
            one.arrive()
        elif what == 3 and one is not None and one.has_arrived:
            requests.remove(one)
            one.answer()
        elif what == 4 and one is not None:
            requests.remove(one)
            self.late.append(one)
            one.time_out()
        elif what == 5 and self.late:
            self.late.pop(which % len(self.late)).arrive()
        elif what == 6:
            leader.writer.tick()
        elif what == 7:
            self.log.forget_identities()
        elif what == 8 and requests:
            requests[0].arrive()
            requests.pop(0).answer()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 200)), max_size=80))
def test_whatever_happens_what_is_released_stands_in_the_log(steps: list[tuple[int, int]]) -> None:
    play = TwoLeaders()
    for what, which in steps:
        play.step(what, which)
        check(play.log, play.leaders)
    # In the end the network is whole again: the newest leader has everything that it committed in the log.
    for _ in range(20):
        for leader in play.leaders:
            leader.writer.tick()
            leader.link.settle()
    for request in play.late:
        request.arrive()
    check(play.log, play.leaders)
    newest = play.leaders[-1]
    assert newest.released == list(range(1, newest.committed + 1))
    for leader in play.leaders[:-1]:
        assert leader.writer.is_idle or leader.lost


def test_an_answer_comes_once() -> None:
    outcomes: list[Outcome] = []
    link = MemoryLink(MemoryLog())
    link.append(b"x", expected=0, identity="x", done=partial(outcomes.append))
    (request,) = link.requests
    request.arrive()
    request.answer()
    request.time_out()
    assert outcomes == [1]
