"""The site: what all pages share, and how each is answered.

A handler reads what it shows with `look`, in one step of the loop, and hands it to `page`. A page that several browsers
keep live is rendered once a second for all of them (`X-Live`), whoever they are, as long as they would see the same.
"""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from lineshaft.engine.engine import Engine
from lineshaft.engine.views.views import Overview
from lineshaft.web.access.accounts import Role
from lineshaft.web.access.audit import Audit
from lineshaft.web.access.security import visitor_of
from lineshaft.web.backend import Backend
from lineshaft.web.figures.latencies import Latencies
from lineshaft.web.figures.pulse import Pulse
from lineshaft.web.pace import Pace
from lineshaft.web.render import Renderer, href, language_of, prefix_of

__all__ = ["Forbidden", "Site"]

T = TypeVar("T")

#: A live page is rendered again after so long, however many ask for it.
SHARED_SECONDS: Final = 0.9
MOST_SHARED: Final = 64

#: The menu counts batches so far.
MOST_BATCHES: Final = 1000


class Forbidden(Exception):
    """The visitor's role does not allow it."""

    def __init__(self, needed: Role) -> None:
        super().__init__(needed.word)
        self.needed = needed


class Flash(Struct, frozen=True):
    """A note of what was just done."""

    text: str
    bad: bool = False


class Site:
    """Everything that the handlers share."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.pace = Pace()
        self.renderer = Renderer(self.pace)
        self.audit = Audit()
        self.pulse = Pulse(backend)
        self.pulse.each_second = self._note_ends
        self.latencies = Latencies(backend, self.pace)
        self.host = socket.gethostname()
        #: Exports that are being sent.
        self.exports = 0
        #: Searches that are being told to browsers.
        self.streams = 0
        self._batches = (float("-inf"), 0)
        self._shared: OrderedDict[tuple[str, ...], tuple[float, bytes]] = OrderedDict()
        #: Pages that are being made for somebody; None comes of one that failed.
        self._making: dict[tuple[str, ...], asyncio.Future[bytes | None]] = {}

    def look(self, view: Callable[[Engine], T]) -> T:
        """What `view` reads of the engine, now."""
        return self.backend.look(view)

    def is_live(self, request: Request) -> bool:
        """Whether a page that is open already asks for itself again."""
        return request.headers.get("x-live") is not None

    async def shared(self, request: Request, make: Callable[[], Awaitable[Response]]) -> Response:
        """What `make` answers; a live page that asks again gets what somebody else was just given, or is being given.

        All who watch hear at the same moment that something has changed, so most ask at once.
        """
        if not self.is_live(request):
            await self.pace.begin()
            return await make()
        who = _identity(request)
        made_at, body = self._shared.get(who, (float("-inf"), b""))
        if time.monotonic() - made_at <= SHARED_SECONDS:
            return HTMLResponse(body)
        if (making := self._making.get(who)) is not None and (same := await asyncio.shield(making)) is not None:
            return HTMLResponse(same)
        self._making[who] = done = asyncio.get_running_loop().create_future()
        made: bytes | None = None
        try:
            await self.pace.begin()
            response = await make()
            if isinstance(response, HTMLResponse) and response.status_code == 200:
                made = bytes(response.body)
                self._keep(who, made)
        finally:
            if self._making.get(who) is done:
                del self._making[who]
            done.set_result(made)
        return response

    def _keep(self, who: tuple[str, ...], body: bytes) -> None:
        self._shared[who] = (time.monotonic(), body)
        while len(self._shared) > MOST_SHARED:
            self._shared.popitem(last=False)

    async def page(
        self, request: Request, template: str, page: str, heading: str, *, status: int = 200, **context: Any
    ) -> Response:
        """Answer with a page; `page` is its name in the menu."""
        # What the handler has looked at is one piece of work, the menu and the page are others.
        await self.pace.rest()
        counts = self.look(lambda engine: engine.views.overview())
        shown = {
            "page": page,
            "heading": heading,
            "live": True,
            # What a live page does not look at again need not be written again.
            "again": self.is_live(request),
            "flash": self._flash(request),
            "menu": self._menu(request, counts),
            "counts": counts,
            "host": self.host,
            "uptime_ms": self.backend.uptime_seconds() * 1000,
            **context,
        }
        body = await self.renderer.page(request, template, counts.now, shown)
        return HTMLResponse(body, status)

    async def message(self, request: Request, status: int, title: str, text: str, back: str = "") -> Response:
        """Answer with a page that only says something; it needs nothing of the engine."""
        shown: Mapping[str, Any] = {
            "page": "",
            "heading": title,
            "live": False,
            "flash": None,
            "menu": self._menu(request, None),
            "uptime_ms": 0,
            "title": title,
            "text": text,
            "back": back,
        }
        return HTMLResponse(await self.renderer.page(request, "message.html", 0, shown), status)

    def back_to(self, request: Request, *parts: str, **query: object) -> Response:
        """Send the browser to a page after an action."""
        return RedirectResponse(href(prefix_of(request), *parts, **query), 302)

    def need(self, request: Request, role: Role) -> None:
        """Raises Forbidden when the visitor may not do what `role` may."""
        if not visitor_of(request).may(role):
            raise Forbidden(role)

    def _note_ends(self) -> None:
        if self.audit.going_on:
            self.look(lambda engine: self.audit.note_ends(engine.state.now, engine.views.ended))

    def _menu(self, request: Request, counts: Overview | None) -> list[dict[str, Any]]:
        language, prefix = language_of(request), prefix_of(request)
        text = language.gettext

        def item(
            name: str,
            title: str,
            path: tuple[str, ...],
            count: int | None = None,
            *,
            bad: bool = False,
            most: int | None = None,
        ) -> None:
            shown = "" if count is None else language.number(count)
            if most is not None and count is not None and count > most:
                shown = f"{language.number(most)}+"
            items.append({"name": name, "title": title, "href": href(prefix, *path), "count": shown, "bad": bad})

        items: list[dict[str, Any]] = []
        dead = None if counts is None else counts.dead
        item("home", text("Home"), ())
        item("busy", text("Busy"), ("busy",), None if counts is None else counts.busy)
        item("queues", text("Queues"), ("queues",), None if counts is None else counts.queues)
        item("retries", text("Retries"), ("retries",), None if counts is None else counts.retries)
        item("scheduled", text("Scheduled"), ("scheduled",), None if counts is None else counts.scheduled)
        item("dead", text("Dead"), ("morgue",), dead, bad=bool(dead))
        item(
            "batches",
            text("Batches"),
            ("batches",),
            None if counts is None else self._count_batches(),
            most=MOST_BATCHES,
        )
        item("periodic", text("Periodic"), ("periodic",), None if counts is None else counts.periodic)
        item("limits", text("Limits"), ("limits",), None if counts is None else counts.throttles)
        if counts is not None and (counts.finished or self.backend.settings().history_ms):
            item("finished", text("Finished"), ("finished",), counts.finished)
        item("server", text("Server"), ("server",))
        return items

    def _count_batches(self) -> int:
        """How many batches there are, as of a moment ago; nobody keeps that number, so it is counted."""
        counted_at, count = self._batches
        if time.monotonic() - counted_at > SHARED_SECONDS:
            count = self.look(lambda engine: engine.views.batch_count(MOST_BATCHES + 1))
            self._batches = (time.monotonic(), count)
        return count

    def _flash(self, request: Request) -> Flash | None:
        """What the query says was done: a word of ours and a number, never a text of somebody's."""
        did = request.query_params.get("did")
        language = language_of(request)
        if did is None or did not in DEEDS:
            return None
        count = request.query_params.get("n", "")
        text = language.gettext(DEEDS[did])
        number = language.number(int(count)) if count.isdecimal() and len(count) < 16 else ""
        return Flash(f"{text} {number}".strip(), bad=did in BAD)


def N_(text: str) -> str:  # noqa: N802 - the name by which texts are found that are translated later
    """Mark a text for the catalogues."""
    return text


DEEDS: Final = {
    "run": N_("Back in their queues:"),
    "killed": N_("Moved to the dead ones:"),
    "deleted": N_("Deleted:"),
    "begun": N_("The work goes on in the background; its progress stands below."),
    "paused": N_("The queue is paused."),
    "resumed": N_("The queue runs again."),
    "rests": N_("The periodic job rests."),
    "again": N_("The periodic job runs again."),
    "removed": N_("The queue is removed."),
    "cleared": N_("The queue is empty now."),
    "quiet": N_("The worker hears of it with its next heartbeat."),
    "cancelled": N_("Cancelled."),
    "rescheduled": N_("Rescheduled."),
    "pushed": N_("Pushed."),
    "nothing": N_("Nothing was selected."),
    "gone": N_("That job is not there any more."),
}

#: Words that the pages find by name: the roles, and how a job ended.
WORDS: Final = (
    N_("reader"),
    N_("operator"),
    N_("admin"),
    N_("success"),
    N_("discarded"),
    N_("cancelled"),
)

BAD: Final = frozenset({"nothing", "gone"})


def _identity(request: Request) -> tuple[str, ...]:
    """What a page depends on, but for the state of the server."""
    visitor = visitor_of(request)
    return (
        str(request.url.path),
        str(request.url.query),
        prefix_of(request),
        language_of(request).code,
        visitor.name,
        visitor.role.word,
    )
