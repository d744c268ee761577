"""`lineshaft serve`: load the configuration, start the server, say where it is."""

import os
from collections.abc import Callable
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from lineshaft.cli.banner import start_banner
from lineshaft.cli.flag import Flag
from lineshaft.cli.logs import start_logging
from lineshaft.config import Config, Environment, Flags, LogFormat, LogLevel, load_config
from lineshaft.errors import UsageError

__all__ = ["serve"]


def serve(
    *,
    binding: Annotated[str | None, Parameter(name=["--binding", "-b"], metavar="HOST:PORT")] = None,
    web: Annotated[str | None, Parameter(name=["--web", "-w"], metavar="HOST:PORT")] = None,
    data: Annotated[str | None, Parameter(name=["--data", "-d"], metavar="DIR")] = None,
    config: Annotated[str | None, Parameter(name=["--config", "-c"], metavar="DIR")] = None,
    environment: Annotated[Environment | None, Parameter(name=["--environment", "-e"])] = None,
    log_level: Annotated[LogLevel | None, Parameter(name=["--log-level", "-l"])] = None,
    log_format: Annotated[LogFormat | None, Parameter(name="--log-format")] = None,
    ephemeral: Flag = False,
    cluster: Flag = False,
) -> int:
    """Start the server and run it until SIGTERM or SIGINT; SIGHUP reloads the configuration.

    A flag wins over an environment variable, that over the files in CONFIG/conf.d/*.toml, those over the default.

    Parameters
    ----------
    binding
        Where producers and workers connect [default: 127.0.0.1:7419].
    web
        Where HTTP is served [default: 127.0.0.1:7420]; ":0" switches it off.
    data
        Where the jobs lie [default: ~/.lineshaft/data; staging and production: /var/lib/lineshaft].
    config
        Where conf.d/*.toml and TLS files lie [default: ~/.lineshaft; staging and production: /etc/lineshaft].
    environment
        Which defaults apply, and whether a password is required [default: FAKTORY_ENV, else development].
    log_level
        How much is logged [default: info].
    log_format
        Lines for people, or JSON lines for programs [default: console].
    ephemeral
        Keep everything in memory; it is gone when the server stops.
    cluster
        Insist on being a node of a cluster: refuse to start when the files have no [cluster].
    """
    flags = Flags(
        binding=binding,
        web=web,
        data=data,
        config=config,
        environment=environment,
        log_level=log_level,
        log_format=log_format,
        ephemeral=ephemeral,
        cluster=cluster,
    )
    load = partial(load_config, flags, os.environ)
    return _run(load(), load)


def _run(config: Config, load: Callable[[], Config]) -> int:
    """Run the server. Raises UsageError when what it is built on is not installed, and whatever `daemon.run` raises."""
    try:
        from lineshaft.daemon import run  # noqa: PLC0415 - an optional dependency
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "lineshaft":
            raise
        raise UsageError(
            f"the server needs {missing.name}, which is not installed: pip install 'lineshaft[server]'"
        ) from None
    start_logging(config.log_level, config.log_format)
    return run(config, reload=load, on_started=lambda plugins: print(start_banner(config, plugins), flush=True))
