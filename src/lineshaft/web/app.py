"""The web application: `/stats` and `/health` as JSON, and the form that quiets and terminates workers.

    GET  /stats    what INFO gives
    GET  /health   `now` and `server`; 503 while the storage is away. Wants no password, so that a load balancer
                   need not know it
    POST /busy     signal=quiet|terminate, wid=...|all: the worker hears of it with its next BEAT

Guarded by HTTP basic auth when there is a password; the name in the credentials is not looked at. A form that another
site sends is refused. The application runs in the server's own event loop.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from lineshaft.lifecycle import WorkerState

__all__ = ["build_app", "is_cross_site"]

OPEN_PATHS: Final = frozenset({"/health"})

SIGNALS: Final = {state.word: state for state in (WorkerState.QUIET, WorkerState.TERMINATE)}


def build_app(
    info: Callable[[], dict[str, Any]],
    signal: Callable[[str, WorkerState], None],
    *,
    password: Callable[[], str | None],
    is_healthy: Callable[[], bool],
) -> Starlette:
    """The application; `info` gives what INFO gives, `signal` tells a worker what to do, by its wid or `all`.

    `password` gives the one that guards it at this moment, `is_healthy` whether the server can take a job.
    """

    async def stats(_: Request) -> Response:
        return JSONResponse(info())

    async def health(_: Request) -> Response:
        figures = info()
        status = 200 if is_healthy() else 503
        return JSONResponse({"now": figures["now"], "server": figures["server"]}, status)

    async def busy(request: Request) -> Response:
        if is_cross_site(request):
            return PlainTextResponse("a form of another site is not taken", 403)
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        state = SIGNALS.get(form.get("signal", [""])[0])
        if state is None or "wid" not in form:
            return PlainTextResponse("signal must be quiet or terminate, and wid a worker's or all", 400)
        for wid in form["wid"]:
            signal(wid, state)
        return RedirectResponse(request.headers.get("x-script-name", "") + "/busy", 302)

    return Starlette(
        routes=[Route("/stats", stats), Route("/health", health), Route("/busy", busy, methods=["POST"])],
        middleware=[Middleware(BasicAuth, password=password)],
    )


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that another site's page made this request; what says nothing is no browser."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


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
