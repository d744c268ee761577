"""The group: replies that wait until what they tell of stands in the cluster's log.

It is the leader's `GroupCommit`. There is no sync to begin, since each commit is on its way to the log already; and
all replies wait, those of FETCH and ACK too, for another node may take over at any moment, and it must not hand out
a job that somebody holds. Those to which nothing was written wait as well while another node may lead already: a
leader that slept would tell of locks, leases and batches as they were.

What is true after every call: chunks leave in the order in which they came, each when the turn before it stands.
"""

from collections import deque
from collections.abc import Callable

from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.server.commit import Chunk, GroupCommit

__all__ = ["LogGroup"]


class LogGroup(GroupCommit):
    """Holds replies by the number of the last turn that they may tell of."""

    waits_for_all = True

    def __init__(self, store: Callable[[], ReplicatedStore | None]) -> None:
        """`store` gives the leader's, None where there is none."""
        super().__init__(lambda: None)
        self._store = store
        self._numbers: deque[int] = deque()

    def hold(self, chunk: Chunk) -> None:
        """Keep a session's replies until everything committed so far stands in the log."""
        store = self._store()
        assert store is not None
        chunk.session.held += 1
        self.collecting.append(chunk)
        self._numbers.append(store.committed)

    def owes(self) -> bool:
        """Whether something was committed that does not stand yet, replies are held, or another node may lead."""
        store = self._store()
        if store is None:
            return False
        return store.standing < store.committed or bool(self.collecting) or not store.is_current()

    def maybe_sync(self) -> None:
        """Nothing: a commit is on its way at once."""
        self.dirty = False

    def take_synced(self) -> list[Chunk]:
        """The replies that wait no more, in order."""
        store = self._store()
        numbers, count = self._numbers, 0
        if store is not None and store.is_current():
            while numbers and numbers[0] <= store.standing:
                numbers.popleft()
                count += 1
        synced, self.collecting = self.collecting[:count], self.collecting[count:]
        return synced

    def take_all(self) -> list[Chunk]:
        """All that was held, in order, for an error reply."""
        held, self.collecting = self.collecting, []
        self._numbers.clear()
        self.dirty = False
        return held
