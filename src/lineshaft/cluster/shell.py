"""The shell: what a node is called, and what its rules ask of the process around them."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from lineshaft.cluster.presence import Presence
from lineshaft.cluster.replicated import ReplicatedStore
from lineshaft.errors import NotLeading, StoreError

__all__ = ["Identity", "NodeShell"]


class Identity(Struct, frozen=True):
    """What a node is called and where it is found."""

    node: str
    life: str  #: of this process, never used twice
    address: str  #: where other nodes reach its job port
    web: str = ""  #: and its HTTP port


class NodeShell(Protocol):
    """What the rules ask of the process around them."""

    def lead(self, store: ReplicatedStore) -> None:
        """Load the engine from this store and serve. Raises StoreError."""
        ...

    def stand_by(self, why: NotLeading) -> None:
        """Answer what is owed with this error, close all clients' connections, forget everything."""
        ...

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back after the events that are already here."""
        ...

    def released(self) -> None:
        """More turns stand in the log: let their replies go."""
        ...

    def point_to(self, leader: Presence | None) -> None:
        """Somebody else leads, or nobody does: forward clients there from now on."""
        ...

    def need_snapshot(self) -> None:
        """The log does not go back to where the replica is: load a snapshot, then call `Node.restart`."""
        ...

    def fail(self, error: StoreError) -> None:
        """This node cannot go on: end the process."""
        ...
