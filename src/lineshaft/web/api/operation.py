"""An operation of the API: who may use it, what it takes and gives, and how a call of it is answered.

Errors are problem details (RFC 9457). A change is answered when it is on disk.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.engine import Engine
from lineshaft.engine.search.filter import Filter
from lineshaft.errors import LineshaftError, Refusal, StoreError, Unavailable
from lineshaft.web.access.accounts import Role
from lineshaft.web.access.security import visitor_of
from lineshaft.web.actions.forms import act
from lineshaft.web.lists.rows import filter_of
from lineshaft.web.problem import problem
from lineshaft.web.site import Forbidden, Site

__all__ = [
    "MOST_BODY_BYTES",
    "MOST_ROWS",
    "PAGED",
    "Call",
    "Handler",
    "Operation",
    "TooLarge",
    "Unsupported",
    "answering",
]

#: As a line of the protocol may be by default.
MOST_BODY_BYTES: Final = 16 << 20

MOST_ROWS: Final = 200

PAGED: Final = ("cursor", "limit")

_NEEDS: Final = {"push": Role.OPERATOR, "read": Role.READER, "act": Role.OPERATOR, "admin": Role.ADMIN}


class Unsupported(LineshaftError):
    """The body is of a kind that is not read."""


class TooLarge(LineshaftError):
    """The body is longer than it may be."""


class Call:
    """One request to the API."""

    def __init__(self, request: Request, site: Site, operation: "Operation", body: bytes) -> None:
        self.request = request
        self.site = site
        self.operation = operation
        self.body = body

    def path(self, name: str) -> str:
        """A part of the path."""
        value: str = self.request.path_params[name]
        return value

    def query(self, name: str) -> str:
        """A parameter of the query; empty when it is not there."""
        return self.request.query_params.get(name, "")

    def number(self, name: str, default: int, most: int, least: int = 0) -> int:
        """A number of the query. Raises Refusal."""
        text = self.query(name)
        if not text:
            return default
        if not text.isascii() or not text.isdecimal() or len(text) > 12 or not least <= int(text) <= most:
            raise Refusal(f"{name} must be a whole number from {least} to {most}")
        return int(text)

    def filter(self) -> Filter:
        """The filter of the query. Raises Refusal."""
        return filter_of(self.request.query_params.multi_items(), ("order", *PAGED))

    def look(self, view: Callable[[Engine], Any]) -> Any:
        """Read of the engine."""
        return self.site.look(view)

    async def act(self, what: str, target: str, verb: Callable[[Engine], Any]) -> Any:
        """Change something, and write it down."""
        # Whether the caller may is known already: a token for pushing is no operator.
        return await act(self.request, self.site, Role.NOBODY, what, target, verb)


Handler = Callable[[Call], Awaitable[Any]]


class Operation(Struct, frozen=True):
    """Something that can be asked for."""

    method: str
    path: str
    scope: str  #: push, read, act or admin
    told: str
    handler: Handler
    gives: Any = None  #: the type of the answer; None for an empty one
    takes: Any = None  #: the type of the body
    query: tuple[str, ...] = ()
    status: int = 200


def answering(site: Site, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    """What answers a call of an operation."""

    async def answer(request: Request) -> Response:
        try:
            _need(request, operation)
            _understand(request, operation)
            body = await _body(request) if operation.method == "POST" and operation.takes is not None else b""
            if operation.method == "GET":
                await site.pace.begin()
            given = await operation.handler(Call(request, site, operation, body))
        except Exception as error:
            return _problem(error)
        if operation.status == 204:
            return Response(status_code=204)
        return Response(msgspec.json.encode(given), operation.status, media_type="application/json")

    return answer


def _need(request: Request, operation: Operation) -> None:
    """Raises Forbidden when whoever asks may not."""
    visitor = visitor_of(request)
    if operation.scope == "push" and "push" in visitor.scopes:
        return
    if not visitor.may(_NEEDS[operation.scope]):
        raise Forbidden(_NEEDS[operation.scope])


def _understand(request: Request, operation: Operation) -> None:
    """Raises Refusal for a parameter that would not be looked at."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in operation.query:
            known = f"only {', '.join(operation.query)}" if operation.query else "none at all"
            raise Refusal(f"there is no parameter {name[:60]!r} here, {known}")
        if names.count(name) > 1:
            raise Refusal(f"{name} is given twice")


async def _body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Unsupported("the body must be application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BODY_BYTES:
            raise TooLarge(f"the body may have {MOST_BODY_BYTES >> 20} MiB")
    return bytes(body)


_CODES: Final = {"NOTFOUND": 404, "NOTUNIQUE": 409}


def _problem(error: Exception) -> Response:
    """An error as a problem detail. What is not expected is raised again, and becomes a 500."""
    status, title = 422, "refused"
    if isinstance(error, Forbidden):
        status, title, detail = 403, "not allowed", f"that takes the role {error.needed.word}, or a token's scope"
    elif isinstance(error, Unavailable | StoreError):
        status, title, detail = 503, "not at the moment", str(error)
    elif isinstance(error, Refusal):
        status = 404 if str(error).startswith("Job not found") else _CODES.get(error.code, 422)
        title, detail = {404: "not found", 409: "not unique"}.get(status, title), str(error)
    elif isinstance(error, Unsupported):
        status, title, detail = 415, "not JSON", str(error)
    elif isinstance(error, TooLarge):
        status, title, detail = 413, "too large", str(error)
    elif isinstance(error, msgspec.ValidationError | msgspec.DecodeError | UnicodeError):
        status, title, detail = 400, "invalid JSON", str(error)
    else:
        raise error
    return problem(status, title, detail)
