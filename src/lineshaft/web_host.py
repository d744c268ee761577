"""Where the web application meets the server: the backend that the pages see, and the HTTP server around them.

Pages know the engine's facade and nothing else; what they look at and what they change goes through the server's turns
(`server.errands`), in the same loop as everything else.
"""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import quote

import uvicorn
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from lineshaft.config import Config
from lineshaft.config.shown import shown
from lineshaft.engine.engine import Engine
from lineshaft.engine.search.scan import Seen, Sought
from lineshaft.errors import StoreError
from lineshaft.server import errands, feeding
from lineshaft.server.cluster import ClusterView
from lineshaft.server.feeding import Feeder
from lineshaft.server.info import info_of
from lineshaft.server.server import Server
from lineshaft.store.timing import Durations
from lineshaft.web.access.accounts import Account, Role, Token
from lineshaft.web.app import build_app
from lineshaft.web.backend import Setting, WebSettings
from lineshaft.web.connection import Connection
from lineshaft.web.site import Site

__all__ = ["HttpServer", "ServerBackend", "serve_http"]

T = TypeVar("T")

#: As Python's own default has them, and so the job port. uvicorn's are those of TLS 1.0, with SHA-1 and CBC.
CIPHERS: Final = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"


class ServerBackend:
    """The server, as the pages see it; `config` gives what is in effect at the moment."""

    def __init__(self, server: Server, config: Callable[[], Config], feeder: Feeder | None = None) -> None:
        self.server = server
        self.config = config
        #: What looks for jobs outside of the loop; None where the jobs are in memory.
        self.feeder = feeder

    def settings(self) -> WebSettings:
        """What is in effect at this moment."""
        config = self.config()
        return WebSettings(
            password=config.web_password,
            accounts=tuple(
                Account(name, user.password, Role[user.role.upper()]) for name, user in config.web.users.items()
            ),
            tokens=tuple(Token(name, one.token, frozenset(one.scopes)) for name, one in config.api.tokens.items()),
            slow_after_ms=config.web.slow_after_ms,
            history_ms=config.history.completed_ms,
            dead_ms=config.retention.dead_ms,
            hosts=frozenset(name.lower() for name in config.web.hosts),
            hsts=config.web.hsts and config.tls is not None,
        )

    def look(self, view: Callable[[Engine], T]) -> T:
        """What `view` reads of the engine, now."""
        found: T = errands.look(self.server, view)
        return found

    async def act(self, verb: Callable[[Engine], T]) -> T:
        """Do what `verb` does with the engine; returns when that is on disk, as far as that is promised."""
        result: T = await feeding.act(self.server, verb)
        if self.feeder is not None:
            self.feeder.rouse()
        return result

    async def seek(self, sought: Sought, *, fresh: bool) -> Seen | None:
        """One look of the search process; None where there is none."""
        return None if self.feeder is None else await self.feeder.look(sought, fresh=fresh)

    def info(self) -> dict[str, Any]:
        """What INFO gives."""
        self.server.begin_turn()
        return info_of(self.server)

    def uptime_seconds(self) -> int:
        """Since the server started."""
        return self.server.shell.facts()["uptime"]

    def is_healthy(self) -> bool:
        """Whether the server can take a job."""
        return self.server.failed is None

    def why_not_ready(self) -> str | None:
        """Why jobs can be neither pushed nor fetched at the moment; None when they can."""
        if self.server.stopping:
            return "shutdown in progress"
        if self.server.cluster is not None:
            # A standby that carries its clients to the leader is as good as that.
            if self.server.cluster.has_leader():
                return None
            problem = self.server.cluster.status()["problem"]
            return "nobody leads the cluster at the moment" + (f"; {problem}" if problem else "")
        return None if self.server.failed is None else f"storage failed: {self.server.failed}"

    def is_leading(self) -> bool:
        """Whether jobs are served here, and not by another node of the cluster."""
        return self.is_healthy() and (self.server.cluster is None or self.server.cluster.is_leading())

    def cluster(self) -> dict[str, Any] | None:
        """The cluster that the server is a node of, as CLUSTER STATUS gives it."""
        return None if self.server.cluster is None else self.server.cluster.status()

    def storage(self) -> dict[str, int]:
        """The store's own figures."""
        try:
            return self.server.store.figures()
        except StoreError:
            return {}

    def durations(self) -> Mapping[str, Durations]:
        """How long commits and syncs took, since the store was opened."""
        return self.server.store.durations()

    def verbs(self) -> Mapping[str, tuple[int, Durations]]:
        """How often each verb of the protocol was said, and how long some of them took."""
        meter = self.server.meter
        return {verb.decode(): (count, meter.durations[verb]) for verb, count in list(meter.items())}

    def space(self) -> tuple[int, int] | None:
        """The bytes that are free where the data lies, and below how many pushes are refused."""
        config = self.config()
        if config.ephemeral:
            return None
        try:
            return shutil.disk_usage(config.data_dir).free, config.storage.min_free_bytes
        except OSError:
            return None

    def configuration(self) -> list[Setting]:
        """Every key that is in effect, secrets masked."""
        config = self.config()
        found = [
            Setting("process", "environment", config.environment, False),
            Setting("process", "data", "in memory" if config.ephemeral else str(config.data_dir), False),
            Setting("process", "config", str(config.config_dir), False),
        ]
        found += [Setting(one.table, one.key, one.value, one.is_default) for one in shown(config)]
        return found


class ToLeader:
    """On a standby of a cluster: health and metrics are its own, everything else is the leader's, who is named."""

    OWN = ("/health", "/metrics")

    def __init__(self, app: ASGIApp, cluster: ClusterView, scheme: str) -> None:
        self.app = app
        self.cluster = cluster
        self.scheme = scheme

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or send there."""
        leader = self.cluster.leader_web()
        is_own = scope["type"] != "http" or scope["path"].startswith(self.OWN)
        if is_own or leader is None:
            await self.app(scope, receive, send)
            return
        query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
        await RedirectResponse(f"{self.scheme}://{leader}{quote(scope['path'])}{query}")(scope, receive, send)


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: the daemon has its own."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield


class HttpServer:
    """The application, served."""

    def __init__(self, site: Site, web: uvicorn.Server, task: "asyncio.Task[None]") -> None:
        self.site = site
        self.web = web
        self.task = task

    async def stop(self) -> None:
        """End, whoever is still connected."""
        self.site.pulse.stop()
        self.web.should_exit = True
        self.web.force_exit = True
        await self.task


async def serve_http(
    server: Server, config: Callable[[], Config], listening: socket.socket, feeder: Feeder | None = None
) -> HttpServer:
    """Serve the application on a bound socket; returns when it answers."""
    pages, site = build_app(ServerBackend(server, config, feeder))
    app = pages if server.cluster is None else ToLeader(pages, server.cluster, "https" if config().tls else "http")
    tls = config().tls
    files: dict[str, Any] = {}
    if tls is not None:
        files = {"ssl_certfile": os.fspath(tls[0]), "ssl_keyfile": os.fspath(tls[1]), "ssl_ciphers": CIPHERS}
    settings = uvicorn.Config(
        app,
        http=Connection,
        limit_concurrency=config().web.connections,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        **files,
    )
    web = _Uvicorn(settings)
    task = asyncio.create_task(web.serve([listening]))
    while not web.started and not task.done():
        await asyncio.sleep(0.005)
    site.pulse.start()
    return HttpServer(site, web, task)
