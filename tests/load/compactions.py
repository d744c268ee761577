"""Compactions: how often RocksDB has compacted, which it does when it wants to, in a thread of its own."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

__all__ = ["Compactions"]

#: What RocksDB says in its log when a compaction has ended, in microseconds.
COMPACTED = re.compile(r'"event": "compaction_finished", "compaction_time_micros": (\d+)')


@dataclass(frozen=True)
class Compactions:
    """How many compactions have ended, and how long they took in all."""

    count: int
    seconds: float

    @classmethod
    def of(cls, data: Path) -> Self:
        """All since the server was started on an empty directory, out of what RocksDB says of itself."""
        told = [match for log in data.glob("LOG*") for match in COMPACTED.findall(log.read_text())]
        return cls(len(told), sum(map(int, told)) / 1e6)

    def since(self, before: Self) -> "Compactions":
        """Those that ended since then."""
        # RocksDB deletes what it said long ago.
        return Compactions(max(self.count - before.count, 0), max(self.seconds - before.seconds, 0.0))
