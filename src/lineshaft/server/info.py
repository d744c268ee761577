"""INFO: the figures of the whole server, as the protocol gives them, and as the pages and the API ask for them."""

from typing import TYPE_CHECKING, Any

from lineshaft import __version__
from lineshaft.clock import format_instant

if TYPE_CHECKING:
    from lineshaft.server.server import Server

__all__ = ["info_of"]


def info_of(server: "Server") -> dict[str, Any]:
    """INFO, as it is in this turn; what is in memory, and no look at the disk."""
    stamp = format_instant(server.engine.state.now)
    return {
        "now": stamp,
        "server_utc_time": f"{stamp[11:19]} UTC",
        "faktory": server.engine.figures(),
        "server": {
            "description": server.settings.description,
            # The level of the protocol, which clients compare; our own version stands beside it.
            "faktory_version": "1.10.0",
            "lineshaft_version": __version__,
            # Where an operator who stands before the same machine has to look; none when all is in memory.
            **({} if server.settings.data is None else {"data": server.settings.data}),
            # Clients' types for the part above know no such figure.
            "jobs_expired": server.engine.state.totals.expired,
            "connections": len(server.sessions),
            "command_count": server.meter.total(),
            **server.shell.facts(),
        },
        **({} if server.cluster is None else {"cluster": server.cluster.summary()}),
    }
