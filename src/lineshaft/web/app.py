"""The web application: every path and what answers it, in one table.

    GET  /                      the figures, throughput, queues, what needs attention
    GET  /queues, /queues/NAME  queues and their jobs;          POST  pause, resume, delete, clear
    GET  /queues/NAME/lanes     its lanes
    GET  /retries ... /morgue   the timed sets;                 POST  key=... action=retry|kill|delete
    GET  /jobs/JID              a job, wherever it is;          POST  run, kill, delete, cancel, reschedule
    GET  /busy                  workers and running jobs;       POST  signal=quiet|terminate wid=...|all
    GET  /batches, /batches/BID batches
    GET  /periodic              periodic jobs;                  POST  /periodic/NAME action=run|pause|resume
    GET  /limits                throttled queues
    GET  /push                  the form of a new job;          POST  push it
    GET  /finished              the history of finished jobs
    GET  /server, /debug        the server itself
    GET  /live                  server-sent events: a message a second
    GET  .../?export=1          the jobs of a list as a file (`pages.exports`)
    GET  .../?stream=1          a list's search, as server-sent events (`pages.streams`)
    /api/v1/...                 the HTTP API (`api`)
    GET  /metrics               for Prometheus
    GET  /stats                 JSON: what INFO gives
    GET  /health, .../live, .../ready   how it is, see `pages.health`

It runs in the server's own event loop, so nothing here may hold it for long: what is shown is read in bounded slices.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from lineshaft.engine.timed import SetName
from lineshaft.errors import Refusal, StoreError, Unavailable
from lineshaft.web.access.security import Guard
from lineshaft.web.api.openapi import openapi
from lineshaft.web.api.table import api_routes
from lineshaft.web.backend import Backend
from lineshaft.web.failures import Failures
from lineshaft.web.figures.pulse import MOST_WATCHERS
from lineshaft.web.pages import (
    batches,
    exports,
    finished,
    home,
    job_actions,
    jobs,
    lanes,
    limits,
    periodic,
    queues,
    server,
    set_actions,
    sets,
    streams,
    workers,
)
from lineshaft.web.pages.health import HEALTH
from lineshaft.web.pages.metrics import metrics
from lineshaft.web.problem import API, is_api, problem, refusal
from lineshaft.web.render import STATIC, href, language_of, prefix_of
from lineshaft.web.site import Forbidden, Site

__all__ = ["build_app"]

Handler = Callable[[Request, Site], Awaitable[Response]]


#: What somebody types who does not know how a page is called.
OTHER_NAMES: Final = {"dead": "morgue", "cron": "periodic"}


def build_app(backend: Backend) -> tuple[Starlette, Site]:
    """The application, and the site behind it, whose pulse the caller starts and stops."""
    site = Site(backend)

    def page(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await site.shared(request, partial(handler, request, site))

        return answer

    def form(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await handler(request, site)

        return answer

    def both(path: str, look: Handler, act: Handler) -> list[BaseRoute]:
        return [Route(path, page(look)), Route(path, form(act), methods=["POST"])]

    routes: list[BaseRoute] = [
        Route("/", page(home.home)),
        Route("/queues", page(queues.queues)),
        *both("/queues/{name}", _queue, queues.on_queue),
        Route("/queues/{name}/lanes", page(lanes.lanes)),
        *[route for name, path in sets.PATHS.items() for route in _timed_routes(name, path, page, both)],
        *[Route(f"/{other}", form(_elsewhere(path))) for other, path in OTHER_NAMES.items()],
        Route("/jobs", form(jobs.find)),
        *both("/jobs/{jid:path}", jobs.by_jid, job_actions.on_job),
        Route("/batches", page(batches.batches)),
        Route("/batches/{bid:path}", page(batches.batch)),
        Route("/periodic", page(periodic.periodic)),
        Route("/periodic/{name:path}", form(periodic.on_periodic), methods=["POST"]),
        Route("/limits", page(limits.limits)),
        *both("/busy", workers.busy, workers.on_workers),
        *both("/push", jobs.push_form, job_actions.push),
        Route("/finished", page(finished.finished)),
        Route("/server", page(server.server)),
        Route("/debug", page(server.server)),
        Route("/live", form(_live)),
        Route("/metrics", form(metrics)),
        Route("/stats", form(_stats)),
        *[Route(path, form(answer)) for path, answer in HEALTH.items()],
        Route(f"{API}/openapi.json", form(openapi)),
        *api_routes(site),
        Mount("/static", _Static(directory=STATIC)),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=backend.settings), Middleware(Failures, page=_failed(site))],
        exception_handlers={
            404: _not_found(site),
            405: _not_allowed,
            Forbidden: _forbidden(site),
            Unavailable: _unavailable(site),
            StoreError: _unavailable(site),
            Refusal: _refused(site),
        },
    )
    return app, site


def _timed_routes(name: SetName, path: str, page: Callable[..., Any], both: Callable[..., Any]) -> list[BaseRoute]:
    async def look(request: Request, site: Site) -> Response:
        verb = request.query_params.get("confirm")
        if "export" in request.query_params:
            return await exports.export_set(request, site, name)
        if "stream" in request.query_params:
            return await (streams.count_set if verb else streams.find_in_set)(request, site, name)
        if verb in ("retry", "kill", "delete"):
            return await set_actions.confirm_timed(request, site, name, verb)
        return await sets.timed(request, site, name)

    async def act(request: Request, site: Site) -> Response:
        return await set_actions.on_timed(request, site, name)

    async def one(request: Request, site: Site) -> Response:
        return await jobs.by_key(request, site, name)

    return [*both(f"/{path}", look, act), Route(f"/{path}/{{key:path}}", page(one))]


def _elsewhere(path: str) -> Handler:
    async def answer(request: Request, site: Site) -> Response:
        return site.back_to(request, path)

    return answer


async def _queue(request: Request, site: Site) -> Response:
    verb = request.query_params.get("confirm")
    if "export" in request.query_params:
        return await exports.export_queue(request, site)
    if "stream" in request.query_params:
        return await streams.find_in_queue(request, site)
    if verb in ("clear", "delete"):
        return await queues.confirm_queue(request, site, verb)
    return await queues.queue(request, site)


async def _live(_: Request, site: Site) -> Response:
    if site.pulse.watchers >= MOST_WATCHERS:
        return PlainTextResponse("too many are watching", 503, {"Retry-After": "30"})
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(site.pulse.watch(), media_type="text/event-stream", headers=headers)


async def _stats(_: Request, site: Site) -> Response:
    return JSONResponse(site.backend.info())


class _Static(StaticFiles):
    """Our own files; their links carry a digest, so a browser may keep them."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """The file, to be kept for a year."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


Answer = Callable[[Request, Exception], Awaitable[Response]]


def _failed(site: Site) -> Callable[[Request, str], Awaitable[Response]]:
    async def answer(request: Request, reference: str) -> Response:
        text = language_of(request).gettext
        told = text("Nobody expected this. The server's log has it under the reference {reference}.")
        return await site.message(request, 500, text("Something went wrong"), told.format(reference=reference))

    return answer


def _not_found(site: Site) -> Answer:
    async def answer(request: Request, _: Exception) -> Response:
        if is_api(request.scope["path"]):
            return problem(404, "not found", "the API has no such path")
        language = language_of(request)
        text = language.gettext
        home_link = href(prefix_of(request))
        return await site.message(
            request, 404, text("There is nothing here"), text("No page has this address."), home_link
        )

    return answer


async def _not_allowed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(request.scope["path"], 405, "that is not done to this path", error.headers)


def _forbidden(site: Site) -> Answer:
    async def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, Forbidden)
        language = language_of(request)
        told = language.gettext("That takes the role {role}.").format(role=language.gettext(error.needed.word))
        return await site.message(request, 403, language.gettext("You may not do that"), told)

    return answer


def _unavailable(site: Site) -> Answer:
    async def answer(request: Request, error: Exception) -> Response:
        response = await site.message(request, 503, language_of(request).gettext("Not at the moment"), str(error))
        response.headers["Retry-After"] = "2"
        return response

    return answer


def _refused(site: Site) -> Answer:
    async def answer(request: Request, error: Exception) -> Response:
        status = 404 if isinstance(error, Refusal) and error.code == "NOTFOUND" else 400
        return await site.message(request, status, language_of(request).gettext("That cannot be done"), str(error))

    return answer
