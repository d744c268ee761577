"""Where the server is: a URL, given or found in the environment.

    tcp://:password@host:port        tcp+tls://user:password@host:port

Every part may be left out but the scheme and the host. User name and password are percent-decoded.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from msgspec import Struct

from lineshaft.errors import UsageError

__all__ = ["DEFAULT_URL", "Address", "find_address", "parse_url"]

DEFAULT_PORT: Final = 7419
DEFAULT_URL: Final = f"tcp://localhost:{DEFAULT_PORT}"

#: Whether a scheme means TLS.
_SCHEMES: Final = {"tcp": False, "tcp+tls": True}

_WRONG: Final = (
    "not the URL of a server: it looks like tcp://:password@host:port or tcp+tls://:password@host:port, "
    "with a percent-encoded password and a port up to 65535"
)


class Address(Struct, frozen=True):
    """A server, and how to get in. Printing it does not show the password."""

    host: str
    port: int = DEFAULT_PORT
    is_tls: bool = False
    username: str | None = None
    password: str | None = None

    @property
    def url(self) -> str:
        """Where it is, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tcp+tls' if self.is_tls else 'tcp'}://{host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Address {self.url}>"


def parse_url(url: str) -> Address:
    """Raises UsageError, without quoting the URL: it may hold a password."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # What the resolver would stumble over: `a..b`.
        (parts.hostname or "").encode("idna")
    except ValueError:
        # Its text may quote a piece of the password, when that was not percent-encoded.
        raise UsageError(_WRONG) from None
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise UsageError(_WRONG)
    return Address(
        parts.hostname,
        DEFAULT_PORT if port is None else port,
        _SCHEMES[parts.scheme],
        _decoded(parts, "username"),
        _decoded(parts, "password"),
    )


def _decoded(parts: SplitResult, name: str) -> str | None:
    value: str | None = getattr(parts, name)
    return unquote(value) if value else None


def find_address(url: str | None, environment: Mapping[str, str]) -> Address:
    """The server at `url`, else the one that the environment names, else the one on this machine.

    `FAKTORY_PROVIDER` is the name of the variable that holds the URL, `FAKTORY_URL` the URL. Raises UsageError.
    """
    if url is not None:
        return parse_url(url)
    provider = environment.get("FAKTORY_PROVIDER")
    if provider:
        if not environment.get(provider):
            raise UsageError("FAKTORY_PROVIDER must be the name of a variable that holds the URL; there is none")
        return parse_url(environment[provider])
    return parse_url(environment.get("FAKTORY_URL") or DEFAULT_URL)
