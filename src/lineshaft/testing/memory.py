"""A server in memory, and connections to it that are calls: no sockets, no threads, no clock but the one handed in.

It is the server's own code, from the protocol down to the engine; only the world around it is another: what the server
asks for is done before a call returns, and time passes when somebody says so, or waits.
"""

import random
import threading
from collections.abc import Callable
from typing import Any, Final

from lineshaft.clock import ManualClock
from lineshaft.engine.engine import Engine
from lineshaft.engine.settings import Settings
from lineshaft.server.server import Server
from lineshaft.server.session import Session
from lineshaft.server.settings import ServerSettings
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store

__all__ = ["MemoryServer", "MemoryStream"]

#: Longer than anything that the server does by itself while somebody waits for a reply.
STEP_SECONDS: Final = 0.5


class MemoryServer:
    """The server's shell, and its clock. One thread at a time is in it; each waits for its turn."""

    def __init__(self, clock: ManualClock, rules: Settings, chance: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self._callbacks: list[Callable[[], None]] = []
        self._wake_at: int | None = None
        self._synced = False
        store = MemoryStore()
        engine = Engine(store, rules, chance, clock())
        self.server = Server(store, engine, ServerSettings(description="Lineshaft, in memory"), clock, self)
        self.server.timers.arm()

    # What the server asks of the world

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back before the call that is under way returns."""
        self._callbacks.append(callback)

    def wake_in(self, milliseconds: int) -> None:
        """Wake the server when so much time has passed."""
        self._wake_at = self.clock() + milliseconds

    def sync(self, store: Store) -> None:
        """Memory is as durable as it gets."""
        store.sync()
        self._callbacks.append(lambda: self.server.synced(None))

    def apart(self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]) -> None:
        """There is one thread, so it is done before the call that is under way returns."""

        def both() -> None:
            try:
                outcome = work()
            except Exception as error:
                done(None, error)
            else:
                done(outcome, None)

        self._callbacks.append(both)

    def reopen(self, store: Store) -> Store:
        """Memory does not fail."""
        return store

    def facts(self) -> dict[str, int]:
        """What INFO shows of the process."""
        return {"uptime": 0, "used_memory_mb": 0}

    # What a test does

    def settle(self) -> None:
        """Have the server do all that it can do now."""
        with self.lock:
            while True:
                if self._callbacks:
                    self._callbacks.pop(0)()
                elif self._wake_at is not None and self._wake_at <= self.clock():
                    self._wake_at = None
                    self.server.wake()
                else:
                    return

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due happen at its time."""
        with self.lock:
            end = self.clock() + round(seconds * 1000)
            while self._wake_at is not None and self._wake_at <= end:
                self.clock.now = max(self._wake_at, self.clock.now)
                self.settle()
            self.clock.now = end
            self.settle()

    def connect(self) -> "MemoryStream":
        """A connection."""
        with self.lock:
            return MemoryStream(self)


class MemoryStream:
    """Both ends of a connection: the transport of the server's session, and the stream of a client."""

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._received = b""
        self._closed = False
        self._session: Session | None = server.server.accept(self)
        server.settle()

    # The server's end

    def write(self, data: bytes) -> None:
        """Bytes for the client."""
        self._received += data

    def close(self, farewell: bytes = b"") -> None:
        """Close, from either end; a client's farewell goes out first."""
        with self._server.lock:
            if farewell and self._session is not None and not self._closed:
                self._session.receive(farewell)
                self._server.settle()
            if not self._closed:
                self._closed = True
                if self._session is not None:
                    self._session.lost()
            self._server.settle()

    def abort(self) -> None:
        """Close now."""
        self.close()

    def get_write_buffer_size(self) -> int:
        """The client takes everything at once."""
        return 0

    def pause_reading(self) -> None:
        """Nothing arrives by itself."""

    def resume_reading(self) -> None:
        """Nothing arrives by itself."""

    # The client's end

    def ask(self, data: bytes) -> bytes:
        """Send, and return what comes back at once."""
        with self._server.lock:
            if data and self._session is not None and not self._closed:
                self._session.receive(data)
                self._server.settle()
            received, self._received = self._received, b""
            return received

    def carry(self, data: bytes, seconds: float) -> bytes:
        """Send, and return what comes back first, as soon as enough time has passed. Raises TimeoutError."""
        with self._server.lock:
            received = self.ask(data)
            while not received and not self._closed:
                if seconds <= 0:
                    raise TimeoutError("the server did not answer in time")
                self._server.advance(min(STEP_SECONDS, seconds))
                seconds -= STEP_SECONDS
                received = self.ask(b"")
            return received

    def is_silent(self) -> bool:
        """Whether the server has neither closed nor spoken."""
        return not (self._received or self._closed)


def half() -> float:
    """Chance that is none, for tests that want to know when a job is tried again."""
    return 0.5


def dice(seed: int) -> Callable[[], float]:
    """Chance that is the same each time."""
    return random.Random(seed).random
