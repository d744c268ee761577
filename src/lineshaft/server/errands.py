"""Errands: what is asked of the server without a connection of the protocol, such as by HTTP.

An errand is done at once, within the turn, and its sender is told when it is true: after the turn's commit, and after
the sync that covers it where the configuration promises that.

What is true after every call: each errand's `done` is called exactly once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lineshaft.errors import StoreError, Unavailable

if TYPE_CHECKING:
    from lineshaft.engine.engine import Engine
    from lineshaft.server.server import Server

__all__ = ["Errand", "look", "run"]


class Errand:
    """One change, and who is told of it."""

    def __init__(self, done: Callable[[Any, Exception | None], None]) -> None:
        self._done = done
        self.result: Any = None
        #: As a session has it: how many groups hold it.
        self.held = 0

    def finish(self) -> None:
        """It is on disk, as far as that was promised."""
        self._done(self.result, None)

    def fail(self, error: Exception) -> None:
        """It was refused, or the storage failed and nobody knows."""
        self._done(None, error)


def run(server: "Server", verb: "Callable[[Engine], Any]", done: Callable[[Any, Exception | None], None]) -> None:
    """Do what `verb` does with the engine, in this turn; `done` hears of the result, or why there is none."""
    errand = Errand(done)
    try:
        _refuse_if_away(server)
        server.begin_turn()
        errand.result = verb(server.engine)
    except StoreError as failure:
        errand.fail(failure)
        server.store_failed(failure)
        return
    except Exception as error:
        # A Refusal may tell of what others have changed; waiting for the sync would cost little and gain nothing here.
        errand.fail(error)
        server.need_turn()
        return
    server.errands.append(errand)
    server.need_turn()


def look(server: "Server", view: "Callable[[Engine], Any]") -> Any:
    """What `view` reads of the engine. Raises Unavailable, Refusal, StoreError."""
    if server.failed is not None:
        raise Unavailable(server.absence())
    server.begin_turn()
    try:
        return view(server.engine)
    except StoreError as failure:
        server.store_failed(failure)
        raise


def _refuse_if_away(server: "Server") -> None:
    """Raises Unavailable when nothing can be done now."""
    if server.failed is not None:
        raise Unavailable(server.absence())
    if server.stalled:
        raise Unavailable("the storage asks for a pause; try again in a moment")
    if server.stopping:
        raise Unavailable("shutdown in progress")
