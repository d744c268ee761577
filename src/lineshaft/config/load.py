"""From flags, environment and files to a `Config`.

Who wins: a command-line flag, then an environment variable, then the files, then the default. Everything comes in
through the arguments, so a reload (SIGHUP) is the same call again; `reload.take_over` then decides what of the new
Config a running server uses.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from lineshaft.config.binding import Binding, address, web_address
from lineshaft.config.cron import read_cron
from lineshaft.config.entries import AuthUser, WebUser
from lineshaft.config.kinds import Kind, Secret
from lineshaft.config.model import ENVIRONMENTS, LOG_FORMATS, LOG_LEVELS, Cluster, Config, Environment, Log
from lineshaft.config.places import find_places, find_tls, need_value
from lineshaft.config.tables import read_tables
from lineshaft.config.toml import Document, read_directory
from lineshaft.errors import ConfigError

__all__ = ["Flags", "load_config"]

User = TypeVar("User", AuthUser, WebUser)


class Flags(Struct, frozen=True, kw_only=True):
    """What `lineshaft serve` was given on the command line, as text; None is a flag that was not given."""

    binding: str | None = None
    web: str | None = None
    data: str | None = None
    config: str | None = None
    environment: str | None = None
    log_level: str | None = None
    log_format: str | None = None
    ephemeral: bool = False
    cluster: bool = False


def load_config(flags: Flags, variables: Mapping[str, str], *, root: Path = Path("/")) -> Config:
    """Read and check everything; `variables` is the process environment, `root` stands for `/` in tests.

    Reads files, changes nothing, and gives the same Config for the same input. Raises ConfigError for the first
    thing that cannot be; its message is one line that names the file or flag, the key and what is allowed.

    A running server takes over on reload: `[faktory] password`, `[auth.users.NAME]`, `[web] password`, `[queues]` and
    its tables, `[[cron]]`, `[throttles]`, `[workers]`, `[retention]`, `[storage] min_free`, `[server] description` and
    `refuse_duplicate_jids`. Both bindings, both directories, TLS, `[log]`, `[storage] sync`, `interval_ms`, `jid_index`
    and `memory`, `[server] connections` and `line_limit` need a restart.
    """
    environment = _environment(flags, variables)
    places = find_places(environment, config=flags.config, data=flags.data, variables=variables, root=root)
    document = read_directory(places.config / "conf.d")
    tables: dict[str, Any] = read_tables(document)
    config = Config(
        environment=environment,
        config_dir=places.config,
        data_dir=places.data,
        ephemeral=flags.ephemeral,
        log_level=_flag("--log-level", LOG_LEVELS, flags.log_level, tables.get("log", Log()).level),
        log_format=_flag("--log-format", LOG_FORMATS, flags.log_format, tables.get("log", Log()).format),
        tls=find_tls(places.config),
        files=tuple(document.files),
        password_skipped=_is_skipped(variables),
        cron=read_cron(document),
        **tables,
    )
    config = _with_passwords(_with_bindings(config, flags), variables, document)
    _check_whole(config)
    _check_cluster(config, flags)
    return config


def _environment(flags: Flags, variables: Mapping[str, str]) -> Environment:
    if flags.environment is not None:
        environment: Environment = _flag("--environment", ENVIRONMENTS, flags.environment, None)
        return environment
    from_variable: Environment = _flag("FAKTORY_ENV", ENVIRONMENTS, variables.get("FAKTORY_ENV") or None, "development")
    return from_variable


def _flag(name: str, kind: Kind, given: str | None, default: Any) -> Any:
    """What a flag or a variable says, else the default."""
    if given is None:
        return default
    try:
        return kind.read(given)
    except ValueError:
        raise ConfigError(f'{name} must be {kind.allowed}, not "{given}"') from None


def _with_bindings(config: Config, flags: Flags) -> Config:
    need_value("--binding", flags.binding, "HOST:PORT")
    need_value("--web", flags.web, "HOST:PORT")
    return replace(
        config,
        faktory=replace(config.faktory, binding=_flag("--binding", address(), flags.binding, config.faktory.binding)),
        web=replace(config.web, binding=_flag("--web", web_address(), flags.web, config.web.binding)),
    )


def _with_passwords(config: Config, variables: Mapping[str, str], document: Document) -> Config:
    """The passwords themselves, out of the files that a value with a slash in front names."""
    own, web = config.faktory.password, config.web.password
    if config.password_skipped:
        # Their files need not exist, then: whoever skips the password often has none at hand.
        own = web = None
    else:
        if given := variables.get("FAKTORY_PASSWORD"):
            own = _opened(Secret(given), "FAKTORY_PASSWORD")
        elif own is not None:
            own = _opened(own, document.located(("faktory", "password")))
        if web is not None:
            web = _opened(web, document.located(("web", "password")))
    users = {} if config.password_skipped else _with_own_passwords(config.web.users, "web", document)
    clients = {} if config.password_skipped else _with_own_passwords(config.auth.users, "auth", document)
    for name, client in clients.items():
        _check_is_no_hash(client.password, document.located(("auth", "users", name, "password")))
    return replace(
        config,
        faktory=replace(config.faktory, password=own),
        web=replace(config.web, password=web, users=users),
        auth=replace(config.auth, users=clients),
        cluster=_with_nats_secrets(config.cluster, document),
    )


def _with_nats_secrets(cluster: Cluster, document: Document) -> Cluster:
    """What NATS asks for; nobody who skips the password of this server means that of another."""
    given = {"password": cluster.password, "token": cluster.token}
    opened = {
        key: _opened(value, document.located(("cluster", key))) for key, value in given.items() if value is not None
    }
    return replace(cluster, **opened)


def _with_own_passwords(users: dict[str, User], table: str, document: Document) -> dict[str, User]:
    """The users of a table, each password out of the file that it may name."""
    return {
        name: replace(user, password=_opened(user.password, document.located((table, "users", name, "password"))))
        for name, user in users.items()
    }


def _check_is_no_hash(password: Secret, name: str) -> None:
    """A hash here would be taken for the password, and nobody could come in."""
    if password.startswith(("$argon2", "sha256:")):
        raise ConfigError(
            f"{name} is a hash, and must be the password itself, or the file that holds it: the handshake of clients"
            " needs it (docs/security.md)"
        )


def _opened(given: Secret, name: str) -> Secret:
    """The password that a value stands for: itself, or what is in the file that it names."""
    if not given.startswith("/"):
        return given
    try:
        password = Path(given).read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise ConfigError(f"{name} names the password file {given!s}, which cannot be read: {reason}") from None
    if not password:
        raise ConfigError(f"{name} names the password file {given!s}, which is empty")
    return Secret(password)


def _is_skipped(variables: Mapping[str, str]) -> bool:
    """Any value skips the password, but those that plainly say no: nobody who writes `false` wants an open server."""
    return variables.get("FAKTORY_SKIP_PASSWORD", "").strip().lower() not in ("", "0", "false", "no", "off")


def _is_same(one: Binding, other: Binding) -> bool:
    """Whether only one of them can be had; every interface is each of them. A free port (0) is always another one."""
    return one.port == other.port != 0 and (one.host == other.host or not one.host or not other.host)


def _is_open(config: Config) -> bool:
    """Whether there is a port at which nobody is asked for a password."""
    has_pages = config.web.enabled and config.web.binding is not None
    is_open_to_jobs = config.password is None and not config.auth.users
    return is_open_to_jobs or (has_pages and config.web_password is None and not config.web.users)


def _check_cluster(config: Config, flags: Flags) -> None:
    """A node needs all of its names, and a disk."""
    cluster = config.cluster
    given = {"name": cluster.name, "node": cluster.node, "servers": cluster.servers}
    missing = [key for key, value in given.items() if value is None]
    if (flags.cluster or len(missing) < len(given)) and missing:
        where = config.config_dir / "conf.d"
        raise ConfigError(f"a node of a cluster needs {', '.join(missing)} under [cluster] in {where}/*.toml")
    if cluster.name is not None and config.ephemeral:
        raise ConfigError("--ephemeral and [cluster] cannot be together: a node keeps its copy of the jobs on disk")
    for one, other in (("tls_cert", "tls_key"), ("user", "password")):
        if (getattr(cluster, one) is None) is not (getattr(cluster, other) is None):
            raise ConfigError(f"cluster.{one} and cluster.{other} go together: give both or neither")
    ways = [key for key in ("user", "token", "nkey", "credentials") if getattr(cluster, key) is not None]
    if len(ways) > 1:
        raise ConfigError(f"cluster.{' and cluster.'.join(ways)} each say who this node is to NATS: give one of them")


def _check_whole(config: Config) -> None:
    """What no key can know alone."""
    jobs, http = config.faktory.binding, config.web.binding
    if http is not None and _is_same(jobs, http):
        raise ConfigError(
            f"jobs ({jobs}) and HTTP ({http}) cannot both have the same address: change --binding (faktory.binding)"
            ' or --web (web.binding; ":0" switches HTTP off)'
        )
    if config.environment != "development" and _is_open(config) and not config.password_skipped:
        pages = "the pages are open to all: " if config.auth.users else ""
        raise ConfigError(
            f"{pages}a password is required in {config.environment}: set FAKTORY_PASSWORD to it, or to the path of a"
            f' file that holds it, or write password = "..." under [faktory] in {config.config_dir / "conf.d"}/*.toml'
            " (FAKTORY_SKIP_PASSWORD=1 starts without one)"
        )
    if config.server.refuse_duplicate_jids and not config.storage.jid_index:
        raise ConfigError(
            "server.refuse_duplicate_jids = true needs the index that storage.jid_index = false switches off:"
            " change one of them"
        )
