"""Reading: a node that does not lead applies each entry of the log to its replica.

```
bounds ─> meet ─┬─ the log goes back to where the replica is: follow ─> heard ─> unread ─> replica ─> its store
                └─ it does not: Gap, and a snapshot is wanted
```

Entries of which more are there already are gathered, and written together with the last of them: many small commits
cost more than a few large ones.

What is true after every call: the replica is written to by nobody else while this follows; what was heard and the
replica did not take yet waits in order. After `settle` all that was heard is in the store, unless that wants a pause.
"""

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from lineshaft.cluster.fold import Gap
from lineshaft.cluster.port import Bounds, Following, Log
from lineshaft.cluster.record import Leadership, UnknownVersion
from lineshaft.cluster.replica import GATHER_BYTES, Replica
from lineshaft.errors import StoreBusy, StoreError
from lineshaft.store.port import Store

__all__ = ["Reading"]

log = logging.getLogger(__name__)

#: A log that for so long ends before what a node has applied has lost entries.
SHORT_MS: Final = 15_000

#: So many entries may be asked for, one by one; who lacks more waits to be told of them.
TAIL: Final = 256


class Reading:
    """The log, as one node reads it into its store."""

    def __init__(
        self,
        store: Store,
        log_port: Log,
        clock: Callable[[], int],
        began: Callable[[Leadership, int], None],
        fail: Callable[[StoreError], None],
    ) -> None:
        """`began` is told of each epoch that is read; `fail` when the store cannot go on."""
        self._store = store
        self._log = log_port
        self._clock = clock
        self._began = began
        self._fail = fail
        #: None until the log has said which one it is.
        self.replica: Replica | None = None
        #: The log's end, as last heard.
        self.end = 0
        self._following: Following | None = None
        self._unread: deque[tuple[int, bytes]] = deque()
        self._short_since: int | None = None

    @property
    def follows(self) -> bool:
        """Whether it is told of the log's entries."""
        return self._following is not None

    @property
    def sequence(self) -> int:
        """The last entry that was read."""
        return self.replica.fold.sequence if self.replica is not None else 0

    @property
    def epoch(self) -> int:
        """The newest epoch that was read."""
        return self.replica.fold.epoch if self.replica is not None else 0

    def is_at_end(self) -> bool:
        """Whether all that is known of the log is read."""
        return not self._unread and self.sequence >= self.end

    def is_near_end(self) -> bool:
        """Whether so little of the log is not read that it can be asked for."""
        return self.follows and not self._unread and self.end - self.sequence <= TAIL

    def meet(self, bounds: Bounds) -> bool:
        """Begin to follow, unless that is so; whether it has begun.

        Raises Gap when the log does not go back to where the replica is; StoreError when they do not belong together.
        """
        self.end = max(self.end, bounds.last)
        if self.replica is None:
            self.replica = self._replica(bounds.log_id)
        if self.replica.log_id != bounds.log_id:
            raise StoreError("the log was made anew: stop the cluster and see docs/howto/cluster.md")
        if self._is_short(bounds) or self.follows:
            return False
        if bounds.first > self.sequence + 1:
            raise Gap(f"the log begins at {bounds.first}, and this node has read up to {self.sequence}")
        self.follow()
        return True

    def _is_short(self, bounds: Bounds) -> bool:
        """Whether the log ends before what this node has applied. Raises StoreError when it stays so.

        For a moment that is nothing: an entry can be heard before the answer that was asked for earlier, and a server
        of the log that has just come to lead it may have to catch up.
        """
        now = self._clock()
        if bounds.last >= self.sequence:
            self._short_since = None
            return False
        if self._short_since is None:
            self._short_since = now
        if now - self._short_since > SHORT_MS:
            raise StoreError(
                f"the log ends at {bounds.last}, and this node has applied {self.sequence}: the log has lost entries"
            )
        return True

    def follow(self) -> None:
        """Be told of every entry behind those that are read."""
        self.stop()
        self._following = self._log.follow(self.sequence, self._heard)

    def stop(self) -> None:
        """Be told of no more."""
        if self._following is not None:
            self._following.stop()
            self._following = None
        self._unread.clear()

    def _heard(self, sequence: int, data: bytes, more: bool) -> None:
        self.end = max(self.end, sequence)
        self._unread.append((sequence, data))
        if more:
            self._read_on()
        else:
            self.settle()

    def catch_up(self, first: int, entries: list[bytes]) -> None:
        """These entries, from `first` on, were asked for; those that are known already are passed over."""
        self._unread.extend(enumerate(entries, first))
        self.end = max(self.end, first + len(entries) - 1)
        self._read_on()

    def settle(self) -> bool:
        """Have all in the store that was heard; whether it has taken that."""
        assert self.replica is not None
        self._read_on()
        return not self._unread and self._write()

    def _write(self) -> bool:
        assert self.replica is not None
        try:
            self.replica.write()
        except StoreBusy:
            return False
        except StoreError as error:
            self._fail(error)
            return False
        return True

    def _replica(self, log_id: str) -> Replica:
        return Replica(self._store, log_id, self._began, gather_bytes=GATHER_BYTES)

    def _read_on(self) -> None:
        """Have the replica take what was heard, as far as its store does."""
        assert self.replica is not None
        while self._unread:
            try:
                self.replica.take(*self._unread[0])
            except StoreBusy:
                return
            except Gap as gap:
                # The reader lost some, or they were purged: the next look at the bounds tells which.
                log.warning("%s", gap)
                self.stop()
                return
            except UnknownVersion as error:
                # What stands before it counts, and is this node's to the end.
                self._write()
                self._fail(error)
                return
            except StoreError as error:
                self._fail(error)
                return
            self._unread.popleft()

    def resume(self) -> None:
        """This node led, and the replica was its writer's: read again what stood and was not applied.

        So is what this node sent and never heard of.
        """
        assert self.replica is not None
        self.replica = self._replica(self.replica.log_id)
        self.follow()

    def restart(self, store: Store) -> None:
        """The replica is another one now: `meet` finds out where it is."""
        self.stop()
        self._store, self.replica = store, None
