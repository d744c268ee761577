"""What came of rounds of faults: told while they run, and written down as a row of the table in docs/reliability.md.

```
build/cluster-rounds.log   a line for each round: for `tail -f`, since pytest keeps what tests print
build/cluster-rounds.md    a row for each run
```

LINESHAFT_CLUSTER_SUMMARY names another file for the rows; the lines go beside it.
"""

import datetime
import os
import sys
import time
from pathlib import Path
from statistics import median

import pytest

from cluster.load import Load

__all__ = ["Rounds"]

DEFAULT = Path(__file__).parents[2] / "build" / "cluster-rounds.md"


class Rounds:
    """One run of a test with rounds."""

    def __init__(self, command: str, total: int, load: Load, capture: pytest.CaptureFixture[str]) -> None:
        self.command = command
        self.total = total
        self.load = load
        self.done = 0
        #: By what was done, the seconds until another node served.
        self.takeovers: dict[str, list[float]] = {}
        self._capture = capture
        self._began = time.monotonic()
        self.path = Path(os.environ.get("LINESHAFT_CLUSTER_SUMMARY") or DEFAULT)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def tell(self, what: str, takeover: float | None = None) -> None:
        """A round is over."""
        self.done += 1
        if takeover is not None:
            self.takeovers.setdefault(what, []).append(takeover)
        line = f"round {self.done} of {self.total}, {time.monotonic() - self._began:.0f} s: {what}"
        line += f", {takeover:.1f} s" if takeover is not None else ""
        line += f"; pushed {len(self.load.accepted)}, done {len(self.load.acked)}"
        with self.path.with_suffix(".log").open("a") as log:
            log.write(line + "\n")
        with self._capture.disabled():
            print(line, file=sys.stderr, flush=True)

    def write(self) -> str:
        """The row, once the load is at its end; whether all went well is for the test to say."""
        load = self.load
        lost = len(load.accepted - load.acked.keys())
        parts = [f"{self.done} rounds in {time.monotonic() - self._began:.0f} s"]
        parts.append(f"{len(load.accepted):,} pushes accepted, {lost} lost, {load.twice} run twice")
        for what, seconds in self.takeovers.items():
            parts.append(
                f"{len(seconds)} times {what}: another led after {median(seconds):.1f} s (median),"
                f" {max(seconds):.1f} s at most"
            )
        parts.append(f"nothing was answered for {load.longest_silence:.1f} s at most")
        row = f"| {datetime.datetime.now(datetime.UTC).date()} | `{self.command}` | {'; '.join(parts)} |"
        with self.path.open("a") as table:
            table.write(row + "\n")
        with self._capture.disabled():
            print(row, file=sys.stderr, flush=True)
        return row
