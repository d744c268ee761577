"""Bindings: a host and a port, as a file has them, and as whoever listens there or connects wants them.

"127.0.0.1:7419"    one address; a name is resolved when it is used
"[::1]:7419"        an address of IPv6, in brackets
":7419"             every interface
"localhost:0"       any port that is free
"""

import ipaddress
import re
from typing import Final

from msgspec import Struct

from lineshaft.config.kinds import Kind, need

__all__ = ["Binding", "address", "web_address"]

_ADDRESS: Final = re.compile(
    r"(?P<host>[A-Za-z0-9._-]*|\[(?P<six>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?)\]):(?P<port>[0-9]{1,5})"
)
_ALLOWED: Final = '"HOST:PORT" (as "127.0.0.1:7419", "[::1]:7419"; ":7419" is every interface)'


class Binding(Struct, frozen=True):
    """Where to listen: an empty host is every interface, port 0 any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect; False when the host is a name that could be anything."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def address() -> Kind:
    """Where to listen."""
    return Kind(_ALLOWED, _read)


def web_address() -> Kind:
    """Where to listen, or `:0` for nowhere, which is read as None."""

    def read(value: object) -> Binding | None:
        return None if value == ":0" else _read(value)

    return Kind(f'{_ALLOWED}, or ":0" to switch it off', read)


def _read(value: object) -> Binding:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    six, port = match["six"], int(match["port"])
    need(port <= 65_535)
    if six is not None:
        ipaddress.IPv6Address(six)
    return Binding(match["host"] if six is None else six, port)
