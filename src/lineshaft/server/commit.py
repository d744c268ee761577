"""Group commit: replies wait here until what they promise is on disk.

```
turn 1 commits ─> replies A ─┐ sync 1 begins
turn 2 commits ─> replies B ─┤ (collects)     sync 1 done: A goes out, sync 2 begins
turn 3 commits ─> replies C ─┘ (collects)                                            sync 2 done: B and C go out
```

One sync at a time, in another thread; all turns that end while it runs share the next one. A synchronous object:
the shell gives it a way to begin a sync and tells it when that has ended, so that a simulation can do the same.

What is true after every call: the chunks of a session are released in the order in which they were held.
"""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

__all__ = ["Chunk", "GroupCommit", "Holder"]


class Holder(Protocol):
    """Whose replies are held: a session."""

    #: How many of its chunks are held; whoever releases one counts it down.
    held: int


class Chunk(Struct):
    """The replies of one session from one turn."""

    session: Holder
    replies: list[bytes]


class GroupCommit:
    """The replies that wait for a sync, in two groups: the one that is being synced, and the next."""

    #: Whether replies that promise nothing wait too; they do in a cluster.
    waits_for_all = False

    def __init__(self, begin_sync: Callable[[], None]) -> None:
        self._begin_sync = begin_sync
        self.syncing: list[Chunk] | None = None
        self.collecting: list[Chunk] = []
        #: Something was committed since the last sync began.
        self.dirty = False

    def hold(self, chunk: Chunk) -> None:
        """Keep a session's replies until everything committed so far is on disk."""
        chunk.session.held += 1
        # Nothing was committed since the sync under way began: it covers all that this chunk tells of.
        group = self.collecting if self.dirty or self.syncing is None else self.syncing
        group.append(chunk)

    def owes(self) -> bool:
        """Whether something was committed that is not yet known to be on disk."""
        return self.dirty or self.syncing is not None

    def maybe_sync(self) -> None:
        """Begin a sync, when something waits for one and none is under way."""
        if self.syncing is None and (self.collecting or self.dirty):
            self.syncing, self.collecting = self.collecting, []
            self.dirty = False
            self._begin_sync()

    def take_synced(self) -> list[Chunk]:
        """The sync that was under way has ended well: the replies that it lets go, in order."""
        synced, self.syncing = self.syncing or [], None
        return synced

    def take_all(self) -> list[Chunk]:
        """A commit or a sync failed: all that was held, in order, for an error reply."""
        held = self.take_synced() + self.collecting
        self.collecting = []
        self.dirty = False
        return held
