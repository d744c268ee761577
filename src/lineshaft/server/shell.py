"""The shell: what the server needs of the world, and does not do itself; and what carries the bytes of a session."""

from collections.abc import Callable
from typing import Any, Protocol

from lineshaft.store.port import Store

__all__ = ["Shell", "Transport"]


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


class Transport(Protocol):
    """What carries a session's bytes; asyncio's transports do."""

    def write(self, data: bytes) -> None:
        """Send, sooner or later."""
        ...

    def close(self) -> None:
        """Close when all has been sent."""
        ...

    def abort(self) -> None:
        """Close now."""
        ...

    def get_write_buffer_size(self) -> int:
        """How many bytes the peer has not taken yet."""
        ...

    def pause_reading(self) -> None:
        """Let the peer's bytes wait."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...
