"""The whole harness: every step is real, only the jobs are few."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"

pytestmark = pytest.mark.usefixtures("compiler")


def start(results: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(BENCH / "run.py"), "--no-others", "--sync", "never"]
    command += ["--results", str(results), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_short_run_prints_ratios_and_keeps_every_measure(tmp_path: Path) -> None:
    flags = ("--only", "200 connections", "--rounds", "2", "--scale", "0.01")
    process = start(tmp_path, *flags)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert out.index("Ratio in jobs/s") < out.index("Medians") < out.index("Machine")
    report = json.loads(Path(out.rstrip().rpartition("every measure: ")[2]).read_text())
    assert [list(one["measures"]) for one in report["rounds"]] == [["reference", "lineshaft"]] * 2
    assert all(measure["jobs"] == 1_000 for one in report["rounds"] for measure in one["measures"].values())
    assert [(one["subject"], one["rounds"]) for one in report["verdicts"]] == [("lineshaft", 2)]
    order = [line.split()[-3] for line in err.splitlines() if line.startswith("  round")]
    assert order == ["reference", "lineshaft", "lineshaft", "reference"]
    # The same command goes on where it stopped: there is nothing left to do.
    out, err = start(tmp_path, *flags).communicate(timeout=240)
    assert ("round 1/2" in err, "0.01.json" in out) == (False, True)
    assert "make bench" in report["commands"][0]
    assert str(tmp_path) not in report["commands"][0]


@pytest.mark.parametrize("moment", [0.0, 0.003, 0.01, 0.1, 0.3])
def test_a_terminated_run_leaves_neither_server_nor_data(moment: float, tmp_path: Path) -> None:
    process = start(tmp_path, "--only", "PUSHB of 100", "--scale", "0.001", "--rounds", "500")
    assert process.stderr is not None
    assert "round 1/500" in process.stderr.readline()
    time.sleep(moment)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)
    assert process.returncode == 128 + signal.SIGTERM
    assert [path.suffix for path in tmp_path.iterdir()] in ([], [".json"])
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and _works_in(pid, tmp_path)]


def _works_in(pid: str, directory: Path) -> bool:
    try:
        return str(directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_an_unknown_load_names_the_known_ones(tmp_path: Path) -> None:
    process = start(tmp_path, "--only", "nothing")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 1
    assert "there are: cycle, 1 connection; " in err
