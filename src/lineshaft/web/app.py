"""The web application: `/stats` and `/health` as JSON, guarded by HTTP basic auth when there is a password.

It runs in the server's own event loop and only reads. The name in the credentials is not looked at; `/health` wants
none, so that a load balancer needs no password to learn that the server is there.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["build_app"]

OPEN_PATHS = frozenset({"/health"})


def build_app(info: Callable[[], dict[str, Any]], password: Callable[[], str | None]) -> Starlette:
    """The application; `info` gives what INFO gives, `password` the one that guards it at this moment."""

    async def stats(_: Request) -> Response:
        return JSONResponse(info())

    async def health(_: Request) -> Response:
        figures = info()
        return JSONResponse({"now": figures["now"], "server": figures["server"]})

    return Starlette(
        routes=[Route("/stats", stats), Route("/health", health)],
        middleware=[Middleware(BasicAuth, password=password)],
    )


class BasicAuth(BaseHTTPMiddleware):
    """Lets a request through that knows the password, or when there is none."""

    def __init__(self, app: Any, password: Callable[[], str | None]) -> None:
        super().__init__(app)
        self.password = password

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Refuse with 401 what does not know the password."""
        password = self.password()
        if not password or request.url.path in OPEN_PATHS or _knows(request, password):
            return await call_next(request)
        return PlainTextResponse("password required", 401, {"WWW-Authenticate": 'Basic realm="Lineshaft"'})


def _knows(request: Request, password: str) -> bool:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    try:
        _, _, given = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(given, password.encode())
