"""Problems: how all under the API says that something was not done (RFC 9457), also before the API is reached."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import PlainTextResponse, Response

__all__ = ["API", "Problem", "is_api", "problem", "refusal"]

#: Where the API lies.
API: Final = "/api/v1"


class Problem(msgspec.Struct):
    """Why something was not done (RFC 9457)."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def is_api(path: str) -> bool:
    """Whether a path lies under the API."""
    return path == API or path.startswith(f"{API}/")


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an answer."""
    body = msgspec.json.encode(Problem(title, status, detail))
    return Response(body, status, headers, media_type="application/problem+json")


def refusal(path: str, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that refuses, or says what went wrong: under the API a problem, elsewhere a line of text."""
    if is_api(path):
        return problem(status, "refused" if status < 500 else "failed", text.rstrip(), headers)
    return PlainTextResponse(text, status, headers)
