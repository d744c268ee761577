"""Security: who comes in, and what every answer carries.

One middleware around everything, in this order:

1. the prefix behind a proxy (`X-Script-Name`) is taken over, if it is a path and nothing else;
2. the password: HTTP basic auth against the accounts, or against the one password; or, for the API and `/metrics`, the
   bearer token of a program; `/health` wants none;
3. where there is no password, a request names this server by a name that is ours (`hosts`);
4. a form that another site sends is refused: browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`), and
   what says nothing is no browser;
5. headers: a content security policy that allows nothing but our own files, and nobody may frame the pages.

Guessing is slowed: each wrong password from an address costs that address a longer wait, up to a few seconds, and the
comparing of hashes is done by one thread, so that it never takes a processor from the jobs.
"""

import asyncio
import base64
import binascii
import re
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lineshaft.web.access.accounts import Account, Keyring, Role, Visitor
from lineshaft.web.access.hosts import is_ours
from lineshaft.web.access.knocks import Knocks
from lineshaft.web.access.settings import AccessSettings
from lineshaft.web.problem import refusal

__all__ = ["POLICY", "Guard", "is_cross_site", "visitor_of"]

#: Wants no password, so that a load balancer need not know it.
OPEN_PATHS: Final = frozenset({"/health", "/health/live", "/health/ready", "/health/leader"})

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

#: A path: what a proxy says is written into every link.
_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]+)+")

#: For a year.
HSTS: Final = "max-age=31536000"

_NOT_OURS: Final = "this server does not go by that name: add it to [web] hosts, or set a password\n"

#: Waits after wrong passwords: seconds by how many there were lately.
WAIT_SECONDS: Final = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
MOST_ADDRESSES: Final = 10_000
#: More than so many guesses at once are turned away instead of waiting.
MOST_WAITING: Final = 50

_EVERYBODY: Final = Visitor("anyone", Role.ADMIN)


def visitor_of(request: Request) -> Visitor:
    """Who makes a request; set by the Guard."""
    visitor = request.scope["lineshaft.visitor"]
    assert isinstance(visitor, Visitor)
    return visitor


def is_cross_site(headers: Headers) -> bool:
    """Whether a browser says that another site's page made this request; what says nothing is no browser."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


class Guard:
    """The middleware around everything; `settings` gives what is in effect at the moment."""

    def __init__(self, app: ASGIApp, settings: Callable[[], AccessSettings]) -> None:
        self.app = app
        self.settings = settings
        self.keyring = Keyring()
        self.misses: OrderedDict[str, int] = OrderedDict()
        self.waiting = 0
        self.knocks = Knocks()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        prefix = headers.get("x-script-name", "").rstrip("/")
        scope["lineshaft.prefix"] = prefix if _PREFIX.fullmatch(prefix) else ""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                ours = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    ours.setdefault(name, value)
                ours.setdefault("Cache-Control", "no-store")
                if self.settings().hsts:
                    ours["Strict-Transport-Security"] = HSTS
            await send(message)

        refusal = await self._refusal(scope, headers)
        await (refusal or self.app)(scope, receive, send_guarded)

    async def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        path = scope["path"]
        scope["lineshaft.visitor"] = _EVERYBODY
        if path not in OPEN_PATHS:
            shown = _token(path, headers)
            visitor = await (self._recognise(scope, headers) if shown is None else self._admit(scope, shown))
            if isinstance(visitor, Response):
                return visitor
            if visitor is _EVERYBODY and not is_ours(headers.get("host"), self.settings().hosts):
                return refusal(path, 421, _NOT_OURS)
            scope["lineshaft.visitor"] = visitor
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"} and is_cross_site(headers):
            return refusal(path, 403, "a form of another site is not taken")
        return None

    async def _recognise(self, scope: Scope, headers: Headers) -> Visitor | Response:
        settings = self.settings()
        if not settings.accounts and not settings.password:
            return _EVERYBODY
        credentials = _credentials(headers)
        if credentials is None:
            return _who_are_you(scope["path"])
        name, given = credentials
        account = _account(name, settings.accounts, settings.password)
        # A name that does not exist takes as long as a wrong password for one that does.
        against = account or next(iter(settings.accounts), None)
        assert against is not None
        if self.keyring.is_quick(against, given):
            is_right = self.keyring.opens(against, given) and account is not None
        else:
            is_right = await self._compare(against, given) and account is not None
        if account is not None and is_right:
            self.misses.pop(_address(scope), None)
            return Visitor(name or account.name, account.role)
        return await self._turn_away(scope, name)

    async def _admit(self, scope: Scope, shown: bytes) -> Visitor | Response:
        """A program with a token."""
        for token in self.settings().tokens:
            if token.is_it(shown):
                role = Role.ADMIN if "admin" in token.scopes else Role.READER if "read" in token.scopes else Role.NOBODY
                return Visitor(f"token {token.name}", role, token.scopes)
        return await self._turn_away(scope, "a token")

    async def _compare(self, account: Account, given: bytes) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.keyring.opens, account, given)

    async def _turn_away(self, scope: Scope, who: str) -> Response:
        address = _address(scope)
        self.knocks.note(address, who, scope["path"])
        missed = self.misses.pop(address, 0) + 1
        self.misses[address] = missed
        while len(self.misses) > MOST_ADDRESSES:
            self.misses.popitem(last=False)
        if self.waiting >= MOST_WAITING:
            return refusal(scope["path"], 429, "too many wrong passwords at once", {"Retry-After": "5"})
        self.waiting += 1
        try:
            await asyncio.sleep(WAIT_SECONDS[min(missed - 1, len(WAIT_SECONDS) - 1)])
        finally:
            self.waiting -= 1
        return _who_are_you(scope["path"])


def _address(scope: Scope) -> str:
    address: str = (scope.get("client") or ("",))[0]
    return address


def _token(path: str, headers: Headers) -> bytes | None:
    """The bearer token that a request shows, where one is looked at."""
    scheme, _, shown = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not (path.startswith("/api/") or path == "/metrics"):
        return None
    return shown.strip().encode()[:1024]


def _account(name: str, accounts: tuple[Account, ...], password: str | None) -> Account | None:
    if accounts:
        return next((account for account in accounts if account.name == name), None)
    # One password for all: the name in the credentials is not looked at.
    return Account(name or "anyone", password or "", Role.ADMIN)


def _credentials(headers: Headers) -> tuple[str, bytes] | None:
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, given = base64.b64decode(encoded, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return name.decode("utf-8", "replace")[:200], given[:1024]


def _who_are_you(path: str) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="Lineshaft", charset="UTF-8"'}
    return refusal(path, 401, "password required", headers)
