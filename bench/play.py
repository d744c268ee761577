"""One round of a match: each of its servers once, alone, on an empty directory.

Every measure is one fresh server, warmed up with a small run of the same load, then loaded and stopped. The order
turns from round to round, so that nobody always has the warmer machine. FLUSH is not used to start afresh: the
reference only drops its memory, while the server has data to delete, which would burden one of the two.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contestants import PASSWORD
from jobload import Load, LoadFailed, Measure, run_jobload
from matches import Entry, Match
from servers import Server

__all__ = ["Pace", "play_round"]

#: The warm-up's share of a measured run's jobs: enough to fill caches and grow what grows once.
WARM_UP = 0.05
#: No load is run with fewer: every connection should have a few jobs to do.
FEWEST_JOBS = 1_000
#: A server that is much slower than ours is stopped after so long, and what it did until then counts.
LIMIT_SECONDS = 6.0
#: The queue is filled by this before it is drained.
FILL = Load("fill", "push", 10, {}, bulk=100)
#: What tells the maximum before an open loop: so many connections, in a closed one.
MAXIMUM = Load("maximum", "cycle", 50, {})


@dataclass(frozen=True)
class Pace:
    """How long measures are."""

    #: Share of the jobs of a full run.
    scale: float

    def jobs(self, load: Load, sync: str) -> int:
        """How many jobs a measured run of `load` has."""
        return max(FEWEST_JOBS, round(load.jobs[sync] * self.scale))

    @property
    def limit_seconds(self) -> float:
        """The longest that a measure may take; it is cut there, which is no failure."""
        return max(1.0, LIMIT_SECONDS * self.scale)


def play_round(match: Match, turn: int, *, pace: Pace, scratch: Path) -> Iterator[tuple[str, Measure]]:
    """Each entry's label and measure, beginning with the one whose turn it is. Raises LoadFailed, ServerFailed."""
    first = turn % len(match.entries)
    for entry in [*match.entries[first:], *match.entries[:first]]:
        jobs = pace.jobs(match.load, match.sync)
        yield entry.label, _measure(entry, match.sync, pace=pace, jobs=jobs, scratch=scratch)


def _measure(entry: Entry, sync: str, *, pace: Pace, jobs: int, scratch: Path) -> Measure:
    directory = Path(tempfile.mkdtemp(prefix="server-", dir=scratch))
    try:
        with Server(entry.contestant, directory, sync=sync) as server:
            try:
                return _load(server, entry.load, jobs=jobs, limit_seconds=pace.limit_seconds)
            except LoadFailed as error:
                raise LoadFailed(f"{entry.label}, {error}\nits log:\n{server.log_tail()}") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _load(server: Server, load: Load, *, jobs: int, limit_seconds: float) -> Measure:
    if load.open_share:
        _run(server, MAXIMUM, jobs=FEWEST_JOBS, limit_seconds=1)
        most = _run(server, MAXIMUM, jobs=jobs, limit_seconds=limit_seconds / 2).jobs_per_second
        return _run(server, load, jobs=10**9, limit_seconds=limit_seconds, per_second=most * load.open_share)
    warm_up = max(FEWEST_JOBS, round(jobs * WARM_UP))
    if load.mode == "drain":
        warm = _run(server, FILL, jobs=warm_up, limit_seconds=limit_seconds).jobs
        _run(server, load, jobs=warm, limit_seconds=60)
        jobs = _run(server, FILL, jobs=jobs, limit_seconds=limit_seconds).jobs
    else:
        _run(server, load, jobs=warm_up, limit_seconds=limit_seconds / 3)
    return _run(server, load, jobs=jobs, limit_seconds=limit_seconds)


def _run(server: Server, load: Load, *, jobs: int, limit_seconds: float, per_second: float = 0.0) -> Measure:
    contestant = server.contestant
    return run_jobload(
        load,
        jobs=jobs,
        port=server.port,
        pid=server.pid,
        bid=contestant.begin_batch(server.port) if load.has_batch else "",
        protocol=contestant.protocol,
        password=PASSWORD if load.secured == "password" else "",
        per_second=per_second,
        limit_seconds=limit_seconds,
    )
