"""Where configuration and data lie: by flag, else where the environment (development, staging, production) has them.

Looking for the data in another folder than last time looks like losing it. So both places are always absolute,
the start shows them, and a configuration directory that was named but does not exist stops the start.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from lineshaft.config.model import Environment
from lineshaft.errors import ConfigError

__all__ = ["Places", "find_places", "find_tls"]


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

    Raises ConfigError for a named configuration directory that is none, and for development places without
    a HOME.
    """
    config_dir = _absolute(config, variables) if config else _default_config(environment, variables, root)
    if config and not os.path.isdir(config_dir):
        raise ConfigError(f"--config {config_dir}: there is no such directory; make it, or leave --config out")
    return Places(config_dir, _absolute(data, variables) if data else _default_data(environment, variables, root))


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
