"""Problems: how all under the API says that something was not done (RFC 9457), also before the API is reached."""

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import PlainTextResponse, Response

__all__ = ["API", "Problem", "problem", "refusal"]

#: Where the API lies.
API: Final = "/api/v1"


class Problem(msgspec.Struct):
    """Why something was not done (RFC 9457)."""

    title: str
    status: int
    detail: str
    type: str = "about:blank"


def problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """A problem as an answer."""
    body = msgspec.json.encode(Problem(title, status, detail))
    return Response(body, status, headers, media_type="application/problem+json")


def refusal(path: str, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that refuses: under the API a problem, elsewhere a line of text."""
    if path == API or path.startswith(f"{API}/"):
        return problem(status, "refused", text.rstrip(), headers)
    return PlainTextResponse(text, status, headers)
