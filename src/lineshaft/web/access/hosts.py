"""Hosts: under which names the pages may be asked for, where no password is.

A page of another site cannot read an answer of ours, unless its own name is made to lead to our address after it was
loaded (DNS rebinding): then the browser takes us for that site. So where nobody has to say who he is, a request must
name this server as no such site can: by an address, by a name without a dot, by the machine's own name, or by one that
`[web] hosts` lists. With a password nothing of this is needed, since a browser sends it to the name under which it was
typed in, and to no other.
"""

import re
import socket
from collections.abc import Collection
from functools import cache
from ipaddress import ip_address
from typing import Final

__all__ = ["is_ours"]

#: A host and perhaps a port; an IPv6 address stands in brackets.
_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]*)(?::[0-9]+)?")


def is_ours(host: str | None, configured: Collection[str]) -> bool:
    """Whether a `Host` header names this server. One that is missing does: every browser sends it."""
    if host is None:
        return True
    match = _HOST.fullmatch(host.strip().lower())
    if match is None:
        return False
    name = match[1].strip("[]").rstrip(".")
    return "." not in name or _is_address(name) or name.endswith(".localhost") or name in {_own(), *configured}


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


@cache
def _own() -> str:
    """What this machine calls itself. What the DNS calls it is not asked for, since the answer may take its time."""
    return socket.gethostname().lower()
