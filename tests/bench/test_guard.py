"""The guard's verdict from counts made up here; and that what it counts is carried out at all, without valgrind."""

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


def verdict(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, counted: dict[str, int], record: object) -> int:
    monkeypatch.setattr(guard, "_count_both", lambda: (counted, THEIRS))
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


def test_a_python_without_a_record_is_not_judged_and_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verdict(monkeypatch, tmp_path, ours(push=9000), {"3.0": recorded()[PYTHON]}) == 0
    assert f"NOT JUDGED: nothing is recorded for Python {PYTHON}, only for 3.0" in capsys.readouterr().err


def test_without_valgrind_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert guard.main([]) == 2
    assert "apt install valgrind" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["lineshaft", "reference"])
def test_the_loop_carries_out_every_row(tmp_path: Path, kind: str) -> None:
    done = subprocess.run(
        [sys.executable, str(guard.HERE / "guard_loop.py"), kind, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == (NAMES if kind == "lineshaft" else list(THEIRS))
