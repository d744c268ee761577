"""The account of rounds of faults: a load that stands still is noticed, and rests until what was given out is back."""

import threading
import time
from pathlib import Path

import pytest

from cluster.load import RESTED, TIRED, Load
from cluster.rounds import ENOUGH, Rounds


@pytest.fixture
def rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Rounds:
    monkeypatch.setenv("LINESHAFT_CLUSTER_SUMMARY", str(tmp_path / "rounds.md"))
    return Rounds("the command", 3, Load(None), capfd)


def work(load: Load, pushed: int, done: int) -> None:
    jids = [f"job-{len(load.accepted) + number}" for number in range(pushed)]
    load.accepted.update(jids)
    load.acked.update(jids[:done])


def test_rounds_in_which_the_load_works(rounds: Rounds) -> None:
    for _ in range(3):
        assert not rounds.is_at_work()
        work(rounds.load, 20, 10)
        assert rounds.is_at_work()
        rounds.tell("kill leader", 2.5)
    rounds.check()
    row = rounds.write()
    assert "3 rounds in" in row
    assert "20 pushes and 10 jobs done in a round at least, 20 and 10 (median); 0 rests of 0 s in all" in row
    log = rounds.path.with_suffix(".log").read_text()
    assert "kill leader, 2.5 s; 20 pushed and 10 done, of 60 and 30\n" in log


@pytest.mark.parametrize(("pushed", "done"), [(0, 0), (20, 0), (20, ENOUGH - 1)])
def test_a_round_in_which_the_load_stands_still(rounds: Rounds, pushed: int, done: int) -> None:
    work(rounds.load, 20, 10)
    rounds.tell("kill leader", 2.5)
    work(rounds.load, pushed, done)
    rounds.tell("kill standby")
    with pytest.raises(AssertionError, match=r"in 1 of 2 rounds: \[2\]"):
        rounds.check()


def test_what_is_done_in_a_rest_is_not_the_next_rounds_work(rounds: Rounds) -> None:
    load = rounds.load
    work(load, TIRED + 20, 10)

    def come_back() -> None:
        while not load.resting.is_set():
            time.sleep(0.001)
        load.acked.update(load.accepted)

    returning = threading.Thread(target=come_back)
    returning.start()
    rounds.tell("kill leader", 2.5)
    returning.join()
    assert load.undone <= RESTED
    assert len(rounds.rests) == 1
    rounds.tell("kill standby")
    assert rounds.work == [(TIRED + 20, 10), (0, 0)]


def test_a_rest_to_which_nothing_comes_back() -> None:
    load = Load(None)
    work(load, TIRED + 1, 0)
    with pytest.raises(AssertionError, match="251 jobs are not done after"):
        load.breathe(within=0.2)
