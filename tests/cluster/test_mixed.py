"""The account of the mixed load notices what it is there for."""

import pytest

from cluster.mixed import MixedLoad


def load(*accepted: str) -> MixedLoad:
    made = MixedLoad(None)
    for jid in accepted:
        made.sent[jid] = 1
        made.accepted.add(jid)
    return made


def finish(made: MixedLoad, *jids: str) -> None:
    for jid in jids:
        made.took("w", {"jid": jid})
        made.says_done(jid)
        made.acked[jid] += 1
        made.held.pop(jid, None)


def test_what_is_right_passes() -> None:
    made = load("plain-1", "limited-1", "member-1", "complete-1", "success-1")
    made.members["1"] = ["member-1"]
    finish(made, "plain-1", "limited-1", "member-1", "complete-1", "success-1")
    made.check()


def test_a_lost_job() -> None:
    with pytest.raises(AssertionError, match="1 acknowledged pushes lost"):
        load("plain-1").check()


def test_a_job_that_is_never_done() -> None:
    made = load("plain-1")
    made.took("w", {"jid": "plain-1"})
    with pytest.raises(AssertionError, match="1 jobs were never done"):
        made.check()


def test_a_job_that_comes_again_after_its_ack() -> None:
    made = load("plain-1")
    finish(made, "plain-1")
    made.took("w", {"jid": "plain-1"})
    with pytest.raises(AssertionError, match="handed out again after their ACK"):
        made.check()


def test_two_holders() -> None:
    made = load("plain-1")
    made.took("v", {"jid": "plain-1"})
    finish(made, "plain-1")
    with pytest.raises(AssertionError, match="held by two at once"):
        made.check()


def test_too_many_at_once() -> None:
    made = load("limited-1", "limited-2", "limited-3")
    for jid in sorted(made.accepted):
        made.took("w", {"jid": jid})
    assert made.faults == ["3 limited jobs run at once"]


def test_a_scheduled_job_before_its_time() -> None:
    made = load("scheduled-1")
    made.due["scheduled-1"] = 1e12
    made.took("w", {"jid": "scheduled-1"})
    assert made.faults == ["scheduled-1 came before its time"]


@pytest.mark.parametrize(
    ("ended", "callback", "fault"),
    [
        ([], "complete-1", "complete-1 came before member-1 had ended"),
        (["complete-1"], "success-1", "success-1 came before member-1 had ended"),
        (["member-1"], "success-1", "success-1 came before complete-1 had ended"),
    ],
)
def test_a_callback_that_comes_too_early(ended: list[str], callback: str, fault: str) -> None:
    made = load("member-1", "complete-1", "success-1")
    made.members["1"] = ["member-1"]
    made.ack_sent.update(ended)
    made.took("w", {"jid": callback})
    assert made.faults == [fault]


def test_a_lock_that_two_have_and_one_that_nobody_gives_back() -> None:
    made = load("unique-1")
    made.got_lock("unique-2", ["unique-1"])
    made.sent["unique-3"] = 1
    made.refused("unique-3", [], is_free=True, is_first=True)
    assert made.faults == ["unique-2 got a lock that unique-1 has", "unique-3 did not get a lock that nobody has"]


@pytest.mark.parametrize(
    ("counted", "failures", "is_right"), [(2, 0, True), (1, 0, False), (3, 0, False), (3, 1, False), (5, 3, False)]
)
def test_what_the_server_counts(
    monkeypatch: pytest.MonkeyPatch, counted: int, failures: int, *, is_right: bool
) -> None:
    made = load("plain-1", "plain-2")
    finish(made, "plain-1", "plain-2")
    made.before = {"total_processed": 0, "total_failures": 0}
    monkeypatch.setattr(made, "info", lambda: {"total_processed": counted, "total_failures": failures})
    if is_right:
        made.check_counts()
    else:
        with pytest.raises(AssertionError, match="counted"):
            made.check_counts()
