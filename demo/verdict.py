"""What the workers left behind, held against a direct computation."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Findings", "judge", "read_results"]


@dataclass
class Findings:
    """The numbers of a run, and everything that is wrong with it."""

    done: Counter[str] = field(default_factory=Counter)  #: worker to jobs that succeeded
    failed: Counter[str] = field(default_factory=Counter)  #: worker to first tries that failed
    waits: list[float] = field(default_factory=list)  #: seconds from the push to the first start, per job, sorted
    lines: int = 0
    faults: list[str] = field(default_factory=list)

    def wait_at(self, share: float) -> float:
        """The wait that this share of the jobs did not exceed."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))] if self.waits else 0.0


def read_results(directory: Path) -> list[dict[str, Any]]:
    """All lines of all workers."""
    return [json.loads(line) for path in sorted(directory.glob("*.jsonl")) for line in path.read_text().splitlines()]


def judge(pushed: dict[str, float], failing: set[str], results: list[dict[str, Any]]) -> Findings:
    """Was every file done exactly once, and right? `pushed` is file to time, `failing` what must fail once."""
    findings = Findings()
    successes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    failures: Counter[str] = Counter()
    started: dict[str, float] = {}
    for result in results:
        file = result["file"]
        started[file] = min(result["started"], started.get(file, result["started"]))
        if result.get("failed"):
            failures[file] += 1
            findings.failed[result["worker"]] += 1
        else:
            successes[file].append(result)
            findings.done[result["worker"]] += 1
    findings.faults += [f"{file}: never pushed" for file in set(successes) - set(pushed)]
    findings.faults += [
        f"{file}: failed {failures[file]} times instead of {int(file in failing)}"
        for file in pushed
        if failures[file] != (file in failing)
    ]
    for file in pushed:
        findings.faults += _compare(file, successes[file])
        findings.lines += successes[file][0]["lines"] if successes[file] else 0
    findings.waits = sorted(started[file] - at for file, at in pushed.items() if file in started)
    return findings


def _compare(file: str, results: list[dict[str, Any]]) -> list[str]:
    if len(results) != 1:
        return [f"{file}: done {len(results)} times"]
    data = Path(file).read_bytes()
    faults = []
    if results[0]["sha256"] != hashlib.sha256(data).hexdigest():
        faults.append(f"{file}: the {results[0]['worker']} worker got another SHA-256")
    if results[0]["lines"] != data.count(b"\n"):
        faults.append(f"{file}: the {results[0]['worker']} worker counted other lines")
    return faults
