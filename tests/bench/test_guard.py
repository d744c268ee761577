"""The guard's verdict from counts and times made up here; and that what it counts is carried out, without valgrind."""

import json
import subprocess
import sys
from pathlib import Path

import guard
import pytest
from guard_loop import ROWS

NAMES = [name for row in ROWS for name in row.names]
THEIRS = {name: 1000 for row in ROWS for name in row.names if not row.plain}
HERE = guard._versions()
PYTHON = guard._minor(HERE["python"])


def ours(**changed: int) -> dict[str, int]:
    return dict.fromkeys(NAMES, 2000) | changed


def verdict(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    counted: dict[str, int],
    record: object,
    *,
    has_valgrind: bool = True,
) -> int:
    monkeypatch.setattr(guard, "_count_both", lambda: (counted, THEIRS))
    monkeypatch.setattr(guard, "_time_both", lambda best: best.update(lineshaft=counted, reference=THEIRS))
    monkeypatch.setattr(guard.shutil, "which", lambda name: f"/usr/bin/{name}" if has_valgrind else None)
    monkeypatch.setattr(guard, "RECORD", tmp_path / "guard.json")
    guard.RECORD.write_text(json.dumps(record))
    return guard.main([])


def recorded(**versions: str) -> dict[str, object]:
    return {PYTHON: {"versions": HERE | versions, "ratios": dict.fromkeys(NAMES, 2.0)}}


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_costs_more_than_a_tenth_more_fails_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert verdict(monkeypatch, tmp_path, ours(**{name: 2200}), recorded()) == 0
    assert verdict(monkeypatch, tmp_path, ours(**{name: 2201}), recorded()) == 1
    assert capsys.readouterr().err.endswith(f"costs more than a tenth over what is recorded: {name}\n")


def test_what_became_cheaper_is_to_be_recorded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(monkeypatch, tmp_path, ours(push=1800), recorded()) == 0
    assert "-10.0%  ok, and cheaper: record it" in capsys.readouterr().out


def test_other_libraries_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(monkeypatch, tmp_path, ours(), recorded(msgspec="0.1")) == 0
    assert f"msgspec 0.1 then, {HERE['msgspec']} now" in capsys.readouterr().err


@pytest.mark.parametrize("python", [PYTHON, "3.0"])
def test_where_instructions_cannot_be_judged_times_are_with_a_wide_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], python: str
) -> None:
    """Without valgrind, and where there is no record for this Python, but for another one."""
    record, has_valgrind = {python: recorded()[PYTHON]}, python != PYTHON
    assert verdict(monkeypatch, tmp_path, ours(push=3000), record, has_valgrind=has_valgrind) == 0
    said = capsys.readouterr()
    assert ("only Python 3.0 is recorded" if has_valgrind else "apt install valgrind") in said.err
    assert "microseconds of the processor per job" in said.out
    assert verdict(monkeypatch, tmp_path, ours(push=3001), record, has_valgrind=has_valgrind) == 1
    assert capsys.readouterr().err.endswith("costs more than a half over what is recorded: push\n")


def test_of_several_records_the_newest_python_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = {python: recorded()[PYTHON] for python in ("3.9", "3.10", "2.7")}
    assert verdict(monkeypatch, tmp_path, ours(), records) == 0
    assert "only Python 3.10 is recorded" in capsys.readouterr().err


def test_without_any_record_nothing_is_judged_and_that_is_no_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(monkeypatch, tmp_path, ours(), {}) == 2
    assert "nothing is recorded" in capsys.readouterr().err


def test_to_record_needs_valgrind(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert guard.main(["--record"]) == 2
    assert "apt install valgrind" in capsys.readouterr().err


def test_the_best_of_some_runs_is_the_time_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "RUNS", 1)
    best: guard.Costs = {"lineshaft": {"push": 0.1, "ack": 1e9}, "reference": {}}
    guard._time_both(best)
    mine, theirs = best.values()
    assert (set(mine), set(theirs)) == (set(NAMES), set(THEIRS))
    assert mine["push"] == 0.1 < mine["ack"] < 1e9
    assert 1 < mine["unique"] / theirs["cycle, 16 in flight"] < 20


def test_a_time_that_is_too_long_is_taken_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tries: list[int] = []

    def time_both(best: guard.Costs) -> None:
        tries.append(1)
        best.update(lineshaft=dict(ours(push=9000 if len(tries) < 3 else 2000)), reference=dict(THEIRS))

    monkeypatch.setattr(guard, "_time_both", time_both)
    monkeypatch.setattr(guard, "RECORD", tmp_path / "guard.json")
    guard.RECORD.write_text(json.dumps({"3.0": recorded()[PYTHON]}))
    assert (guard.main([]), len(tries)) == (0, 3)
    assert "MORE" not in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["lineshaft", "reference"])
def test_the_loop_carries_out_every_row(tmp_path: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, str(guard.HERE / "guard_loop.py"), kind, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(json.loads(done.stdout)) == (NAMES if kind == "lineshaft" else list(THEIRS))
