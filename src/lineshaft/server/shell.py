"""The shell: what the server needs of the world, and does not do itself."""

from collections.abc import Callable
from typing import Any, Protocol

from lineshaft.store.port import Store

__all__ = ["Shell"]


class Shell(Protocol):
    """What the server needs of the world."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back after the events that are already here."""
        ...

    def wake_in(self, milliseconds: int) -> None:
        """Call `Server.wake` in this time; replaces what was asked before."""
        ...

    def sync(self, store: Store) -> None:
        """Begin `store.sync()` elsewhere and call `Server.synced` with its error, or None, when it has ended."""
        ...

    def reopen(self, store: Store) -> Store:
        """Close a store that failed and open it again. Raises StoreError."""
        ...

    def apart(self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]) -> None:
        """Do `work` in another thread, and call `done` with what it returned, or raised, in this one."""
        ...

    def facts(self) -> dict[str, int]:
        """What only the shell knows for INFO: uptime and memory."""
        ...
