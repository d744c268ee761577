"""The composition root: builds the server from a configuration, runs it, and ends it in order.

```
Config ─> store ─> Engine ─> Server <─ AsyncShell ─ asyncio ─ sockets, timer, sync thread
                                └──> web application
```

Started: the store is open and loaded, every address is bound; only then `on_started` is called.
SIGHUP reads the configuration again and takes into effect what needs no restart; a bad one is logged and changes
nothing. SIGTERM and SIGINT stop accepting, answer what is in flight, sync, close, and the process exits with 0.
A kill instead of all that loses nothing: a start after a crash is the same as any other.
"""

import asyncio
import gc
import logging
import os
import random
import shutil
import signal
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from lineshaft.clock import system_clock
from lineshaft.config import Config, take_over
from lineshaft.config.places import server_context
from lineshaft.engine.engine import Engine
from lineshaft.engine.hooks import Hooks
from lineshaft.engine.keys import POSITION_KEY
from lineshaft.engine.settings import Settings
from lineshaft.errors import ConfigError, StoreError, UsageError
from lineshaft.event_loop import loop_factory
from lineshaft.plugin_host import PluginHost, load_plugins
from lineshaft.search.process import SearchProcess
from lineshaft.server.feeding import Feeder
from lineshaft.server.listener import AsyncShell, listen, raise_file_limit
from lineshaft.server.server import Server
from lineshaft.settings import engine_settings, server_settings
from lineshaft.sockets import bind
from lineshaft.store.directory import require_ours
from lineshaft.store.memory import MemoryStore
from lineshaft.store.port import Store
from lineshaft.store.rocks import RocksStore
from lineshaft.supervisor import Supervisor
from lineshaft.web_host import HttpServer, serve_http

if TYPE_CHECKING:
    from lineshaft.cluster.host import ClusterHost

__all__ = ["Daemon", "run"]

log = logging.getLogger(__name__)

#: How long the loop keeps the interpreter when the thread that syncs wants it, which it does for microseconds, to begin
#: and to end a sync. Python's own 5 ms are longer than most rounds of the loop, so that it was let in by chance only.
SWITCH_SECONDS: Final = 0.0005

#: What is in flight at a stop is answered within milliseconds; a disk that takes longer than this is stuck.
STOP_SECONDS = 10.0

#: How often the free space is looked at: at a gigabyte a second this is well before `min_free` is used up.
WATCH_SECONDS = 1.0


def run(config: Config, *, reload: Callable[[], Config], on_started: Callable[[list[str]], None]) -> int:
    """Run a server until it is told to stop; returns the exit code.

    `on_started` is given the names of the plugins that are loaded. Raises StoreError, OSError, or ConfigError for
    a plugin that cannot be loaded, when it cannot start.
    """
    plugins = load_plugins(config.plugins.enabled, config.plugins.disabled)
    hooks = PluginHost(plugins, config.plugins.slow_ms).hooks()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(Daemon(config, reload, hooks).serve(lambda: on_started([one.name for one in plugins])))


class Listener(Protocol):
    """What accepts connections."""

    def close(self) -> None:
        """Accept no more."""
        ...


class Daemon:
    """One running server and everything around it."""

    def __init__(self, config: Config, reload: Callable[[], Config], hooks: Hooks | None = None) -> None:
        self.config = config
        self.reload = reload
        self.hooks = hooks
        self.stopping = asyncio.Event()
        self.exit_code = 0
        self.cluster: ClusterHost | None = None
        self.supervisor = Supervisor(os.environ)
        #: What looks through the jobs outside of the loop; none where they are in memory.
        self.search: SearchProcess | None = None
        self.feeder: Feeder | None = None
        #: One thread, so that of two reloads the later one is taken over last.
        self.readers = ThreadPoolExecutor(max_workers=1)

    async def serve(self, on_started: Callable[[], None]) -> int:
        """Start, run until told to stop, stop."""
        loop = asyncio.get_running_loop()
        raise_file_limit(self.config.server.connections + self.config.web.connections)
        shell = AsyncShell(loop, lambda: open_store(self.config))
        try:
            listener, web = await self._start(shell)
            on_started()
            self.supervisor.ready()
            self._show_life(loop)
            await self.stopping.wait()
            self.supervisor.stopping()
            listener.close()
            await self._finish()
            self._tell_end()
            await self._stop_what_is_around(web)
        finally:
            self._let_go(shell)
        return self.exit_code

    async def _start(self, shell: AsyncShell) -> tuple[Listener, HttpServer | None]:
        """Open the store, and then the addresses."""
        config, loop = self.config, asyncio.get_running_loop()
        self.server = shell.server = self._build(shell)
        if not config.ephemeral:
            self.search = SearchProcess(config.data_dir)
            self.feeder = Feeder(self.server, self.search.look)
        self._watch(loop)
        shell.after_sync = self._check_space
        # Before any address is bound: whoever sees one open may send a signal at once.
        self._hear_signals(loop)
        # HTTP first: whoever sees the job port open may count on both.
        web = await self._serve_web()
        listening = bind(config.faktory.binding, "-b")
        if self.cluster is not None:
            listener: Listener = await self.cluster.start(listening, tls_context(config), config)
        else:
            listener = await listen(self.server, listening, tls_context(config))
        self.server.need_turn()
        _calm_garbage_collector()
        sys.setswitchinterval(SWITCH_SECONDS)
        return listener, web

    def _tell_end(self) -> None:
        held = self.server.engine.figures()["sets"]["working"]
        jobs = f"{held} job{'' if held == 1 else 's'}"
        log.info("stopped%s", f"; workers hold {jobs}, and may acknowledge when it runs again" if held else "")

    async def _stop_what_is_around(self, web: HttpServer | None) -> None:
        if self.cluster is not None:
            await self.cluster.stop()
        if web is not None:
            await web.stop()
        if self.feeder is not None and self.search is not None:
            await self.feeder.stop()
            await self.search.stop()

    def _let_go(self, shell: AsyncShell) -> None:
        """Close the store, also after a start that failed."""
        self.readers.shutdown(wait=False)
        shell.close()
        if hasattr(self, "server"):
            self.server.store.close()
        if self.cluster is not None:
            self.cluster.local.close()
        shell.wait_apart()

    def _build(self, shell: AsyncShell) -> Server:
        """The server on its store; on a node of a cluster it has one only while it leads.

        Raises StoreError, UsageError for a data directory with somebody else's files in it.
        """
        config = self.config
        if not config.ephemeral:
            require_ours(config.data_dir)
        rules, settings = engine_settings(config), server_settings(config)
        if config.cluster.name is None:
            store = open_store(config)
            try:
                refuse_a_replica(store)
                engine = Engine(store, rules, random.random, system_clock(), self.hooks)
            except BaseException:
                store.close()
                raise
            return Server(store, engine, settings, system_clock, shell)
        self.cluster = cluster = cluster_host(config, self._give_up)
        shell.open_store = cluster.reopen
        empty = MemoryStore()
        engine = Engine(empty, rules, random.random, system_clock(), self.hooks)
        server = Server(empty, engine, settings, system_clock, shell, cluster.group)
        cluster.adopt(server)
        return server

    def _give_up(self, error: StoreError) -> None:
        """A node of a cluster cannot go on: end, and let the supervisor start it anew."""
        log.critical("%s", error)
        self.exit_code = 1
        self.stopping.set()

    def _hear_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _show_life(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the supervisor's watchdog know that the loop turns, for as long as it does."""
        if self.supervisor.every_seconds is not None:
            self.supervisor.alive()
            loop.call_later(self.supervisor.every_seconds, self._show_life, loop)

    def _reload(self) -> None:
        """Read the configuration again, in a thread: ten thousand periodic jobs take seconds."""
        self.supervisor.reloading()
        asyncio.get_running_loop().run_in_executor(self.readers, self._read).add_done_callback(self._take_over)

    def _read(self) -> tuple[Config, list[str], Settings]:
        """A new configuration as far as it needs no restart, what does, and the rules. Raises ConfigError."""
        config, waiting = take_over(self.config, self.reload())
        return config, waiting, engine_settings(config)

    def _take_over(self, read: "asyncio.Future[tuple[Config, list[str], Settings]]") -> None:
        """Take what was read into effect."""
        self.supervisor.ready()
        try:
            config, waiting, rules = read.result()
        except ConfigError as error:
            log.error("the configuration was not reloaded: %s", error)
            return
        self.config = config
        server = self.server
        server.apply(server_settings(config))
        server.begin_turn()
        server.engine.apply(rules)
        server.need_turn()
        log.info("the configuration was reloaded")
        if waiting:
            log.warning("changed, but only a restart takes it into effect: %s", ", ".join(waiting))

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look how full the disk is, and whether a MUTATE can be fed, now and every second."""
        self._check_space()
        if self.feeder is not None:
            self.feeder.rouse()
        loop.call_later(WATCH_SECONDS, self._watch, loop)

    def _check_space(self) -> None:
        """Refuse pushes while the disk has less than `min_free` left; FETCH and ACK go on and make room."""
        least = self.config.storage.min_free_bytes
        if not self.config.ephemeral:
            with suppress(OSError):
                free = shutil.disk_usage(self.config.data_dir).free
                refusal = f"storage is low: {free >> 20} MB free, and min_free is {least >> 20} MB"
                self.server.engine.state.push_refusal = refusal if free < least else None

    async def _serve_web(self) -> HttpServer | None:
        binding = self.config.web.binding
        if binding is None or not self.config.web.enabled:
            return None
        # Bound here: uvicorn ends the process when it cannot have an address.
        return await serve_http(self.server, lambda: self.config, bind(binding, "-w"), self.feeder)

    async def _finish(self) -> None:
        """Answer what is in flight, sync, and close every connection."""
        server, loop = self.server, asyncio.get_running_loop()
        server.stop()
        end = loop.time() + STOP_SECONDS
        while not server.is_idle() and loop.time() < end:
            await asyncio.sleep(0.001)
        server.end_turn()
        await loop.run_in_executor(None, server.store.sync)
        for session in list(server.sessions):
            session.transport.close()
        while server.sessions and loop.time() < end:
            await asyncio.sleep(0.001)


def open_store(config: Config) -> Store:
    """The store that the configuration asks for. Raises StoreError."""
    if config.ephemeral:
        return MemoryStore()
    return RocksStore(config.data_dir, memory_bytes=config.storage.memory_bytes)


def refuse_a_replica(store: Store) -> None:
    """Raises StoreError for the store of a cluster's node: what a single server writes there no other node has."""
    if store.get(POSITION_KEY) is not None:
        raise StoreError(
            "the jobs here are a cluster's: start with its [cluster], or run `lineshaft cluster leave` to make of this"
            " copy a server of its own"
        )


def cluster_host(config: Config, failed: Callable[[StoreError], None]) -> "ClusterHost":
    """The node that the configuration asks for. Raises UsageError when nats-py is missing, ConfigError, StoreError."""
    try:
        from lineshaft.cluster.host import ClusterHost  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "lineshaft":
            raise
        raise UsageError(
            f"a cluster needs {missing.name}, which is not installed: pip install 'lineshaft[cluster]'"
        ) from None
    return ClusterHost(config.cluster, config.data_dir, lambda: open_store(config), failed)


def tls_context(config: Config) -> ssl.SSLContext | None:
    """TLS 1.2 and up with the configured certificate; None without one. Raises ConfigError for a bad one."""
    return server_context(*config.tls) if config.tls is not None else None


def _calm_garbage_collector() -> None:
    """What exists now stays; what comes is mostly freed by reference counts, so look for circles rarely.

    A look keeps everybody waiting for about 0.2 us per new object, 4 ms for these 20,000. One at all objects takes
    50 ms with 10,000 connections, and comes only when there have been 50 million more than went.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)
