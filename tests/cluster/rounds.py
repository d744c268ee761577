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

__all__ = ["ENOUGH", "Rounds"]

#: So many pushes and jobs done make a round count.
ENOUGH = 5

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
        #: Of each round, how many pushes were accepted and how many jobs done, rests aside.
        self.work: list[tuple[int, int]] = []
        #: How long the load rested after rounds, where it did.
        self.rests: list[float] = []
        self._before = (0, 0)
        self._capture = capture
        self._began = time.monotonic()
        self.path = Path(os.environ.get("LINESHAFT_CLUSTER_SUMMARY") or DEFAULT)
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def tell(self, what: str, takeover: float | None = None) -> None:
        """A round is over; the load may rest now."""
        self.done += 1
        if takeover is not None:
            self.takeovers.setdefault(what, []).append(takeover)
        pushed, done = self._figures()
        work = self._work()
        self.work.append(work)
        line = f"round {self.done} of {self.total}, {time.monotonic() - self._began:.0f} s: {what}"
        line += f", {takeover:.1f} s" if takeover is not None else ""
        self._say(f"{line}; {work[0]} pushed and {work[1]} done, of {pushed} and {done}")
        rest = self.load.breathe()
        if rest:
            self.rests.append(rest)
            self._say(f"rested for {rest:.0f} s: {self._figures()[1] - done} done")
        self._before = self._figures()

    def _figures(self) -> tuple[int, int]:
        with self.load.lock:
            return len(self.load.accepted), self.load.acked.total()

    def _work(self) -> tuple[int, int]:
        """Of the round that is under way."""
        (pushed, done), before = self._figures(), self._before
        return pushed - before[0], done - before[1]

    def is_at_work(self) -> bool:
        """Whether the load does something that a fault can break."""
        return min(self._work()) >= ENOUGH

    def _say(self, line: str) -> None:
        with self.path.with_suffix(".log").open("a") as log:
            log.write(line + "\n")
        with self._capture.disabled():
            print(line, file=sys.stderr, flush=True)

    def check(self) -> None:
        """That every round had something to break: one in which the load stood still shows nothing."""
        idle = [number for number, each in enumerate(self.work, 1) if min(each) < ENOUGH]
        assert self.work, "there was no round"
        assert not idle, f"nearly nothing pushed or done in {len(idle)} of {len(self.work)} rounds: {idle[:20]}"

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
        if self.work:
            least, middle = ([pick(each) for each in zip(*self.work, strict=True)] for pick in (min, median))
            parts.append(
                f"{least[0]} pushes and {least[1]} jobs done in a round at least, {middle[0]:.0f} and {middle[1]:.0f}"
                f" (median); {len(self.rests)} rests of {sum(self.rests):.0f} s in all"
            )
        parts.append(f"nothing was answered for {load.longest_silence:.1f} s at most")
        row = f"| {datetime.datetime.now(datetime.UTC).date()} | `{self.command}` | {'; '.join(parts)} |"
        with self.path.open("a") as table:
            table.write(row + "\n")
        with self._capture.disabled():
            print(row, file=sys.stderr, flush=True)
        return row
