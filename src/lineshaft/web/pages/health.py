"""Health, for those who watch over the process; none of it wants a password.

    GET /health         `now` and `server` of INFO; 503 while the storage is away
    GET /health/live    200 as long as the process answers at all: restart it when it does not
    GET /health/ready   200 while jobs can be pushed and fetched; 503, and why, while they cannot: send nobody here
    GET /health/leader  200 on the node that leads its cluster, and on a server that is in none; 503 on a standby

A standby of a cluster is ready while it knows a leader: it carries its clients there. It has no jobs of its own, so its
/health is 503.

A storage that is away makes it not ready, but it is alive: it comes back by itself, and a restart would not help.
With a disk that is nearly full it is ready: pushes are refused, but workers go on and make room.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lineshaft.web.site import Site

__all__ = ["HEALTH"]


async def _health(_: Request, site: Site) -> Response:
    figures = site.backend.info()
    status = 200 if site.backend.is_healthy() else 503
    return JSONResponse({"now": figures["now"], "server": figures["server"]}, status)


async def _live(_: Request, site: Site) -> Response:  # noqa: ARG001 - every answer has the same signature
    return JSONResponse({"live": True})


async def _ready(_: Request, site: Site) -> Response:
    why = site.backend.why_not_ready()
    return JSONResponse({"ready": True} if why is None else {"ready": False, "why": why}, 200 if why is None else 503)


async def _leader(_: Request, site: Site) -> Response:
    leads = site.backend.is_leading()
    return JSONResponse({"leader": leads}, 200 if leads else 503)


HEALTH: Final[dict[str, Callable[[Request, Site], Awaitable[Response]]]] = {
    "/health": _health,
    "/health/live": _live,
    "/health/ready": _ready,
    "/health/leader": _leader,
}
"""Path to what answers it."""
