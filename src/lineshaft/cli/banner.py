"""What the server says when it has started: where it listens, where the data lies, what +OK is worth.

The reference server says little of this, and jobs that seemed lost were only looked for in another folder.
"""

from collections.abc import Sequence

from lineshaft import __version__
from lineshaft.config import Binding, Config

__all__ = ["start_banner"]

_SYNC = {
    "always": "always (+OK means on disk)",
    "interval": "every {ms} ms (a power cut may lose what was accepted since the last sync)",
    "never": "never (a power cut may lose what the operating system had not written yet)",
}


def start_banner(config: Config, plugins: Sequence[str] = ()) -> str:
    """Several lines of plain text, without a newline at the end, and never with a password in them."""
    rows = {
        "jobs": _listening(config.faktory.binding, "tcp+tls" if config.tls else "tcp"),
        "web": _listening(config.web.binding, "http") if config.web.binding else "off",
        "data": "memory only (--ephemeral): gone when the server stops" if config.ephemeral else str(config.data_dir),
        "config": _config_row(config),
        "sync": "none (--ephemeral)" if config.ephemeral else _sync_row(config),
        "password": _password_row(config),
        "TLS": f"on ({config.tls[0]})" if config.tls else "off",
    }
    if config.cluster.name is not None:
        rows["sync"] = "by the cluster's log (+OK means that a majority has it)"
        rows["cluster"] = f"{config.cluster.name}, as node {config.cluster.node}"
    if plugins:
        rows["plugins"] = ", ".join(plugins)
    head = f"Lineshaft {__version__}, {config.environment}"
    return "\n".join([head, *(f"  {name:<9} {value}" for name, value in rows.items())])


def _listening(binding: Binding, scheme: str) -> str:
    return f"{scheme}://{binding}" + (" (every interface)" if not binding.host else "")


def _config_row(config: Config) -> str:
    count = len(config.files)
    found = "no file in conf.d, so defaults" if not count else f"{count} file{'s' if count > 1 else ''} in conf.d"
    return f"{config.config_dir} ({found})"


def _sync_row(config: Config) -> str:
    return _SYNC[config.storage.sync].format(ms=config.storage.interval_ms)


def _password_row(config: Config) -> str:
    if config.password or config.auth.users:
        return "required"
    skipped = " (FAKTORY_SKIP_PASSWORD)" if config.password_skipped else ""
    is_open = "" if config.faktory.binding.is_local else ", and other machines can connect"
    return f"none{skipped}{is_open}"
