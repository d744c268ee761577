"""The guard of the speed: how many instructions a command costs, against what was recorded: `make bench-guard`.

Times cannot be guarded on a shared machine; instructions can. `guard_loop` carries out commands under valgrind's
callgrind, once for the server and once for the speed reference, and the ratio of the two is judged: it hardly depends
on the processor or on how Python was built. It does depend on the versions of Python and of the libraries, so ratios
are recorded by the version of Python (`guard.json`), with the versions of the libraries beside them. A job may cost a
tenth more than recorded. What makes it cheaper on purpose is recorded anew (`--record`), so that it stays so.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard_loop import ROWS
from machine import versions

__all__ = ["TOLERANCE", "Finding", "NotCounted", "compare", "main"]

HERE = Path(__file__).resolve().parent
RECORD = HERE / "guard.json"
#: So much more may a command cost than was recorded.
TOLERANCE = 0.10
#: Cheaper than this, and the record is told to be out of date: it would let half of the gain be lost again.
STALE = 0.05
LIMIT_SECONDS = 900


class NotCounted(Exception):
    """The instructions could not be counted; the message says what to do about it."""


@dataclass(frozen=True)
class Finding:
    """What one row cost, for each job: instructions of the server, and their ratio to the reference's."""

    row: str
    instructions: int
    ratio: float
    #: None where there is no record.
    recorded: float | None

    @property
    def is_worse(self) -> bool:
        """Whether it costs more than it may."""
        return self.recorded is not None and self.ratio > self.recorded * (1 + TOLERANCE)

    @property
    def is_stale(self) -> bool:
        """Whether it costs so much less that the record should say so."""
        return self.recorded is not None and self.ratio < self.recorded * (1 - STALE)

    def line(self) -> str:
        """For the report."""
        if self.recorded is None:
            return f"  {self.row:<22} {self.instructions:>9,} {self.ratio:>7.3f}"
        verdict = "MORE THAN +10 %" if self.is_worse else "ok, and cheaper: record it" if self.is_stale else "ok"
        against = f"{self.recorded:>9.3f} {self.ratio / self.recorded - 1:>+8.1%}  {verdict}"
        return f"  {self.row:<22} {self.instructions:>9,} {self.ratio:>7.3f} {against}"


def main(arguments: list[str] | None = None) -> int:
    """Count, compare, print; 1 when a row costs more than it may, 2 when nothing could be counted or compared."""
    options = _parser().parse_args(arguments)
    try:
        ours, theirs = _count_both()
    except NotCounted as error:
        print(f"bench-guard: {error}", file=sys.stderr)
        return 2
    here = _versions()
    python = _minor(here["python"])
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record = records.get(python)
    findings = compare(ours, theirs, {} if record is None else record["ratios"])
    print(f"instructions per job, and their ratio to the reference's; {_said(here)}")
    print(f"  {'':<22} {'ours':>9} {'ratio':>7} {'recorded':>9} {'change':>8}")
    for finding in findings:
        print(finding.line())
    if options.record:
        records[python] = {"versions": here, "ratios": {one.row: round(one.ratio, 3) for one in findings}}
        RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
        print(f"recorded for Python {python} in {RECORD.relative_to(HERE.parent)}")
        return 0
    return _judge(findings, record, here, python, sorted(records))


def compare(ours: Mapping[str, int], theirs: Mapping[str, int], recorded: Mapping[str, float]) -> list[Finding]:
    """Divide the instructions per job of each row by those of its row of the reference."""
    return [
        Finding(name, ours[name], ours[name] / theirs[row.plain or name], recorded.get(name))
        for row in ROWS
        for name in row.names
    ]


def _judge(
    findings: list[Finding], record: dict[str, Any] | None, here: Mapping[str, str], python: str, known: list[str]
) -> int:
    if record is None:
        print(
            f"bench-guard: NOT JUDGED: nothing is recorded for Python {python}, only for {', '.join(known) or 'none'}, "
            "and the ratios of two versions differ. On a tree that is known to be good: make bench-guard ARGS=--record",
            file=sys.stderr,
        )
        return 0
    if here != record["versions"]:
        then = record["versions"]
        differ = [f"{name} {then.get(name)} then, {here[name]} now" for name in here if here[name] != then.get(name)]
        print(
            f"bench-guard: recorded with other versions, which may move a ratio: {'; '.join(differ)}", file=sys.stderr
        )
    worse = [one.row for one in findings if one.is_worse]
    if worse:
        print(f"bench-guard: costs more than a tenth over what is recorded: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare the instructions of each command with what was recorded.")
    parser.add_argument("--record", action="store_true", help="write what is counted now into bench/guard.json")
    return parser


def _count_both() -> tuple[dict[str, int], dict[str, int]]:
    """Instructions per job by row: the server's, and the reference's. Raises NotCounted."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise NotCounted("valgrind counts the instructions, and is not installed (apt install valgrind)")
    with tempfile.TemporaryDirectory(prefix="guard-") as scratch, ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.map(lambda kind: _count(valgrind, kind, Path(scratch)), ("lineshaft", "reference"))
    return ours, theirs


def _count(valgrind: str, kind: str, scratch: Path) -> dict[str, int]:
    profile = scratch / f"{kind}.callgrind"
    command = [valgrind, "--tool=callgrind", "--dump-before=getpriority", f"--callgrind-out-file={profile}"]
    loop = [sys.executable, str(HERE / "guard_loop.py"), kind, str(scratch / kind)]
    # The order in sets and dicts is that of their hashes, and must not change from run to run.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(
            [*command, *loop], capture_output=True, text=True, check=False, env=environment, timeout=LIMIT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise NotCounted(f"the {kind} did not get through its loop in {LIMIT_SECONDS} s under valgrind") from error
    if done.returncode != 0:
        raise NotCounted(f"the loop of the {kind} failed under valgrind:\n{done.stdout}{done.stderr}")
    names = json.loads(done.stdout)
    jobs = {name: row.jobs for row in ROWS for name in row.names}
    # Every second dump is what ran between the two marks of a row; the others are what ran before it.
    return {name: _total(Path(f"{profile}.{2 * number + 2}")) // jobs[name] for number, name in enumerate(names)}


def _total(dump: Path) -> int:
    """The instructions of one dump. Raises NotCounted."""
    with dump.open(errors="replace") as lines:
        for line in lines:
            if line.startswith(("summary:", "totals:")):
                return int(line.split()[1])
    raise NotCounted(f"{dump.name} holds no sum: is this a valgrind that writes its profiles otherwise?")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **versions("msgspec", "rocksdict")}


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _said(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


if __name__ == "__main__":
    sys.exit(main())
