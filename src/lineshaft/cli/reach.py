"""The way from a command to a running server: which one is meant, and what to say when it does not answer."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from lineshaft.client import Client
from lineshaft.errors import LineshaftError, UsageError

__all__ = ["DEFAULT_URL", "Unreachable", "reach", "server_url", "shown_url"]

DEFAULT_URL = "tcp://localhost:7419"


class Unreachable(LineshaftError):
    """No server answers where one was looked for, or the connection broke."""


def server_url(variables: Mapping[str, str]) -> str:
    """Where the server is: in the variable that FAKTORY_PROVIDER names, else in FAKTORY_URL, else the default.

    Raises UsageError when FAKTORY_PROVIDER names a variable that is not set.
    """
    provider = variables.get("FAKTORY_PROVIDER")
    if not provider:
        return variables.get("FAKTORY_URL") or DEFAULT_URL
    if "://" in provider:
        raise UsageError("FAKTORY_PROVIDER is the name of the variable that holds the URL; put the URL in FAKTORY_URL")
    url = variables.get(provider)
    if not url:
        raise UsageError(f"FAKTORY_PROVIDER names the variable {provider}, which is not set")
    return url


def shown_url(url: str) -> str:
    """The URL as it may be shown: without user and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


@contextmanager
def reach(variables: Mapping[str, str] | None = None) -> Iterator[Client]:
    """A client of the server that the environment names.

    Inside of the block belongs nothing but the conversation: every OSError there is taken for the connection's.
    Raises Unreachable, with what to do about it, and whatever Client raises.
    """
    url = server_url(os.environ if variables is None else variables)
    try:
        with Client(url) as client:
            yield client
    except ConnectionRefusedError:
        raise Unreachable(
            f"no server answers at {shown_url(url)}: start one with `lineshaft serve`, or set FAKTORY_URL"
        ) from None
    except OSError as error:
        raise Unreachable(
            f"the connection to {shown_url(url)} failed: {error.strerror or error or type(error).__name__};"
            " FAKTORY_URL says which server is meant"
        ) from None
