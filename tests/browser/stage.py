"""A whole server in this process, with its pages, for browsers to look at: real sockets, a real store, a clock to move.

It runs in an event loop of its own thread; `do` runs something in there, as the server's own code would. Jobs and
workers come by the protocol, as they always do.
"""

import asyncio
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lineshaft.clock import system_clock
from lineshaft.config import Binding, Config
from lineshaft.engine.engine import Engine
from lineshaft.server.listener import AsyncShell, listen
from lineshaft.server.server import Server
from lineshaft.settings import engine_settings, server_settings
from lineshaft.sockets import bind
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store
from lineshaft.web.site import Site
from lineshaft.web_host import serve_http
from wire_client import WireClient

T = TypeVar("T")


@dataclass
class Stage:
    """The server, seen from the test's thread."""

    loop: asyncio.AbstractEventLoop
    server: Server
    site: Site
    port: int
    web_port: int
    clock: "ShiftedClock"

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://127.0.0.1:{self.web_port}"

    def do(self, work: Callable[[], T]) -> T:
        """Run `work` in the server's loop; returns what it returns."""

        async def run() -> T:
            self.server.begin_turn()
            result = work()
            self.server.need_turn()
            return result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(60)

    def clear(self) -> None:
        """Begin with nothing."""
        self.do(self.server.engine.flush)
        self.site.audit.going_on.clear()

    def client(self) -> WireClient:
        """A producer."""
        return WireClient(self.port)

    def worker(
        self, wid: str, hostname: str = "web-1", labels: tuple[str, ...] = ("python",), pid: int = 4711
    ) -> WireClient:
        """A worker process, which has sent a BEAT."""
        hello = {"v": 2, "wid": wid, "hostname": hostname, "pid": pid, "labels": list(labels)}
        client = WireClient(self.port, hello)
        client.command(b"BEAT " + json.dumps({"wid": wid, "rss_kb": 180_000}).encode())
        return client

    def push(self, *jobs: dict[str, Any]) -> None:
        """Push jobs; what a job lacks is made up."""
        with self.client() as client:
            for number in range(0, len(jobs), 1000):
                chunk = [{"jobtype": "job", "args": [], "jid": jid(), **job} for job in jobs[number : number + 1000]]
                assert client.command(b"PUSHB " + json.dumps(chunk).encode()) == b"{}"


_names = random.Random(7)


def jid() -> str:
    """A jid as clients make them."""
    return f"{_names.getrandbits(96):024x}"


class ShiftedClock:
    """The machine's clock, moved."""

    def __init__(self) -> None:
        self.shift_ms = 0

    def __call__(self) -> int:
        return system_clock() + self.shift_ms


@contextmanager
def staged(root: Path, *, open_store: Callable[[], Store] = MemoryStore, **tables: Any) -> Iterator[Stage]:
    """A server with these tables of configuration, until the block ends."""
    config = Config(config_dir=root, data_dir=root, ephemeral=True, **tables)
    clock = ShiftedClock()
    ready: list[Stage] = []
    started, stopping = threading.Event(), asyncio.Event()
    failure: list[BaseException] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        shell = AsyncShell(loop, open_store)
        store = open_store()
        engine = Engine(store, engine_settings(config), random.random, clock())
        server = shell.server = Server(store, engine, server_settings(config), clock, shell)
        web_socket, wire_socket = bind(Binding("127.0.0.1", 0), "-w"), bind(Binding("127.0.0.1", 0), "-b")
        web = await serve_http(server, lambda: config, web_socket)
        listener = await listen(server, wire_socket, None)
        server.need_turn()
        ports = wire_socket.getsockname()[1], web_socket.getsockname()[1]
        ready.append(Stage(loop, server, web.site, *ports, clock))
        started.set()
        await stopping.wait()
        listener.close()
        server.stop()
        await web.stop()
        for session in list(server.sessions):
            session.transport.close()
        await asyncio.sleep(0.05)
        shell.close()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # told in the test's thread
            failure.append(error)
            started.set()

    thread = threading.Thread(target=run, name="stage")
    thread.start()
    assert started.wait(60), "the server does not start"
    if failure:
        raise failure[0]
    try:
        yield ready[0]
    finally:
        ready[0].loop.call_soon_threadsafe(stopping.set)
        thread.join(60)
    if failure:
        raise failure[0]
