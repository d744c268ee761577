"""Where configuration and data lie: by flag, else where the environment (development, staging, production) has them.

Looking for the data in another folder than last time looks like losing it. So both places are always absolute,
the start shows them, and a configuration directory that was named but does not exist stops the start.

The certificate and the key of TLS lie there too; what is wrong with them is told in words.
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from lineshaft.config.model import Environment
from lineshaft.errors import ConfigError

__all__ = ["Places", "find_data_directory", "find_places", "find_tls", "need_value", "server_context"]

#: How OpenSSL names a key that is not the certificate's.
_MISMATCH: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH")


class Places(Struct, frozen=True):
    """The two directories, absolute; neither is made here."""

    config: Path
    data: Path


def find_places(
    environment: Environment,
    *,
    config: str | None,
    data: str | None,
    variables: Mapping[str, str],
    root: Path = Path("/"),
) -> Places:
    """Both directories; `config` and `data` are what the flags say. `root` stands for `/` in tests.

    Raises ConfigError for a named configuration directory that is none, for a flag that is there but empty, and for
    development places without a HOME.
    """
    need_value("--config", config, "a directory")
    data_dir = find_data_directory(environment, data=data, variables=variables, root=root)
    config_dir = _absolute(config, variables) if config else _default_config(environment, variables, root)
    if config and not os.path.isdir(config_dir):
        raise ConfigError(f"--config {config_dir}: there is no such directory; make it, or leave --config out")
    return Places(config_dir, data_dir)


def find_data_directory(
    environment: Environment, *, data: str | None, variables: Mapping[str, str], root: Path = Path("/")
) -> Path:
    """The data directory alone, for whoever needs no configuration. Raises ConfigError."""
    need_value("--data", data, "a directory")
    return _absolute(data, variables) if data else _default_data(environment, variables, root)


def need_value(flag: str, given: str | None, what: str) -> None:
    """Raises ConfigError for a flag that was given an empty value.

    `--data "$JOBS"` without such a variable means anything but the default: jobs would go where nobody looks.
    """
    if given == "":
        raise ConfigError(
            f"{flag} is empty (from a shell variable that is not set?): give it {what}, or leave {flag} out"
        )


def find_tls(config_dir: Path) -> tuple[Path, Path] | None:
    """Certificate and key, when both lie in the configuration directory; None when neither does.

    Raises ConfigError when one stands alone: a server that then spoke plain text would betray whoever put it there.
    """
    pair = config_dir / "public.cert.pem", config_dir / "private.key.pem"
    try:
        there = [file.exists() for file in pair]
    except OSError as error:
        raise ConfigError(f"{config_dir}: cannot be read: {error.strerror}") from None
    if not any(there):
        return None
    if not all(there):
        present, missing = pair if there[0] else reversed(pair)
        raise ConfigError(f"{present}: TLS needs {missing.name} beside it; add that, or take this file away")
    return pair


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and up with this certificate chain and its key, both PEM.

    Raises ConfigError, in one line that names both files and what is wrong. It never asks for a passphrase, not even
    on a terminal: a server that starts by itself one day would wait for it for ever.
    """
    asked = False

    def refuse_passphrase() -> bytes:
        nonlocal asked
        asked = True
        return b""

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, refuse_passphrase)
    except OSError as error:
        fault = _fault(certificate, key, error, is_encrypted=asked)
        raise ConfigError(f"{certificate} and {key} cannot be used for TLS: {fault}") from None
    return context


def _fault(certificate: Path, key: Path, error: OSError, *, is_encrypted: bool) -> str:
    """What is wrong, by looking at the files once more: OpenSSL says `PEM lib` of almost everything."""
    for file in (certificate, key):
        try:
            file.read_bytes()
        except OSError as unreadable:
            return f"{file.name} cannot be read: {unreadable.strerror}"
    if not _is_certificate(certificate):
        return f"{certificate.name} is not a certificate in PEM form"
    if is_encrypted:
        return (
            f"{key.name} is encrypted, and nobody is there to ask for its passphrase; store it without one"
            f" (openssl pkey -in {key.name} -out NEWFILE)"
        )
    if isinstance(error, ssl.SSLError) and error.reason in _MISMATCH:
        return "the key does not belong to the certificate"
    if "PEM" in str(error):
        return f"{key.name} is not a private key in PEM form"
    return f"OpenSSL refuses them: {error.strerror or error}"


def _is_certificate(file: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(file)
    except ssl.SSLError:
        return False
    return True


def _default_config(environment: Environment, variables: Mapping[str, str], root: Path) -> Path:
    if environment == "development":
        return _home(variables) / ".lineshaft"
    ours, theirs = root / "etc" / "lineshaft", root / "etc" / "faktory"
    return theirs if os.path.isdir(theirs) and not os.path.isdir(ours) else ours


def _default_data(environment: Environment, variables: Mapping[str, str], root: Path) -> Path:
    if environment == "development":
        return _home(variables) / ".lineshaft" / "data"
    return root / "var" / "lib" / "lineshaft"


def _home(variables: Mapping[str, str]) -> Path:
    home = variables.get("HOME")
    if not home:
        raise ConfigError("HOME is not set, so ~/.lineshaft is nowhere: name the directories with --config and --data")
    return Path(home)


def _absolute(text: str, variables: Mapping[str, str]) -> Path:
    """A path as a flag gives it. A shell leaves the tilde of `--data=~/x` alone, so it is read here."""
    if text == "~" or text.startswith("~/"):
        text = str(_home(variables)) + text[1:]
    return Path(os.path.abspath(text))
