"""Nodes of other versions, as real processes: an older checkout, and ones that write what does not exist yet."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cluster.real import ROOT, NodeProcess

__all__ = ["OLD", "old_source", "run_newer_data", "run_newer_records", "run_old", "run_present"]

#: The first commit with a whole cluster. Once there are releases: the last one before this.
OLD = "23fc964"


def old_source(root: Path) -> Path | None:
    """The sources as of `OLD`, or None where the history is not there."""
    git = shutil.which("git")
    if (
        git is None
        or subprocess.run([git, "-C", ROOT, "cat-file", "-e", OLD], check=False, capture_output=True).returncode
    ):
        return None
    packed = root / "old.tar"
    subprocess.run([git, "-C", ROOT, "archive", "-o", packed, OLD, "src"], check=True)
    subprocess.run(["tar", "-xf", packed, "-C", root], check=True)
    return root / "src"


def run_old(node: NodeProcess, source: Path) -> None:
    """Let a node's process be of that version, from its next start on."""
    before = os.environ.get("PYTHONPATH")
    node.environment["PYTHONPATH"] = f"{source}{os.pathsep}{before}" if before else str(source)


def run_present(node: NodeProcess) -> None:
    """Let it be of the present one."""
    node.environment.pop("PYTHONPATH", None)
    node.program = [sys.executable, "-m", "lineshaft"]


def run_newer_records(node: NodeProcess) -> None:
    """Let it write records of the log of a version that does not exist yet."""
    _patch(node, "import lineshaft.cluster.record as newer; newer.VERSION += 1")


def run_newer_data(node: NodeProcess) -> None:
    """Let it write jobs in a format that does not exist yet."""
    _patch(node, "import lineshaft.engine.keys as newer; newer.FORMAT_VERSION += 1")


def _patch(node: NodeProcess, patch: str) -> None:
    node.program = [sys.executable, "-c", f"{patch}; from lineshaft.cli.main import main; raise SystemExit(main())"]
