"""Sockets bound to the addresses of the configuration, for jobs and for pages alike.

Binding comes first and by itself, so that an address that cannot be had ends the start with one line that says which,
why, and what gives another; whoever then accepts connections is handed a socket that is bound.
"""

import os
import socket

from lineshaft.config import Binding

__all__ = ["bind"]


def bind(binding: Binding, flag: str) -> socket.socket:
    """A socket at an address; every interface, of both families where the system can, for an empty host.

    Raises OSError; its message names the flag that gives another address.
    """
    try:
        return _bind(binding)
    except UnicodeError:
        reason = "no host can have this name"
    except socket.gaierror as error:
        # The resolver numbers its errors by itself.
        reason = error.strerror or str(error)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
    raise OSError(f"cannot listen on {binding}: {reason} ({flag} HOST:PORT names another address)")


def _bind(binding: Binding) -> socket.socket:
    if not binding.host:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", binding.port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", binding.port))
    family = socket.AF_INET6 if ":" in binding.host else socket.AF_INET
    # Resolved here, since create_server tells a resolver's error as one of the system's.
    found = socket.getaddrinfo(binding.host, binding.port, family, socket.SOCK_STREAM)
    return socket.create_server(found[0][4], family=family)
