"""How NATS is reached: its servers, who this node says that it is, TLS. And what NATS's refusals mean.

```
connect ─> TCP ─> INFO of the server ─> TLS, where it asks for it ─> CONNECT: user, token, signature ─> PONG or -ERR
                                        └ where [cluster] wants TLS and the server does not ask for it: nothing is said
```

nats-py tries all servers again and again, several times a second, and tells each failure. `Complaints` puts them into
words that say what to do, once a minute each, and keeps the last for those who ask what this node waits for.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import SecureConnWantedError
from nats.protocol.parser import PERMISSIONS_ERR, STALE_CONNECTION

from lineshaft.config import Cluster
from lineshaft.errors import ConfigError

__all__ = ["Access", "Complaints", "access_of", "connect", "explain"]

log = logging.getLogger(__name__)

#: The same complaint is not told again for so long.
QUIET_SECONDS: Final = 60.0
#: One that was not heard for so long is over: not every refusal breaks the connection, and so not every mend makes one
#: anew. Longer than it takes to try three servers that do not answer at all.
OVER_SECONDS: Final = 15.0
#: How long NATS may take what was written, when there is much of it, and when the connection is closed.
FLUSH_SECONDS: Final = 1.5
CLOSE_SECONDS: Final = 1.0
#: How many different ones are remembered; more than that is a flood in which none matters.
REMEMBERED: Final = 100

OWN: Final = (
    "NATS wants a certificate of this node that it trusts: name its files as `tls_cert` and `tls_key`, and let it be"
    " signed by what nats-server names as ca_file"
)

#: Words of an error, and what to do about it. The first that fits counts. Keys are those of [cluster].
ADVICE: Final = (
    ("secure connection not available", "NATS does not ask for TLS, and nothing was said to it in the open:"
     " give nats-server a tls block, or take tls:// and tls_ca away"),
    ("mismatch", "name the servers of NATS in `servers` as their certificates do"),
    ("certificate has expired", "renew the certificate of NATS"),
    ("certificate verify failed", "name the file of the CA that signed the certificate of NATS as `tls_ca`"),
    ("certificate required", OWN),
    ("bad certificate", OWN),
    ("unknown ca", OWN),
    ("authorization violation", "NATS does not let this node in: check `user` and `password`, `token`, `nkey` or"
     " `credentials`"),
    ("authentication expired", "the `credentials` have run out: put new ones into the file"),
    ("permissions violation", "grant it to this node's user in NATS (docs/howto/cluster.md, Keep NATS to yourself)"),
    ("not enabled for account", "NATS has no JetStream for the account of this node's user: switch it on there"),
    ("serviceunavailable", "nats-server runs without JetStream, or has not found its mates yet: see `jetstream` and"
     " `routes` in its configuration"),
    ("replicas > 1", "this nats-server is in no cluster: give it `cluster` and `routes`, or set `replicas` to 1"),
    ("no suitable peers", "there are fewer servers of NATS with JetStream than `replicas`, or they have no room"),
    ("insufficient", "JetStream has no room for the log: see max_file_store in the configuration of NATS"),
)  # fmt: skip


class Access(Struct, frozen=True):
    """How NATS is reached, and what the cluster is called there."""

    name: str
    servers: tuple[str, ...]
    replicas: int = 3
    tls: ssl.SSLContext | None = None  #: None speaks TLS only with a server that asks for it
    user: str | None = None
    password: str | None = None
    token: str | None = None
    nkey: str | None = None  #: a file with the seed of a user's key
    credentials: str | None = None  #: a file as `nsc` makes them

    def __repr__(self) -> str:
        """Without what nobody is to read in a log."""
        return f"Access({self.name!r}, {self.servers!r})"

    @property
    def stream(self) -> str:
        """The log's stream, and its one subject; the buckets are called the same."""
        return f"LINESHAFT_{self.name}"


def access_of(config: Cluster) -> Access:
    """The access that `[cluster]` describes, all of whose files can be read. Raises ConfigError."""
    assert config.name is not None
    assert config.servers is not None
    for key, path in (("nkey", config.nkey), ("credentials", config.credentials)):
        if path is not None:
            _check_seed(f"cluster.{key}", Path(path))
    return Access(
        config.name,
        config.servers,
        config.replicas,
        tls=_context(config),
        user=config.user,
        password=config.password,
        token=config.token,
        nkey=config.nkey,
        credentials=config.credentials,
    )


def _context(config: Cluster) -> ssl.SSLContext | None:
    """TLS towards NATS; None where nothing asks for it."""
    assert config.servers is not None
    is_asked = any(server.startswith("tls://") for server in config.servers)
    if not is_asked and config.tls_ca is None and config.tls_cert is None:
        return None
    try:
        context = ssl.create_default_context(cafile=config.tls_ca)
        if config.tls_cert is not None:
            context.load_cert_chain(config.tls_cert, config.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the TLS files of [cluster] cannot be used: {error}") from None
    return context


def _check_seed(key: str, path: Path) -> None:
    """Read a file with a seed as nats-py will: it would look for ever for what is not in one."""
    try:
        import nkeys  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional dependency, without types
    except ImportError:
        raise ConfigError(f"{key} needs nkeys, which is not installed: pip install 'lineshaft[cluster]'") from None
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{key} names {path}, which cannot be read: {error.strerror}") from None
    is_key = key.endswith("nkey")
    seeds = [line.strip() for line in lines if line.startswith(b"SU")]
    if is_key and (len(lines) != 1 or not seeds):
        raise ConfigError(f"{key} names {path}, which is no seed of a user's key: one line that begins with SU")
    marks = (b"BEGIN NATS USER JWT", b"BEGIN USER NKEY SEED")
    if not is_key and (not seeds or not all(any(mark in line for line in lines) for mark in marks)):
        raise ConfigError(f"{key} names {path}, which is no credentials file as `nsc` makes them")
    try:
        nkeys.from_seed(bytearray(seeds[0])).wipe()
    except (nkeys.NkeysError, ValueError):
        raise ConfigError(f"{key} names {path}, whose seed is damaged") from None


def explain(error: BaseException) -> tuple[str, str]:
    """What went wrong, and what to do about it: empty where that is not known."""
    text = (str(error) or type(error).__name__).strip()
    words = text.lower().replace("_", " ")
    return text, next((advice for sign, advice in ADVICE if sign in words), "")


class Complaints:
    """What NATS has refused, for the log and for those who ask. Snapshots complain from a thread of their own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}
        #: The last one, and when it was heard.
        self._last = ("", 0.0)

    @property
    def problem(self) -> str:
        """What was heard of late, if possible something that can be mended; empty when NATS answers."""
        text, heard_at = self._last
        return text if self._clock() - heard_at < OVER_SECONDS else ""

    def hear(self, error: BaseException) -> None:
        """Something failed; that nothing came in time says less than what was heard before."""
        text, advice = explain(error)
        text = f"NATS: {text}: {advice}" if advice else f"NATS: {text}"
        now = self._clock()
        if advice or self.problem in ("", text):
            self._last = (text, now)
        if now - self._told.get(text, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[text] = now
        log.warning("%s", text)

    def over(self) -> None:
        """NATS answers."""
        self._last = ("", 0.0)
        self._told.clear()


class _Careful(Client):
    """A client that says who it is to nobody from whom it wants TLS and does not get it, and never gives up, nor waits.

    nats-py goes on in the open where the server does not ask for TLS, whatever its own options say: whoever stands
    between the two could have the password by leaving out a word. And it closes for good when a server throws it out,
    if it reads the reason before it sees the end: who is thrown out here waits to be let in again.

    And before it looks for another server it closes the connection in good order: what it has written goes out first.
    To one that is cut off or stopped it never does, and so the client would stay with it until TCP gives up, a quarter
    of an hour later. After a handshake of TLS that failed it waits for ever. Here what is lost is dropped.
    """

    wants_tls = False

    async def _process_op_err(self, e: Exception) -> None:
        if not (self.is_closed or self.is_reconnecting):
            self._drop()
        await super()._process_op_err(e)

    async def _close(self, status: int, do_cbs: bool = True) -> None:
        if status == Client.DISCONNECTED:
            # The first try to connect has failed.
            self._drop()
            self._transport = None
        await super()._close(status, do_cbs)

    async def close(self) -> None:
        try:
            await asyncio.wait_for(super().close(), CLOSE_SECONDS)
        except TimeoutError:
            self._drop()

    def _drop(self) -> None:
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()

    async def _process_err(self, err_msg: str) -> None:
        if STALE_CONNECTION in err_msg or PERMISSIONS_ERR in err_msg:
            await super()._process_err(err_msg)
            return
        error = NatsError(f"nats: {err_msg}")
        await self._error_cb(error)
        await self._process_op_err(error)

    def _connect_command(self) -> bytes:
        if self.wants_tls and not self._server_info.get("tls_required"):
            raise SecureConnWantedError
        command: bytes = super()._connect_command()
        return command


async def connect(access: Access, name: str, complaints: Complaints | None = None) -> Client:
    """Wait for a connection, which comes back by itself whenever it is lost. Raises OSError, NatsError."""
    heard = complaints if complaints is not None else Complaints()

    async def on_error(error: Exception) -> None:
        if isinstance(error, NatsError | OSError | TimeoutError):
            heard.hear(error)
        else:
            log.error("internal error in the cluster", exc_info=error)

    async def on_return() -> None:
        heard.over()

    client = _Careful()
    client.wants_tls = access.tls is not None
    try:
        await client.connect(
            servers=list(access.servers),
            name=name,
            error_cb=on_error,
            reconnected_cb=on_return,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            connect_timeout=2,
            ping_interval=1,
            max_outstanding_pings=3,
            flush_timeout=FLUSH_SECONDS,
            **_options(access),
        )
    except BaseException:
        # It is given up while it waits: its socket may be open.
        await client.close()
        raise
    return client


def _options(access: Access) -> dict[str, Any]:
    """Who this node says that it is, and what nats-py's types would not let through."""
    options = {
        # It takes whole seconds, says its type.
        "reconnect_time_wait": 0.25,
        "tls": access.tls,
        "user": access.user,
        "password": access.password,
        "token": access.token,
        "nkeys_seed": access.nkey,
        "user_credentials": access.credentials,
    }
    return {key: value for key, value in options.items() if value is not None}
