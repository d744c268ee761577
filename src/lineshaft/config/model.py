"""The tables of the configuration: one Struct per table, one field per key; what an operator names is in `entries`.

A new key is one line here and one row in docs/configuration.md (a test compares them). A field says what its key
may hold, with a kind, and whether a running server takes a change over: `AT_START` marks those that it does not.
The key in the file is the field's name, or `field(name=...)` where the field's own name carries the unit in which
the value is read.

Each table gets a place of its own in `TABLES`; a table that is not there is refused by name. `[[cron]]` is an array of
tables and has its own reader (`cron`).
"""

from enum import Enum
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Struct, field

from lineshaft.config.amounts import duration, size
from lineshaft.config.binding import Binding, address, web_address
from lineshaft.config.entries import ApiToken, AuthUser, Cron, Queue, Throttle, WebUser
from lineshaft.config.kinds import (
    Secret,
    choice,
    count,
    directory,
    names,
    nats_servers,
    node_name,
    secret,
    switch,
    text,
    whole,
)

__all__ = [
    "AT_START",
    "ENVIRONMENTS",
    "LOG_FORMATS",
    "LOG_LEVELS",
    "TABLES",
    "Api",
    "Auth",
    "Cluster",
    "Config",
    "Environment",
    "Faktory",
    "History",
    "Limits",
    "Log",
    "LogFormat",
    "LogLevel",
    "Plugins",
    "Queues",
    "Retention",
    "Server",
    "Storage",
    "Sync",
    "Takes",
    "Throttles",
    "Web",
    "Workers",
]

Environment = Literal["development", "staging", "production"]
LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warn", "error"]
Sync = Literal["always", "interval", "never"]

ENVIRONMENTS: Final = choice("development", "staging", "production")
LOG_FORMATS: Final = choice("console", "json")
LOG_LEVELS: Final = choice("debug", "info", "warn", "error")


class Takes(Enum):
    """When a changed key takes effect; a key that says nothing takes effect on reload."""

    AT_START = "restart"


AT_START: Final = Takes.AT_START


class Faktory(Struct, frozen=True):
    """`[faktory]`: the port that producers and workers speak to."""

    binding: Annotated[Binding, address(), AT_START] = Binding("127.0.0.1", 7419)
    password: Annotated[Secret | None, secret()] = None  #: what clients must know; None asks for none


class Auth(Struct, frozen=True):
    """`[auth]`: who may do what on the port of producers and workers."""

    users: dict[str, AuthUser] = {}  #: no key of its own: `tables` collects the `[auth.users.NAME]` here


class Web(Struct, frozen=True):
    """`[web]`: HTTP."""

    binding: Annotated[Binding | None, web_address(), AT_START] = Binding("127.0.0.1", 7420)  #: None is off
    enabled: Annotated[bool, switch(), AT_START] = True
    password: Annotated[Secret | None, secret()] = None  #: None takes the one of `[faktory]`
    #: A queue whose oldest job waits longer is shown as one that needs attention.
    slow_after_ms: Annotated[int, duration("1s", "365d")] = field(default=60_000, name="slow_after")
    #: Under which names the pages may be asked for where there is no password; beside addresses and the machine's own.
    hosts: Annotated[tuple[str, ...], names()] = ()
    #: Have browsers ask for this name over TLS only, whatever the port.
    hsts: Annotated[bool, switch()] = False
    #: From what the pages' own limits let event streams and exports take (532), and some more: else watchers alone
    #: could keep an operator out.
    connections: Annotated[int, whole(600, 1_000_000), AT_START] = 1_000
    users: dict[str, WebUser] = {}  #: no key of its own: `tables` collects the `[web.users.NAME]` here


class Api(Struct, frozen=True):
    """`[api]`: the HTTP API under `/api/v1`."""

    tokens: dict[str, ApiToken] = {}  #: no key of its own: `tables` collects the `[api.tokens.NAME]` here


class Storage(Struct, frozen=True):
    """`[storage]`: what the disk is asked for."""

    sync: Annotated[Sync, choice("always", "interval", "never"), AT_START] = "always"
    #: Between two syncs, with sync = "interval". A power cut loses this much, so it is bounded.
    interval_ms: Annotated[int, whole(1, 60_000), AT_START] = 100
    jid_index: Annotated[bool, switch(), AT_START] = True
    #: Pushes are refused below it. RocksDB wants room to compact: some files of 64 MiB, written before the old
    #: ones go. 0 switches the check off.
    min_free_bytes: Annotated[int, size("0", "1000TB")] = field(default=256_000_000, name="min_free")
    #: Caches and write buffers of RocksDB together.
    memory_bytes: Annotated[int, size("8MiB", "1TiB"), AT_START] = field(default=64 << 20, name="memory")
    #: Backups that clients ask for lie below it; None leaves it to who asks (see `server.backup`).
    backups: Annotated[str | None, directory()] = None


class Server(Struct, frozen=True):
    """`[server]`: the conversation with clients."""

    connections: Annotated[int, whole(1, 1_000_000), AT_START] = 10_000
    #: A line is a command with its whole job; it is held in memory, once per connection that sends one.
    line_limit_bytes: Annotated[int, size("1KiB", "1GiB"), AT_START] = field(default=16 << 20, name="line_limit")
    description: Annotated[str, text()] = "Lineshaft"  #: what INFO calls this server
    refuse_duplicate_jids: Annotated[bool, switch()] = False  #: needs the jid index


class Limits(Struct, frozen=True):
    """`[limits]`: how far clients can make things grow that nothing else bounds."""

    queues: Annotated[int, whole(1, 10_000_000)] = 100_000
    bulk: Annotated[int, whole(1, 1_000_000)] = 10_000
    mutates: Annotated[int, whole(1, 100_000)] = 1_000
    #: A callback of a batch may push into its parent's, and so on: each level is one more step of one commit.
    nesting: Annotated[int, whole(1, 1_000)] = 100
    result_bytes: Annotated[int, size("0", "16MiB")] = field(default=64 << 10, name="result")
    waiting: Annotated[int, whole(1, 100_000_000)] = 1_000_000
    unfinished_bytes: Annotated[int, size("1MiB", "1TiB")] = field(default=256 << 20, name="unfinished")
    batches: Annotated[int, whole(1, 100_000_000)] = 1_000_000
    custom_bytes: Annotated[int, size("1KiB", "1GiB")] = field(default=1 << 20, name="custom")
    workers: Annotated[int, whole(1, 10_000_000)] = 100_000
    labels: Annotated[int, whole(0, 1_000)] = 50


class Log(Struct, frozen=True):
    """`[log]`: what is written to stderr, and how."""

    level: Annotated[LogLevel, LOG_LEVELS, AT_START] = "info"
    format: Annotated[LogFormat, LOG_FORMATS, AT_START] = "console"


class Workers(Struct, frozen=True):
    """`[workers]`: what happens to the jobs of a worker that is gone."""

    recover_after_ms: Annotated[int, duration("0s", "1d")] = field(default=60_000, name="recover_after")
    recover_limit: Annotated[int, whole(1, 1_000_000)] = 3


class Retention(Struct, frozen=True):
    """`[retention]`: how long what is over is kept."""

    dead_ms: Annotated[int, duration("1s", "36500d")] = field(default=180 * 86_400_000, name="dead")
    dead_max: Annotated[int, count()] = 100_000
    results_ms: Annotated[int, duration("1s", "36500d")] = field(default=3_600_000, name="results")
    batches_ms: Annotated[int, duration("1s", "36500d")] = field(default=30 * 86_400_000, name="batches")
    #: A batch that is not committed, and to which nothing has happened.
    batches_open_ms: Annotated[int, duration("1s", "36500d")] = field(default=30 * 60_000, name="batches_open")


class History(Struct, frozen=True):
    """`[history]`: jobs that are over, kept so that somebody may look at them."""

    completed_ms: Annotated[int, duration("0s", "36500d")] = field(default=0, name="completed")  #: 0 keeps none
    max_jobs: Annotated[int, count()] = 1_000_000
    max_bytes: Annotated[int, size("1MiB", "1000TB")] = field(default=1 << 30, name="max_size")


class Plugins(Struct, frozen=True):
    """`[plugins]`: code of the operator's own that runs in the server."""

    enabled: Annotated[tuple[str, ...] | None, names(), AT_START] = None  #: None is all that are installed
    disabled: Annotated[tuple[str, ...], names(), AT_START] = ()
    slow_ms: Annotated[int, whole(1, 60_000), AT_START] = 5  #: a call that takes longer is named in the log


class Queues(Struct, frozen=True):
    """`[queues]`: a limit for every queue, and tables of the queues that have their own."""

    backpressure: Annotated[int | None, count()] = None
    named: dict[str, Queue] = {}  #: no key of its own: `tables` collects the `[queues.NAME]` here


class Throttles(Struct, frozen=True):
    """`[throttles]`: a table for each queue that is throttled."""

    named: dict[str, Throttle] = {}  #: no key of its own, as in `Queues`


class Cluster(Struct, frozen=True):
    """`[cluster]`: this server is a node of a cluster; None for its name is none."""

    name: Annotated[str | None, node_name(), AT_START] = None
    node: Annotated[str | None, node_name(), AT_START] = None  #: what this node is called in it
    servers: Annotated[tuple[str, ...] | None, nats_servers(), AT_START] = None  #: where NATS is
    replicas: Annotated[int, whole(1, 5), AT_START] = 3  #: how many servers of NATS keep the log
    #: Where other nodes reach the job port of this one.
    job_address: Annotated[Binding | None, address(), AT_START] = field(default=None, name="address")
    web_address: Annotated[Binding | None, address(), AT_START] = None  #: the same of its HTTP port
    #: Who this node is to NATS: one of these four ways at most.
    user: Annotated[str | None, text(), AT_START] = None
    password: Annotated[Secret | None, secret(), AT_START] = None  #: of that user
    token: Annotated[Secret | None, secret(), AT_START] = None
    nkey: Annotated[str | None, text(), AT_START] = None  #: a file with the seed of a user's key
    credentials: Annotated[str | None, text(), AT_START] = None  #: a file as `nsc` makes them
    #: How large the log grows before a copy of the jobs is stored beside it.
    snapshot_after_bytes: Annotated[int, size("1MB", "1TB"), AT_START] = field(
        default=256_000_000, name="snapshot_after"
    )
    tls_ca: Annotated[str | None, text(), AT_START] = None  #: PEM file: who signs the certificates of NATS
    tls_cert: Annotated[str | None, text(), AT_START] = None  #: PEM file: what this node shows to NATS
    tls_key: Annotated[str | None, text(), AT_START] = None  #: PEM file: its private key


TABLES: Final[dict[str, type[Struct]]] = {
    "faktory": Faktory,
    "auth": Auth,
    "web": Web,
    "api": Api,
    "storage": Storage,
    "server": Server,
    "limits": Limits,
    "log": Log,
    "workers": Workers,
    "retention": Retention,
    "history": History,
    "plugins": Plugins,
    "queues": Queues,
    "throttles": Throttles,
    "cluster": Cluster,
}


class Config(Struct, frozen=True, kw_only=True):
    """Everything an operator decides, read and checked: what the composition root builds the server from."""

    # From the command line and the environment; fixed for the life of the process.
    environment: Environment = "development"
    config_dir: Path
    data_dir: Path
    ephemeral: bool = False  #: keep everything in memory and leave `data_dir` alone
    log_level: LogLevel = "info"
    log_format: LogFormat = "console"
    tls: tuple[Path, Path] | None = None  #: certificate chain and private key, PEM
    # The tables.
    faktory: Faktory = Faktory()
    auth: Auth = Auth()
    web: Web = Web()
    api: Api = Api()
    storage: Storage = Storage()
    server: Server = Server()
    limits: Limits = Limits()
    log: Log = Log()
    workers: Workers = Workers()
    retention: Retention = Retention()
    history: History = History()
    plugins: Plugins = Plugins()
    queues: Queues = Queues()
    throttles: Throttles = Throttles()
    cluster: Cluster = Cluster()
    cron: tuple[Cron, ...] = ()
    # For those who ask where it all came from.
    files: tuple[Path, ...] = ()  #: the files of conf.d, in the order in which they were read
    password_skipped: bool = False  #: FAKTORY_SKIP_PASSWORD: no password is asked for, whatever the files say

    @property
    def password(self) -> Secret | None:
        """What clients must know, or None when none is asked for."""
        return None if self.password_skipped else self.faktory.password

    @property
    def web_password(self) -> Secret | None:
        """What HTTP asks for: its own password, else that of the clients, else None."""
        return None if self.password_skipped else self.web.password or self.faktory.password
