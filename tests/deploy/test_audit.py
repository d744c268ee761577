"""The audit of dependencies: what is made of pip-audit's reports, and above all that silence is no all-clear."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "packaging" / "audit.py"
CLEAN = {"name": "jinja2", "version": "3.1.6", "vulns": []}
HOLE = {"id": "PYSEC-2021-66", "fix_versions": ["2.11.3"], "aliases": [], "description": "slow"}
BAD = {"name": "jinja2", "version": "2.4.1", "vulns": [HOLE]}
SKIPPED = {"name": "rich", "skip_reason": "Dependency not found on PyPI and could not be audited: rich (14.0.0)"}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("found", "code", "told"),
    [
        ([CLEAN, CLEAN], 0, "none of 2 dependencies in f has a known vulnerability"),
        (
            [CLEAN, SKIPPED],
            0,
            "none of 1 dependencies in f has a known vulnerability; nothing was found out about rich",
        ),
        ([SKIPPED, SKIPPED], 0, "could not look: nothing was found out about any of 2 dependencies"),
        ([], 0, "could not look: nothing was found out about any of 0 dependencies"),
        ([CLEAN, BAD], 1, "jinja2 2.4.1: PYSEC-2021-66 (mended in 2.11.3)"),
        ([SKIPPED, BAD], 1, "1 known vulnerabilities in f"),
    ],
)
def test_what_is_made_of_a_report(audit: ModuleType, found: list[dict[str, Any]], code: int, told: str) -> None:
    judged, said = audit.judge(found, "f")
    assert judged == code
    assert told in said


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "told"),
    [
        (
            "",
            "ERROR: requests.exceptions.ConnectionError: no route",
            0,
            "could not look: the service cannot be reached",
        ),
        ("", "Traceback ... KeyError", 2, "failed: Traceback"),
        ('{"dependencies": []}', "", 0, "could not look"),
    ],
)
def test_a_run_that_ended_otherwise(
    audit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stdout: str,
    stderr: str,
    code: int,
    told: str,
) -> None:
    done = audit.subprocess.CompletedProcess([], 1, stdout, stderr)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    monkeypatch.setattr(audit.sys, "argv", ["audit.py"])
    assert audit.main() == code
    assert told in capsys.readouterr().err
