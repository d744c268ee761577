"""The way from a command to a running server: which one is meant, and what to say when it does not answer."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from lineshaft.client import Address, Client, find_address
from lineshaft.errors import LineshaftError, Refusal

__all__ = ["Unreachable", "reach", "shown"]


class Unreachable(LineshaftError):
    """No server answers where one was looked for, or the connection broke, or it lets nobody in."""


def shown(address: Address) -> str:
    """The address as a URL without user and password."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{'tcp+tls' if address.is_tls else 'tcp'}://{host}:{address.port}"


@contextmanager
def reach(variables: Mapping[str, str] | None = None) -> Iterator[Client]:
    """A client of the server that the environment names (`variables`; by default that of the process).

    Nothing but the conversation belongs into the block: every OSError there is taken for the connection's. Raises
    Unreachable, which says what to do about it, and whatever else Client raises.
    """
    variables = os.environ if variables is None else variables
    where = shown(find_address(None, variables))
    try:
        with Client(environment=variables) as client:
            yield client
    except ConnectionRefusedError:
        raise Unreachable(
            f"no server answers at {where}: start one with `lineshaft serve`, or set FAKTORY_URL"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise Unreachable(f"no server answers at {where} ({reason}): is FAKTORY_URL the right one?") from None
    except Refusal as refusal:
        if str(refusal) != "Invalid password":
            raise
        raise Unreachable(
            f"{where} wants another password: set FAKTORY_URL=tcp://:PASSWORD@HOST:PORT, the password percent-encoded"
        ) from None
