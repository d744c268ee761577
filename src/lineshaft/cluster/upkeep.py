"""The upkeep of the log: when a snapshot is due, and what snapshots let the log forget.

Two snapshots are kept, and the log goes back to the older of them, should the newer prove bad after all; it is never
purged past what a live node has applied.
"""

import logging
from collections.abc import Iterable
from functools import partial

from lineshaft.cluster.port import Log
from lineshaft.cluster.questions import Questions

__all__ = ["Upkeep"]

log = logging.getLogger(__name__)


class Upkeep:
    """The log's size, and the snapshots of what it said."""

    def __init__(self, log_port: Log, questions: Questions) -> None:
        self._log = log_port
        self._questions = questions
        #: How large the log is, as last heard.
        self.size_bytes = 0
        #: Where there are snapshots, in order.
        self.snapshots: list[int] = []
        self._purged = 0

    def is_snapshot_due(self, after_bytes: int) -> bool:
        """Whether the log has grown enough.

        With no snapshot that is `after_bytes`, with one or two twice of that: it reaches back to the older of two.
        """
        return self.size_bytes > after_bytes * (2 if self.snapshots else 1)

    def maybe_purge(self, applied: Iterable[int]) -> None:
        """Forget what two snapshots have, and every node that is alive; `applied` says how far each of those is."""
        if len(self.snapshots) < 2:
            return
        up_to = min(self.snapshots[-2], *applied)
        if up_to > self._purged:
            self._questions.ask("purge", lambda: self._log.purge(up_to, partial(self._purged_to, up_to)))

    def _purged_to(self, up_to: int, done: bool | None) -> None:
        self._questions.answered("purge")
        if done:
            self._purged = max(self._purged, up_to)
            log.info("the log is purged up to entry %d", up_to)
