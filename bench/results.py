"""The results of a run, in one JSON file: written after each round, so that a run can stop and be taken up again.

A file belongs to one day, one commit of the sources and one scale: what differs in one of these is another run. Rounds
are whole or not there, since only what was measured in the same minute may be compared.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobload import Measure

__all__ = ["Results", "Round", "results_file"]


@dataclass(frozen=True)
class Round:
    """What the entries of a match showed, by their label."""

    load: str
    sync: str
    at: str
    measures: dict[str, Measure]


@dataclass
class Results:
    """All that was measured in one run, and on what."""

    path: Path
    scale: float
    machine: dict[str, str] = field(default_factory=dict)
    #: The command lines that made it.
    commands: list[str] = field(default_factory=list)
    rounds: list[Round] = field(default_factory=list)
    #: What `libraries` measured: one record per round of a library's worker.
    workers: list[dict[str, Any]] = field(default_factory=list)
    #: What `ratios` made of it all.
    verdicts: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> "Results":
        """What is in the file. Raises OSError, ValueError, KeyError."""
        found = json.loads(path.read_text())
        rounds = [
            Round(one["load"], one["sync"], one["at"], {key: _measure(value) for key, value in one["measures"].items()})
            for one in found["rounds"]
        ]
        return cls(
            path, found["scale"], found["machine"], found["commands"], rounds, found["workers"], found["verdicts"]
        )

    def of(self, load: str, sync: str) -> list[Round]:
        """The rounds of a match."""
        return [one for one in self.rounds if (one.load, one.sync) == (load, sync)]

    def add(self, load: str, sync: str, measures: dict[str, Measure]) -> None:
        """Note a round, and write the file."""
        self.rounds.append(Round(load, sync, datetime.now(UTC).isoformat(timespec="seconds"), measures))
        self.write()

    def write(self) -> None:
        """Replace the file at once, so that a run that is killed leaves the last whole one."""
        report = {
            "scale": self.scale,
            "machine": self.machine,
            "commands": self.commands,
            "verdicts": self.verdicts,
            "rounds": [
                {
                    "load": one.load,
                    "sync": one.sync,
                    "at": one.at,
                    "measures": {label: measure.as_dict() for label, measure in one.measures.items()},
                }
                for one in self.rounds
            ],
            "workers": self.workers,
        }
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(report, indent=1) + "\n")
        new.replace(self.path)


def results_file(directory: Path, *, commit: str, scale: float, quick: bool) -> Path:
    """The file of this day, commit and scale; of a quick run, one that is not there yet."""
    now = datetime.now(UTC)
    if quick:
        return directory / f"quick-{now:%Y%m%dT%H%M%S.%fZ}.json"
    suffix = "" if scale == 1 else f"-scale-{scale:g}"
    return directory / f"bench-{now:%Y-%m-%d}-{commit}{suffix}.json"


def _measure(found: dict[str, Any]) -> Measure:
    latencies = {verb: tuple(values) for verb, values in found.pop("latency_us").items()}
    return Measure(latency_us=latencies, **found)
