"""The backend: what the web application needs of the server, and nothing else of it.

The composition root hands in the real one (`web_host`). Whoever shows something calls `look`, whoever changes something
awaits `act`: both work on the engine's facade, within a turn of the server, in the server's own event loop.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from lineshaft.engine.engine import Engine
from lineshaft.engine.search.scan import Seen, Sought
from lineshaft.store.timing import Durations
from lineshaft.web.access.settings import AccessSettings

__all__ = ["Backend", "Setting", "WebSettings"]

T = TypeVar("T")


class WebSettings(AccessSettings, frozen=True):
    """What an operator decides about the pages, and about who comes in; a reload hands in another one."""

    slow_after_ms: int = 60_000  #: a queue whose oldest job waits longer needs attention
    history_ms: int = 0  #: how long finished jobs are kept
    dead_ms: int = 0  #: how long dead ones are


class Setting(Struct, frozen=True):
    """A key of the configuration as it is in effect; a secret is masked already."""

    table: str
    key: str
    value: str
    is_default: bool


class Backend(Protocol):
    """The server, for the web application."""

    def settings(self) -> WebSettings:
        """What is in effect at this moment."""
        ...

    def look(self, view: Callable[[Engine], T]) -> T:
        """What `view` reads of the engine, now. Raises Refusal, Unavailable while the storage is away, StoreError."""
        ...

    async def act(self, verb: Callable[[Engine], T]) -> T:
        """Do what `verb` does with the engine; returns when that is on disk, as far as the configuration promises it.

        Raises Refusal, Unavailable when nothing was done, StoreError when the outcome is unknown.
        """
        ...

    async def seek(self, sought: Sought, *, fresh: bool) -> Seen | None:
        """One look of the search process; None where there is none: the jobs are in memory.

        A fresh one sees all that is committed by now; what any other sees is a second old at most. Raises Unavailable.
        """
        ...

    def info(self) -> dict[str, Any]:
        """What INFO gives."""
        ...

    def uptime_seconds(self) -> int:
        """Since the server started."""
        ...

    def is_healthy(self) -> bool:
        """Whether the server can take a job."""
        ...

    def why_not_ready(self) -> str | None:
        """Why jobs can be neither pushed nor fetched at the moment; None when they can."""
        ...

    def is_leading(self) -> bool:
        """Whether jobs are served here, and not by another node of the cluster."""
        ...

    def cluster(self) -> dict[str, Any] | None:
        """The cluster that the server is a node of, as CLUSTER STATUS gives it; None for a single server."""
        ...

    def storage(self) -> dict[str, int]:
        """The store's own figures, by name; empty while it is away."""
        ...

    def durations(self) -> Mapping[str, Durations]:
        """How long commits and syncs took."""
        ...

    def verbs(self) -> Mapping[str, tuple[int, Durations]]:
        """How often each verb of the protocol was said, and how long some of them took."""
        ...

    def space(self) -> tuple[int, int] | None:
        """The bytes that are free where the data lies, and below how many pushes are refused; None when unknown."""
        ...

    def configuration(self) -> list[Setting]:
        """Every key that is in effect, secrets masked."""
        ...
