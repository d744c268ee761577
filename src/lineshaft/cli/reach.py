"""The way from a command to a running server: which one is meant, and what to say when it does not answer."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from lineshaft.client import Address, Client, find_address
from lineshaft.errors import LineshaftError, Refusal, UsageError

__all__ = ["Unreachable", "data_of_server", "reach", "shown", "with_advice"]

#: How a refused password is told by the server, and a missing one by our own side of the conversation.
_PASSWORD_WISHES: Final = {
    "Invalid password": "wants another password",
    "the server asks for a password, and none was given": "asks for a password",
}

#: By OpenSSL's X509_V_ERR_..., what trusting the file would not help against: too early, too late, another host or IP.
_VERIFY_ADVICE: Final = {
    9: "set this machine's clock right, or wait",
    10: "renew it, or set this machine's clock right",
    62: "FAKTORY_URL must name a host that the certificate is for",
    64: "FAKTORY_URL must name a host that the certificate is for",
}


_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Unreachable(LineshaftError):
    """No server answers where one was looked for, or the connection broke, or it lets nobody in."""


def shown(address: Address) -> str:
    """The address as a URL without user and password."""
    return address.url


@contextmanager
def reach(variables: Mapping[str, str] | None = None, *, timeout_seconds: float = 10) -> Iterator[Client]:
    """A client of the server that the environment names (`variables`; by default that of the process).

    `timeout_seconds` bounds each call.

    Nothing but the conversation belongs into the block: every OSError there is taken for the connection's. Raises
    Unreachable, which says what to do about it, and whatever else Client raises.
    """
    variables = os.environ if variables is None else variables
    address = find_address(None, variables)
    where = shown(address)
    try:
        with Client(environment=variables, timeout_seconds=timeout_seconds, reconnect=False) as client:
            yield client
    except ConnectionRefusedError:
        raise Unreachable(
            f"no server answers at {where}: start one with `lineshaft serve`, or set FAKTORY_URL"
        ) from None
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")
        advice = _how_to_trust(error.verify_code, variables)
        raise Unreachable(f"{where} answers, but its certificate is not trusted ({reason}): {advice}") from None
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise Unreachable(
            f"{where} answers, but not in TLS ({reason}): if it has no certificate, its URL begins with tcp://"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        raise Unreachable(f"no server answers at {where} ({reason}): is FAKTORY_URL the right one?") from None
    except (Refusal, UsageError) as error:
        raise with_advice(error, variables) from None


def data_of_server(info: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> str | None:
    """Where the server that gave this INFO has its data; None when it does not say, or runs on another machine."""
    address = find_address(None, os.environ if variables is None else variables)
    if address.host not in _THIS_MACHINE:
        return None
    data = info.get("server", {}).get("data")
    return data if isinstance(data, str) else None


def with_advice(error: Refusal | UsageError, variables: Mapping[str, str]) -> LineshaftError:
    """The error itself, or an Unreachable that says how to come with the password that the server wants."""
    wish = _PASSWORD_WISHES.get(str(error))
    if wish is None:
        return error
    # To come without a password is no worse use than to come with a wrong one: the exit code is the same.
    where = shown(find_address(None, variables))
    name = variables.get("FAKTORY_PROVIDER") or "FAKTORY_URL"
    url = where.replace("//", "//:PASSWORD@")
    return Unreachable(f"the server refused: {where} {wish}: set {name}={url}, the password percent-encoded")


def _how_to_trust(verify_code: int, variables: Mapping[str, str]) -> str:
    """What to do about a certificate."""
    if verify_code in _VERIFY_ADVICE:
        return _VERIFY_ADVICE[verify_code]
    # Shown, since OpenSSL says nothing when there is no such file.
    named = variables.get("SSL_CERT_FILE")
    now = f" (now it is {named})" if named else ""
    return f"SSL_CERT_FILE=/path/public.cert.pem makes this command trust it{now}"
