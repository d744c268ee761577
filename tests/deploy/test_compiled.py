"""`make compiled` (slow): the tests of engine, protocol and server find no difference in compiled modules."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from docs.pages import ROOT

#: What is played against the compiled modules.
SUITES = ("tests/engine", "tests/protocol", "tests/server", "tests/wire")

#: Tests that put another constant or method in the place of a compiled one: they are for the pure package.
PURE_ONLY = (
    "tests/engine/test_check.py",
    "tests/engine/test_regressions.py::test_a_restart_looks_through_few_jobs_however_many_were_promoted",
    "tests/server/test_throttles.py::test_waiting_for_a_token_costs_one_look",
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as the wheel has it."""
    folder = tmp_path_factory.mktemp("compiled")
    subprocess.run(["make", "compiled", f"ARGS=-d {folder}"], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    assert not wheel.name.endswith("-none-any.whl"), "it is for one kind of machine"
    with zipfile.ZipFile(wheel) as files:
        files.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_compiled_modules_pass_the_tests_of_the_interpreted_ones(unpacked: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    asked = "import lineshaft.engine.push as one, lineshaft.server.session as two; print(one.__file__, two.__file__)"
    said = subprocess.run([sys.executable, "-c", asked], env=environment, check=True, capture_output=True, text=True)
    assert all(str(unpacked) in name and name.endswith((".so", ".pyd")) for name in said.stdout.split())
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider", *SUITES]
    command += [f"--deselect={test}" for test in PURE_ONLY]
    played = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True)
    assert played.returncode == 0, played.stdout[-5000:]
