"""Failures: what nobody expected is logged once, with its traceback and a reference, and told in the form that fits.

Whoever meets one is given the reference and nothing else: what went wrong stands in the log, under it. The API tells it
as a problem, a page as a page, anything else as a line of text.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lineshaft.web.problem import is_api, refusal

__all__ = ["Failures"]

log = logging.getLogger(__name__)

#: How a failure is told as a page, given its reference.
Page = Callable[[Request, str], Awaitable[Response]]


class Failures:
    """The middleware in which every failure ends; within the Guard, so that these answers carry its headers."""

    def __init__(self, app: ASGIApp, page: Page) -> None:
        self.app = app
        self.page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and answer it when that fails."""
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except ClientDisconnect:
            # Nobody is there any more to be told anything.
            return
        except Exception:
            reference = secrets.token_hex(4)
            log.exception("%s %s failed, reference %s", scope["method"], scope["path"][:200], reference)
            # Of an answer that has begun the rest is missing, by which its reader sees that it is not whole.
            if not begun:
                await (await self._told(Request(scope), reference))(scope, receive, send)

    async def _told(self, request: Request, reference: str) -> Response:
        path = request.scope["path"]
        if not is_api(path) and "text/html" in request.headers.get("accept", ""):
            return await self.page(request, reference)
        text = f"something went wrong that nobody expected; the server's log has it under the reference {reference}"
        return refusal(path, 500, text)
