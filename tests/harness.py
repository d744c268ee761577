"""The whole server without a socket or a clock: bytes in, bytes out, time and disk as the test wants them.

It is a `Shell`, as asyncio's is: `settle` runs what the server asked for until nothing is left to do now; `advance`
lets time pass and wakes it when it asked to be woken. Syncs end at once, or when the test says so (`hold_syncs`).
"""

import json
from collections.abc import Callable
from typing import Any

from lineshaft.clock import ManualClock
from lineshaft.engine.engine import Engine
from lineshaft.engine.hooks import Hooks
from lineshaft.engine.settings import Settings
from lineshaft.errors import StoreError
from lineshaft.server.server import Server
from lineshaft.server.session import Session
from lineshaft.server.settings import ServerSettings
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.port import Store


class Peer:
    """The client's end of a connection; also the transport that the server writes to."""

    def __init__(self, harness: "Harness") -> None:
        self.harness = harness
        self.received = b""
        self.closed = False
        self.reading = True
        self.session: Session | None = None

    # The transport

    def write(self, data: bytes) -> None:
        assert not self.closed, "written to after it was closed"
        self.received += data

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self.session is not None:
                self.session.lost()

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    # The client

    def send(self, data: bytes) -> None:
        """Send bytes, and let the server do what it can at once."""
        assert self.session is not None
        self.session.receive(data)
        self.harness.settle()

    def take(self) -> bytes:
        """What has been received since the last call."""
        received, self.received = self.received, b""
        return received

    def ask(self, line: str | bytes) -> bytes:
        """Send a line; returns what came back by then."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.take()

    def ask_json(self, line: str) -> Any:
        """Send a line whose reply is a bulk string of JSON."""
        head, _, body = self.ask(line).partition(b"\r\n")
        assert head[:1] == b"$", head
        return json.loads(body)

    def leave(self) -> None:
        """The connection breaks."""
        self.close()
        self.harness.settle()


class Harness:
    """A server in a box."""

    def __init__(
        self,
        *,
        settings: ServerSettings | None = None,
        rules: Settings | None = None,
        store: FaultyStore | None = None,
        now: int = 1_764_000_000_000,
        hooks: Hooks | None = None,
    ) -> None:
        self.clock = ManualClock(now)
        self.store = store or FaultyStore()
        self.callbacks: list[Callable[[], None]] = []
        self.wake_at: int | None = None
        self.hold_syncs = False
        self.pending_sync: tuple[FaultyStore, int] | None = None
        self.hold_apart = False
        self.pending_apart: list[tuple[Callable[[], Any], Callable[[Any, Exception | None], None]]] = []
        self.reopen_failures = 0
        engine = Engine(self.store, rules or Settings(), lambda: 0.5, self.clock(), hooks)
        self.server = Server(self.store, engine, settings or ServerSettings(), self.clock, self)
        self.server.timers.arm()

    # The shell

    def soon(self, callback: Callable[[], None]) -> None:
        self.callbacks.append(callback)

    def wake_in(self, milliseconds: int) -> None:
        self.wake_at = self.clock() + milliseconds

    def sync(self, store: Store) -> None:
        assert isinstance(store, FaultyStore)
        assert self.pending_sync is None, "two syncs at once"
        self.pending_sync = (store, store.start_sync())

    def finish_sync(self) -> None:
        assert self.pending_sync is not None
        (store, started), self.pending_sync = self.pending_sync, None
        try:
            store.finish_sync(started)
        except StoreError as failure:
            self.server.synced(failure)
        else:
            self.server.synced(None)

    def apart(self, work: Callable[[], Any], done: Callable[[Any, Exception | None], None]) -> None:
        self.pending_apart.append((work, done))

    def finish_apart(self) -> None:
        work, done = self.pending_apart.pop(0)
        try:
            outcome, failure = work(), None
        except Exception as error:
            outcome, failure = None, error
        done(outcome, failure)

    def reopen(self, store: Store) -> Store:
        assert isinstance(store, FaultyStore)
        self.pending_sync = None
        if self.reopen_failures:
            self.reopen_failures -= 1
            raise StoreError("no space left on device")
        self.store = store.crash(store.unsynced)
        return self.store

    def facts(self) -> dict[str, int]:
        return {"uptime": 7, "used_memory_mb": 42}

    # The test

    def connect(self, hello: str | None = '{"v":2}') -> Peer:
        """A connection; greeted, and past its handshake unless `hello` is None."""
        peer = Peer(self)
        peer.session = self.server.accept(peer)
        self.settle()
        if hello is not None:
            peer.take()
            assert peer.ask("HELLO " + hello) == b"+OK\r\n"
        return peer

    def worker(self, wid: str, *, beats: bool = True) -> Peer:
        """A worker's connection."""
        peer = self.connect(json.dumps({"v": 2, "wid": wid, "hostname": "h", "pid": 1, "labels": ["python"]}))
        if beats:
            assert peer.ask(json.dumps({"wid": wid}).join(["BEAT ", ""])) == b"+OK\r\n"
        return peer

    def settle(self) -> None:
        """Let the server do everything that it can do now."""
        while True:
            if self.callbacks:
                self.callbacks.pop(0)()
            elif self.pending_sync is not None and not self.hold_syncs:
                self.finish_sync()
            elif self.pending_apart and not self.hold_apart:
                self.finish_apart()
            elif self.wake_at is not None and self.wake_at <= self.clock():
                self.wake_at = None
                self.server.wake()
            else:
                return

    def advance(self, seconds: float) -> None:
        """Let time pass, waking the server whenever it asked for it."""
        end = self.clock() + round(seconds * 1000)
        while self.wake_at is not None and self.wake_at <= end:
            self.clock.now = max(self.wake_at, self.clock.now)
            self.settle()
        self.clock.now = end
        self.settle()
