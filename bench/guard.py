"""The guard of the speed: how many instructions a command costs, against what was recorded: `make bench-guard`.

Times cannot be guarded on a shared machine; instructions can. `guard_loop` carries out commands under valgrind's
callgrind, once for the server and once for the speed reference, and the ratio of the two is judged: it hardly depends
on the processor or on how Python was built. It does depend on the versions of Python and of the libraries, so ratios
are recorded by the version of Python (`guard.json`), with the versions of the libraries beside them. A job may cost a
tenth more than recorded. What makes it cheaper on purpose is recorded anew (`--record`), so that it stays so.

Where valgrind is missing, or nothing is recorded for this version of Python, the processor's time of the same loop is
judged instead, as the ratio of the best of some runs of both. Those ratios were within a sixth of the counted ones, and
scatter, so a job may take half as long again as recorded: enough to see a job that became twice as dear.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
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
#: So much more of the processor's time may it take, where instructions cannot be judged.
WIDE = 0.50
#: How often the loop runs then, in turn with that of the reference; the best counts, which others disturb the least.
RUNS = 5
#: Where that is too much, it runs as often again, and so on: what is really dearer stays so.
TRIES = 4
LIMIT_SECONDS = 900


Costs = dict[str, dict[str, float]]
"""What a job costs, by who carries it out and by row."""


class NotCounted(Exception):
    """The instructions could not be counted; the message says what to do about it."""


@dataclass(frozen=True)
class Finding:
    """What one row cost the server for each job, in instructions or microseconds, and its ratio to the reference's."""

    row: str
    cost: float
    ratio: float
    #: None where there is no record.
    recorded: float | None
    #: So much more than recorded it may cost.
    tolerance: float = TOLERANCE

    @property
    def is_worse(self) -> bool:
        """Whether it costs more than it may."""
        return self.recorded is not None and self.ratio > self.recorded * (1 + self.tolerance)

    @property
    def is_stale(self) -> bool:
        """Whether it costs so much less that the record should say so. Times do not tell."""
        return self.recorded is not None and self.tolerance == TOLERANCE and self.ratio < self.recorded * (1 - STALE)

    def line(self) -> str:
        """For the report."""
        cost = f"{self.cost:>9,.0f}" if self.tolerance == TOLERANCE else f"{self.cost:>9.1f}"
        if self.recorded is None:
            return f"  {self.row:<22} {cost} {self.ratio:>7.3f}"
        verdict = "ok, and cheaper: record it" if self.is_stale else "ok"
        if self.is_worse:
            verdict = f"MORE THAN +{100 * self.tolerance:.0f} %"
        against = f"{self.recorded:>9.3f} {self.ratio / self.recorded - 1:>+8.1%}  {verdict}"
        return f"  {self.row:<22} {cost} {self.ratio:>7.3f} {against}"


def main(arguments: list[str] | None = None) -> int:
    """Count, compare, print; 1 when a row costs more than it may, 2 when nothing could be counted or compared."""
    options = _parser().parse_args(arguments)
    here = _versions()
    python = _minor(here["python"])
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    try:
        if options.record:
            return _record(*_count_both(), records, here, python)
        if python in records and shutil.which("valgrind"):
            return _judge_instructions(*_count_both(), records[python], here)
        return _judge_times(records, python)
    except NotCounted as error:
        print(f"bench-guard: {error}", file=sys.stderr)
        return 2


def compare(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    recorded: Mapping[str, float],
    tolerance: float = TOLERANCE,
) -> list[Finding]:
    """Divide what a job costs in each row by what it costs in its row of the reference."""
    return [
        Finding(name, ours[name], ours[name] / theirs[row.plain or name], recorded.get(name), tolerance)
        for row in ROWS
        for name in row.names
    ]


def _record(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    records: dict[str, Any],
    here: Mapping[str, str],
    python: str,
) -> int:
    findings = compare(ours, theirs, {})
    _print("instructions per job", findings, here)
    records[python] = {"versions": here, "ratios": {one.row: round(one.ratio, 3) for one in findings}}
    RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
    print(f"recorded for Python {python} in {RECORD.name}")
    return 0


def _judge_instructions(
    ours: Mapping[str, float], theirs: Mapping[str, float], record: Mapping[str, Any], here: Mapping[str, str]
) -> int:
    findings = compare(ours, theirs, record["ratios"])
    _print("instructions per job", findings, here)
    if here != record["versions"]:
        then = record["versions"]
        differ = [f"{name} {then.get(name)} then, {here[name]} now" for name in here if here[name] != then.get(name)]
        print(
            f"bench-guard: recorded with other versions, which may move a ratio: {'; '.join(differ)}", file=sys.stderr
        )
    return _verdict(findings, "a tenth")


def _judge_times(records: Mapping[str, Any], python: str) -> int:
    """Against the record of this version of Python, or of the newest that has one. Raises NotCounted."""
    if not records:
        raise NotCounted("nothing is recorded; on a tree that is known to be good: make bench-guard ARGS=--record")
    known = python if python in records else max(records, key=lambda text: [int(part) for part in text.split(".")])
    lack = "valgrind is not installed (apt install valgrind)" if known == python else f"only Python {known} is recorded"
    print(
        f"bench-guard: instructions are not judged, since {lack}: the processor's time is, with a wide bound",
        file=sys.stderr,
    )
    best: Costs = {"lineshaft": {}, "reference": {}}
    for _ in range(TRIES):
        _time_both(best)
        findings = compare(best["lineshaft"], best["reference"], records[known]["ratios"], WIDE)
        if not any(one.is_worse for one in findings):
            break
    _print("microseconds of the processor per job", findings, _versions())
    return _verdict(findings, "a half")


def _print(what: str, findings: Iterable[Finding], here: Mapping[str, str]) -> None:
    print(f"{what}, and their ratio to the reference's; {_said(here)}")
    print(f"  {'':<22} {'ours':>9} {'ratio':>7} {'recorded':>9} {'change':>8}")
    for finding in findings:
        print(finding.line())


def _verdict(findings: Iterable[Finding], share: str) -> int:
    worse = [one.row for one in findings if one.is_worse]
    if worse:
        print(f"bench-guard: costs more than {share} over what is recorded: {', '.join(worse)}", file=sys.stderr)
    return 1 if worse else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare the instructions of each command with what was recorded.")
    parser.add_argument("--record", action="store_true", help="write what is counted now into bench/guard.json")
    return parser


def _time_both(best: Costs) -> None:
    """Run both in turn, and keep the least microseconds of the processor per job of each row. Raises NotCounted."""
    with tempfile.TemporaryDirectory(prefix="guard-") as scratch:
        for number in range(RUNS):
            for kind, costs in best.items():
                for name, cost in _run(kind, Path(scratch) / f"{kind}-{number}", []).items():
                    costs[name] = min(cost, costs.get(name, cost))


def _count_both() -> tuple[dict[str, float], dict[str, float]]:
    """Instructions per job by row: the server's, and the reference's. Raises NotCounted."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise NotCounted("valgrind counts the instructions, and is not installed (apt install valgrind)")
    with tempfile.TemporaryDirectory(prefix="guard-") as scratch, ThreadPoolExecutor(2) as pool:
        ours, theirs = pool.map(lambda kind: _count(valgrind, kind, Path(scratch)), ("lineshaft", "reference"))
    return ours, theirs


def _count(valgrind: str, kind: str, scratch: Path) -> dict[str, float]:
    profile = scratch / f"{kind}.callgrind"
    names = _run(
        kind,
        scratch / kind,
        [valgrind, "--tool=callgrind", "--dump-before=getpriority", f"--callgrind-out-file={profile}"],
    )
    jobs = {name: row.jobs for row in ROWS for name in row.names}
    # Every second dump is what ran between the two marks of a row; the others are what ran before it.
    return {name: _total(Path(f"{profile}.{2 * number + 2}")) / jobs[name] for number, name in enumerate(names)}


def _run(kind: str, data: Path, under: list[str]) -> dict[str, float]:
    """What the loop prints: the rows, and the microseconds of a job. Raises NotCounted."""
    loop = [*under, sys.executable, str(HERE / "guard_loop.py"), kind, str(data)]
    # The order in sets and dicts is that of their hashes, and must not change from run to run.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    try:
        done = subprocess.run(loop, capture_output=True, text=True, check=False, env=environment, timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotCounted(f"the {kind} did not get through its loop in {LIMIT_SECONDS} s") from error
    if done.returncode != 0:
        raise NotCounted(f"the loop of the {kind} failed:\n{done.stdout}{done.stderr}")
    costs: dict[str, float] = json.loads(done.stdout)
    return costs


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
