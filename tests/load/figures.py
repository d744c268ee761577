"""What a process uses, as Linux tells it, and percentiles of what was measured."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "percentile", "usage_of"]

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a process uses at an instant."""

    rss_bytes: int  #: resident, with the mapped files that it shares
    anonymous_bytes: int  #: resident and its own: what a leak makes grow
    cpu_seconds: float
    files: int
    threads: int


def usage_of(pid: int) -> Usage:
    """Of a process that is alive."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    # The name of the program, in brackets, may hold anything.
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return Usage(
        rss_bytes=int(fields["VmRSS"].split()[0]) << 10,
        anonymous_bytes=int(fields["RssAnon"].split()[0]) << 10,
        cpu_seconds=(int(stat[11]) + int(stat[12])) / _TICKS,
        files=len(os.listdir(f"/proc/{pid}/fd")),
        threads=int(fields["Threads"]),
    )


def percentile(values: Sequence[float], per_cent: float) -> float:
    """The smallest value that so many per cent of the values do not exceed; 0 of none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(max(-int(-per_cent * len(ordered) // 100) - 1, 0), len(ordered) - 1)]
