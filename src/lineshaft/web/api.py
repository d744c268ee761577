"""The HTTP API under `/api/v1`: one table of operations, from which routes and documentation come.

An operation says who may use it: `push` (a token's scope, or an operator), `read` (or any account), `act` (the scope
`admin`, or an operator), `admin` (the scope `admin`, or an admin). Errors are problem details (RFC 9457). A change is
answered when it is on disk.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from lineshaft.clock import parse_instant
from lineshaft.engine.engine import Engine
from lineshaft.engine.filter import EVERYTHING
from lineshaft.engine.push import MOST_JOBS
from lineshaft.engine.timed import SetName
from lineshaft.errors import LineshaftError, Refusal, StoreError, Unavailable
from lineshaft.job import Job, decode_pushed
from lineshaft.lifecycle import Place, WorkerState
from lineshaft.web import api_types as types
from lineshaft.web.accounts import Role
from lineshaft.web.actions import act, on_every_place, on_queue_jobs, on_set
from lineshaft.web.jobs import with_jid
from lineshaft.web.rows import PAGE, filter_of, search
from lineshaft.web.security import visitor_of
from lineshaft.web.site import Forbidden, Site

__all__ = ["OPERATIONS", "PREFIX", "Operation", "api_routes"]

PREFIX: Final = "/api/v1"

#: As a line of the protocol may be by default.
MOST_BODY_BYTES: Final = 16 << 20
MOST_ROWS: Final = 200

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

    def number(self, name: str, default: int, most: int) -> int:
        """A number of the query. Raises Refusal."""
        text = self.query(name)
        if not text:
            return default
        if not text.isascii() or not text.isdecimal() or int(text[:12]) > most or len(text) > 12:
            raise Refusal(f"{name} must be a whole number up to {most}")
        return int(text)

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


FILTER: Final = ("jobtype", "queue", "errtype", "text", "since", "until", "group")


async def _overview(call: Call) -> types.OverviewOut:
    return types.overview_out(call.look(lambda engine: engine.views.overview()))


async def _queues(call: Call) -> types.QueuesOut:
    limit = call.number("limit", PAGE, MOST_ROWS)
    found, more = call.look(lambda engine: engine.views.queues(after=call.query("after"), limit=max(limit, 1)))
    return types.QueuesOut([types.queue_out(queue) for queue in found], found[-1].name if more else "")


async def _queue(call: Call) -> types.QueueOut:
    view = call.look(lambda engine: engine.views.queue(call.path("name")))
    if view is None:
        raise Refusal("no such queue", "NOTFOUND")
    return types.queue_out(view)


def _on_queue(what: str) -> Handler:
    async def handler(call: Call) -> None:
        name = call.path("name")
        verbs: dict[str, Callable[[Engine], Any]] = {
            "pause": lambda engine: engine.pause([name]),
            "resume": lambda engine: engine.resume([name]),
            "remove": lambda engine: engine.remove([name]),
            "clear": on_queue_jobs("clear", name, None),
        }
        await call.act(what, f"queue {name}", verbs[what])

    return handler


async def _enqueued(call: Call) -> types.JobsOut:
    name, wanted = call.path("name"), filter_of(call.request.query_params)
    limit = max(call.number("limit", PAGE, MOST_ROWS), 1)

    def take(at: str, rows: int) -> Any:
        return call.look(lambda engine: engine.views.enqueued(name, cursor=at, limit=rows, filter=wanted))

    found = await search(take, call.query("cursor"), wanted, limit=limit)
    return types.JobsOut([types.job_out(job) for job in found.jobs], found.cursor, found.looked_at)


def _timed(name: SetName) -> Handler:
    async def handler(call: Call) -> types.JobsOut:
        wanted, newest = filter_of(call.request.query_params), call.query("order") == "newest"
        limit = max(call.number("limit", PAGE, MOST_ROWS), 1)

        def take(at: str, rows: int) -> Any:
            return call.look(
                lambda engine: engine.views.timed(name, cursor=at, limit=rows, filter=wanted, newest=newest)
            )

        found = await search(take, call.query("cursor"), wanted, limit=limit, newest=newest)
        return types.JobsOut([types.job_out(job) for job in found.jobs], found.cursor, found.looked_at)

    return handler


def _bulk(name: SetName) -> Handler:
    async def handler(call: Call) -> types.BulkOut:
        wanted = msgspec.json.decode(call.body, type=types.BulkIn)
        if (wanted.jids is None) == (wanted.filter is None):
            raise Refusal("jids or filter must be given, and not both")
        chosen = None if wanted.filter is None else wanted.filter.filter()
        chores: list[int] = []
        verb = on_set(name, wanted.action, jids=wanted.jids, chosen=chosen, chores=chores)
        told = (
            name.value
            if chosen is None
            else f"{name.value}, all"
            if chosen == EVERYTHING
            else f"{name.value}, filtered"
        )
        moved = await call.act(wanted.action, told, verb)
        return types.BulkOut(moved, bool(chores))

    return handler


async def _job(call: Call) -> list[types.JobOut]:
    views = call.look(lambda engine: engine.views.find(call.path("jid")))
    if not views:
        raise Refusal("no such job", "NOTFOUND")
    return [types.job_out(view) for view in views]


async def _push(call: Call) -> types.Made:
    job = decode_pushed(with_jid(call.body))
    await call.act("push", f"job {job.jid}", lambda engine: engine.push(job))
    return types.Made(job.jid)


async def _push_many(call: Call) -> types.PushedOut:
    raw = msgspec.json.decode(call.body, type=list[msgspec.Raw])
    if len(raw) > MOST_JOBS:
        raise Refusal(f"too many jobs: at most {MOST_JOBS} at once")
    jobs: list[Job] = [decode_pushed(with_jid(bytes(one))) for one in raw]
    errors = await call.act("push", f"{len(jobs)} jobs", lambda engine: engine.push_bulk(jobs))
    return types.PushedOut([job.jid for job in jobs if job.jid not in errors], errors)


def _on_job(what: str, command: str) -> Handler:
    async def handler(call: Call) -> None:
        jid = call.path("jid")
        if command == "cancel":
            await call.act(what, f"job {jid}", lambda engine: engine.cancel(jid))
        elif not await call.act(what, f"job {jid}", lambda engine: on_every_place(engine, jid, command)):
            raise Refusal("no such job, or not where that means anything", "NOTFOUND")

    return handler


async def _reschedule(call: Call) -> None:
    jid, wanted = call.path("jid"), msgspec.json.decode(call.body, type=types.RescheduleIn)
    try:
        instant = parse_instant(wanted.at)
    except (ValueError, OverflowError):
        raise Refusal("at must be an RFC 3339 time with an offset") from None

    def verb(engine: Engine) -> int:
        places = {view.place for view in engine.views.find(jid)} & {Place.SCHEDULED, Place.RETRIES}
        for place in sorted(places):
            engine.reschedule(SetName(place.value), jid, instant)
        return len(places)

    if not await call.act("reschedule", f"job {jid}", verb):
        raise Refusal("no such job that waits for a time", "NOTFOUND")


async def _workers(call: Call) -> types.WorkersOut:
    after = call.number("after", 0, 10**9)
    workers = call.look(lambda engine: engine.views.workers(limit=1000))
    held, more = call.look(lambda engine: engine.views.held(after=after, limit=PAGE))
    return types.WorkersOut([types.worker_out(one) for one in workers], [types.held_out(one) for one in held], more)


def _signal(state: WorkerState) -> Handler:
    async def handler(call: Call) -> None:
        wid = call.path("wid")
        await call.act(state.word, f"worker {wid}", lambda engine: engine.signal(wid, state))

    return handler


async def _batches(call: Call) -> types.BatchesOut:
    found, following = call.look(lambda engine: engine.views.batches(cursor=call.query("cursor")[:100], limit=PAGE))
    return types.BatchesOut([types.batch_out(row) for row in found], following)


async def _batch(call: Call) -> types.BatchOut:
    try:
        return types.batch_out(call.look(lambda engine: engine.views.batch(call.path("bid"))))
    except Unavailable:
        raise
    except Refusal:
        raise Refusal("no such batch", "NOTFOUND") from None


async def _periodic(call: Call) -> list[types.PeriodicOut]:
    first = call.number("after", 0, 10**6)
    found, _ = call.look(lambda engine: engine.views.periodic(first=first, limit=MOST_ROWS))
    return [types.periodic_out(row) for row in found]


def _on_periodic(what: str) -> Handler:
    async def handler(call: Call) -> types.Made:
        name = call.path("name")
        verbs: Mapping[str, Callable[[Engine], Any]] = {
            "run": lambda engine: engine.cron_run(name),
            "pause": lambda engine: engine.cron_pause(name),
            "resume": lambda engine: engine.cron_resume(name),
        }
        try:
            jid = await call.act(what, f"periodic {name}", verbs[what])
        except Unavailable:
            raise
        except Refusal as refusal:
            raise Refusal(str(refusal), "NOTFOUND" if "no such" in str(refusal) else refusal.code) from None
        return types.Made(jid or "")

    return handler


_PAGE: Final = ("cursor", "limit")

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/overview", "read", "The figures of the whole server", _overview, types.OverviewOut),
    Operation("GET", "/queues", "read", "Queues by name", _queues, types.QueuesOut, query=("after", "limit")),
    Operation("GET", "/queues/{name}", "read", "A queue", _queue, types.QueueOut),
    Operation("DELETE", "/queues/{name}", "admin", "Remove a queue and its jobs", _on_queue("remove"), status=204),
    Operation("POST", "/queues/{name}/pause", "act", "Hand out none of its jobs", _on_queue("pause"), status=204),
    Operation("POST", "/queues/{name}/resume", "act", "Hand out its jobs again", _on_queue("resume"), status=204),
    Operation(
        "POST", "/queues/{name}/clear", "admin", "Delete the jobs that wait in it", _on_queue("clear"), status=204
    ),
    Operation(
        "GET", "/queues/{name}/jobs", "read", "Jobs that wait in it", _enqueued, types.JobsOut, query=(*_PAGE, *FILTER)
    ),
    *(
        Operation(
            "GET",
            f"/{name}",
            "read",
            f"Jobs of the set {name}",
            _timed(name),
            types.JobsOut,
            query=("order", *_PAGE, *FILTER),
        )
        for name in SetName
    ),
    *(
        Operation(
            "POST",
            f"/{name}",
            "admin",
            f"Do something with jobs of the set {name}",
            _bulk(name),
            types.BulkOut,
            types.BulkIn,
        )
        for name in SetName
    ),
    Operation("POST", "/jobs", "push", "Push a job", _push, types.Made, types.PushIn, status=201),
    Operation(
        "POST", "/jobs/bulk", "push", "Push many jobs in one commit", _push_many, types.PushedOut, list[types.PushIn]
    ),
    Operation("GET", "/jobs/{jid:path}", "read", "The live jobs with a jid", _job, list[types.JobOut]),
    Operation(
        "POST",
        "/jobs/{jid:path}/run",
        "act",
        "Let a waiting or dead job run now",
        _on_job("run", "requeue"),
        status=204,
    ),
    Operation(
        "POST",
        "/jobs/{jid:path}/kill",
        "act",
        "Move a waiting job to the dead ones",
        _on_job("kill", "kill"),
        status=204,
    ),
    Operation(
        "POST",
        "/jobs/{jid:path}/delete",
        "act",
        "Delete a waiting or dead job",
        _on_job("delete", "discard"),
        status=204,
    ),
    Operation("POST", "/jobs/{jid:path}/cancel", "act", "As CANCEL", _on_job("cancel", "cancel"), status=204),
    Operation(
        "POST",
        "/jobs/{jid:path}/reschedule",
        "act",
        "Let it run at another time",
        _reschedule,
        None,
        types.RescheduleIn,
        status=204,
    ),
    Operation("GET", "/workers", "read", "Workers and their jobs", _workers, types.WorkersOut, query=("after",)),
    Operation("POST", "/workers/{wid}/quiet", "act", "Fetch no more", _signal(WorkerState.QUIET), status=204),
    Operation("POST", "/workers/{wid}/terminate", "act", "End", _signal(WorkerState.TERMINATE), status=204),
    Operation("GET", "/batches", "read", "Batches, the newest first", _batches, types.BatchesOut, query=("cursor",)),
    Operation("GET", "/batches/{bid}", "read", "A batch", _batch, types.BatchOut),
    Operation("GET", "/periodic", "read", "Periodic jobs", _periodic, list[types.PeriodicOut], query=("after",)),
    Operation("POST", "/periodic/{name}/run", "act", "Push its job now", _on_periodic("run"), types.Made),
    Operation("POST", "/periodic/{name}/pause", "act", "Let its due times pass", _on_periodic("pause"), types.Made),
    Operation("POST", "/periodic/{name}/resume", "act", "Let it run again", _on_periodic("resume"), types.Made),
)
"""Everything that can be asked for."""


def api_routes(site: Site) -> list[Route]:
    """The routes of all operations; the more particular of two paths first."""
    ordered = sorted(OPERATIONS, key=lambda operation: ":path" in operation.path)
    return [Route(PREFIX + each.path, _answering(site, each), methods=[each.method]) for each in ordered]


def _answering(site: Site, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            _need(request, operation)
            body = await _body(request) if operation.method == "POST" and operation.takes is not None else b""
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
    body = msgspec.json.encode(types.Problem(title, status, detail))
    return Response(body, status, media_type="application/problem+json")
