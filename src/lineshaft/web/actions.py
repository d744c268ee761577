"""Actions: the forms that change something, and the pages that ask before much is changed.

Each goes through the engine's own verbs and is answered when it is on disk, by a redirect (302), as scripts expect it
(docs/howto/dashboard.md). What has gone meanwhile is no error. Every action is noted in the audit log, also one that
was refused.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from lineshaft.clock import parse_instant
from lineshaft.engine.engine import Engine
from lineshaft.engine.filter import EVERYTHING, Filter
from lineshaft.engine.mutate import MOST_JIDS, SLICE
from lineshaft.engine.timed import SetName
from lineshaft.engine.views import JobView
from lineshaft.errors import LineshaftError, Refusal
from lineshaft.job import decode_pushed
from lineshaft.lifecycle import Place, WorkerState
from lineshaft.web.accounts import Role
from lineshaft.web.jobs import key_parts, push_form, with_jid
from lineshaft.web.language import Language
from lineshaft.web.pages import PATHS, query_of
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.rows import filter_of, row_of, search
from lineshaft.web.security import visitor_of
from lineshaft.web.site import Site

__all__ = [
    "act",
    "confirm_queue",
    "confirm_timed",
    "on_every_place",
    "on_job",
    "on_queue",
    "on_queue_jobs",
    "on_set",
    "on_timed",
    "on_workers",
    "push",
    "read_form",
]

T = TypeVar("T")

#: What the forms call an action on the jobs of a set, and what MUTATE calls it. `add_to_queue` is an older name.
_COMMANDS: Final = {"retry": "requeue", "add_to_queue": "requeue", "kill": "kill", "delete": "discard"}
_DID: Final = {"requeue": "run", "kill": "killed", "discard": "deleted", "clear": "cleared"}

SIGNALS: Final = {state.word: state for state in (WorkerState.QUIET, WorkerState.TERMINATE)}

#: A form with more than the keys of the largest page is none of ours.
MOST_FIELDS: Final = MOST_JIDS + 100
#: Taking it apart must not hold the loop; larger jobs come by PUSH, or by the API.
MOST_FORM_BYTES: Final = 2 << 20

Form = dict[str, list[str]]

#: Jobs shown before a bulk action.
SAMPLES: Final = 5


async def act(
    request: Request,
    site: Site,
    role: Role,
    what: str,
    target: str,
    verb: Callable[[Engine], T],
    count: int | None = None,
) -> T:
    """Do something for the visitor, if he may, and note it. Raises Forbidden, Refusal, StoreError.

    A verb that returns how many it concerned has that noted.
    """
    who = visitor_of(request).name
    now = site.pulse.now()
    try:
        site.need(request, role)
        result = await site.backend.act(verb)
    except Exception as error:
        told = str(error) if isinstance(error, LineshaftError) else type(error).__name__
        site.audit.note(now, who, what, target, count, outcome=told)
        raise
    site.audit.note(now, who, what, target, result if isinstance(result, int) else count)
    return result


async def read_form(request: Request) -> Form:
    """The fields of a form. Raises Refusal for one that is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM_BYTES:
            raise Refusal(f"a form has at most {MOST_FORM_BYTES >> 20} MiB")
    try:
        return parse_qs(body.decode("utf-8", "replace"), max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Refusal(f"a form has at most {MOST_FIELDS} fields") from None


def _text(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _refused(text: str) -> Response:
    return PlainTextResponse(text, 400)


# Queues


async def on_queue(request: Request, site: Site) -> Response:
    """POST /queues/NAME: action=pause|resume|delete|clear, or kill_jobs|delete_jobs with jids."""
    name, form = request.path_params["name"], await read_form(request)
    action, back = _text(form, "action"), request.query_params.get("back", "")
    target = f"queue {name}"
    if action == "pause":
        await act(request, site, Role.OPERATOR, "pause", target, lambda engine: engine.pause([name]))
    elif action == "resume":
        await act(request, site, Role.OPERATOR, "resume", target, lambda engine: engine.resume([name]))
    elif action == "delete":
        await act(request, site, Role.ADMIN, "remove", target, lambda engine: engine.remove([name]))
        return site.back_to(request, "queues", did="removed")
    elif action == "clear":
        await act(request, site, Role.ADMIN, "clear", target, on_queue_jobs("clear", name, None))
        return site.back_to(request, "queues", name, did="cleared")
    elif action in ("kill_jobs", "delete_jobs"):
        return await _on_jobs_of_queue(request, site, name, action.removesuffix("_jobs"), form.get("jid", []))
    else:
        return _refused("action must be pause, resume, delete or clear")
    where = ("queues", name) if back not in ("home", "queues") else () if back == "home" else ("queues",)
    return site.back_to(request, *where, did="paused" if action == "pause" else "resumed")


async def _on_jobs_of_queue(request: Request, site: Site, name: str, action: str, jids: list[str]) -> Response:
    if not jids:
        return site.back_to(request, "queues", name, did="nothing")
    command = _COMMANDS[action]
    gone = await act(
        request, site, Role.OPERATOR, action, f"queue {name}", on_queue_jobs(command, name, jids[:MOST_JIDS])
    )
    return site.back_to(request, "queues", name, did=_DID[command], n=gone)


def on_queue_jobs(command: str, name: str, jids: list[str] | None) -> Callable[[Engine], int]:
    """A MUTATE on a queue; how many jobs it concerned at once."""

    def verb(engine: Engine) -> int:
        before = engine.views.queue(name)
        engine.mutate(command, f"queue:{name}", jids=jids)
        after = engine.views.queue(name)
        return before.size - after.size if before and after else 0

    return verb


async def confirm_queue(request: Request, site: Site, verb: str) -> Response:
    """GET /queues/NAME?confirm=clear|delete"""
    name, language, prefix = request.path_params["name"], language_of(request), prefix_of(request)
    site.need(request, Role.ADMIN)
    text = language.gettext
    view = site.look(lambda engine: engine.views.queue(name))
    size = view.size if view else 0
    jobs = language.ngettext("%(num)s job", "%(num)s jobs", size).replace("%(num)s", language.number(size))
    question = text("Remove the queue {queue}?") if verb == "delete" else text("Clear the queue {queue}?")
    return await site.page(
        request,
        "confirm.html",
        "queues",
        name,
        live=False,
        question=question.format(queue=name),
        detail=text("{jobs} that wait there are deleted and cannot be brought back. Running jobs go on.").format(
            jobs=jobs
        ),
        action=href(prefix, "queues", name),
        fields=[],
        verb=verb,
        yes=text("Remove") if verb == "delete" else text("Clear"),
        danger=True,
        back=href(prefix, "queues", name),
        samples=[],
    )


# Timed sets


async def on_timed(request: Request, site: Site, name: SetName) -> Response:
    """POST /retries, /scheduled, /morgue: key=... (repeated) and action=retry|kill|delete|add_to_queue.

    The page's own buttons send run=KEY or delete=KEY for one job, and all=1 with a filter for everything that matches.
    """
    form = await read_form(request)
    keys, command = form.get("key", []), _COMMANDS.get(_text(form, "action"))
    for field, meant in (("run", "requeue"), ("delete", "discard")):
        if _text(form, field):
            keys, command = [_text(form, field)], meant
    if command is None:
        return _refused("action must be retry, kill, delete or add_to_queue")
    back = {key: value for key, value in request.query_params.items() if key in BACK}
    if _text(form, "all"):
        wanted = filter_of({key: values[0] for key, values in form.items()})
        return await _on_all(request, site, name, command, wanted)
    parts = [key_parts(key) for key in keys]
    jids = [part[1] for part in parts if part is not None]
    if len(jids) < len(keys):
        return _refused("a key is <RFC 3339 time>|<jid>")
    if not jids:
        return site.back_to(request, PATHS[name], did="nothing", **back)
    verb = on_set(name, command, jids=jids[:MOST_JIDS])
    moved = await act(request, site, Role.OPERATOR, command, name.value, verb)
    return site.back_to(request, PATHS[name], did=_DID[command], n=moved, **back)


#: What of a page's query is kept over an action on it.
BACK: Final = ("text", "jobtype", "queue", "errtype", "group", "age", "order")


async def _on_all(request: Request, site: Site, name: SetName, command: str, wanted: Filter) -> Response:
    """Everything that matches, in slices in the background where it is much."""
    role = Role.ADMIN if command == "discard" else Role.OPERATOR
    told = f"{name.value}, all" if wanted == EVERYTHING else f"{name.value}, {_described(wanted)}"
    chores: list[int] = []
    moved = await act(request, site, role, command, told, on_set(name, command, chosen=wanted, chores=chores))
    if chores:
        return site.back_to(request, PATHS[name], did="begun")
    return site.back_to(request, PATHS[name], did=_DID[command], n=moved)


def _described(wanted: Filter) -> str:
    """A filter for the audit log: which fields were set, but never the text that was looked for."""
    fields = (f"{key}={value}" for key, value in query_of(wanted).items() if value and key != "text")
    return ", ".join([*fields, *(["text"] if wanted.text else [])])


def on_set(
    name: SetName,
    command: str,
    *,
    jids: list[str] | None = None,
    chosen: Filter | None = None,
    chores: list[int] | None = None,
) -> Callable[[Engine], int]:
    """A MUTATE on a timed set; how many jobs it concerned at once. One that goes on puts its number into `chores`."""

    def verb(engine: Engine) -> int:
        before = getattr(engine.views.overview(), name.value)
        number = engine.mutate(command, name.value, jids=jids, chosen=None if chosen == EVERYTHING else chosen)
        # One that has looked at all of a short set only has to find that there is no more.
        if number is not None and chores is not None and before > SLICE:
            chores.append(number)
        moved: int = before - getattr(engine.views.overview(), name.value)
        return moved

    return verb


async def confirm_timed(request: Request, site: Site, name: SetName, verb: str) -> Response:
    """GET /retries?confirm=retry|kill|delete and a filter: how many that is, and some of them."""
    language, prefix, text = language_of(request), prefix_of(request), language_of(request).gettext
    site.need(request, Role.ADMIN if verb == "delete" else Role.OPERATOR)
    wanted = filter_of(request.query_params)
    take = _taker(site, name, wanted)
    found = await search(take, "", wanted, limit=SAMPLES)
    if wanted == EVERYTHING:
        size = getattr(site.look(lambda engine: engine.views.overview()), name.value)
        many = language.number(size)
    else:
        # Matches are counted as far as a tenth of a second reaches; the action itself goes through all.
        counted = await search(take, "", wanted, limit=MOST_COUNTED)
        size = len(counted.jobs)
        many = (
            language.number(size)
            if not counted.cursor
            else text("at least {count}").format(count=language.number(size))
        )
    questions = {
        "retry": text("Put these jobs back into their queues?"),
        "kill": text("Move these jobs to the dead ones?"),
        "delete": text("Delete these jobs? They cannot be brought back."),
    }
    jobs = language.ngettext("{count} job matches", "{count} jobs match", size).format(count=many)
    return await site.page(
        request,
        "confirm.html",
        name.value,
        text("Are you sure?"),
        live=False,
        question=questions[verb],
        detail=jobs,
        action=href(prefix, PATHS[name]),
        fields=[("all", "1"), *((key, str(value)) for key, value in query_of(wanted).items() if value)],
        verb=verb,
        yes=_yes(language, verb),
        danger=verb == "delete",
        back=href(prefix, PATHS[name], **query_of(wanted)),
        samples=[row_of(view, lambda view: href(prefix, "jobs", view.jid)) for view in found.jobs],
    )


#: A preview counts no further.
MOST_COUNTED: Final = 1_000_000


def _taker(site: Site, name: SetName, wanted: Filter) -> Callable[[str, int], Any]:
    return lambda at, rows: site.look(lambda engine: engine.views.timed(name, cursor=at, limit=rows, filter=wanted))


def _yes(language: Language, verb: str) -> str:
    text = language.gettext
    return {"retry": text("Run all of them"), "kill": text("Kill all of them"), "delete": text("Delete all of them")}[
        verb
    ]


# One job


async def on_job(request: Request, site: Site) -> Response:
    """POST /jobs/JID: action=run|kill|delete|cancel|reschedule."""
    jid, form = request.path_params["jid"], await read_form(request)
    action = _text(form, "action")
    back = ("busy",) if request.query_params.get("back") == "busy" else ("jobs", jid)
    if action == "reschedule":
        return await _reschedule(request, site, jid, _text(form, "at"))
    if action not in ("run", "kill", "delete", "cancel"):
        return _refused("action must be run, kill, delete, cancel or reschedule")
    if action == "cancel":
        try:
            await act(request, site, Role.OPERATOR, "cancel", f"job {jid}", lambda engine: engine.cancel(jid), 1)
        except Refusal:
            return site.back_to(request, *back, did="gone")
        return site.back_to(request, *back, did="cancelled")
    command = {"run": "requeue", "kill": "kill", "delete": "discard"}[action]
    moved = await act(
        request, site, Role.OPERATOR, action, f"job {jid}", lambda engine: on_every_place(engine, jid, command)
    )
    return site.back_to(request, *back, did=_DID[command] if moved else "gone", n=moved)


def on_every_place(engine: Engine, jid: str, command: str) -> int:
    """A MUTATE on every live job with a jid, wherever it waits; how many that were."""
    targets = {target for view in engine.views.find(jid) if (target := _target(view, command))}
    for target in sorted(targets):
        engine.mutate(command, target, jids=[jid])
    return len(targets)


def _target(view: JobView, command: str) -> str:
    """Where MUTATE finds a job; empty when the command means nothing there."""
    if view.place is Place.READY:
        return f"queue:{view.queue}" if command != "requeue" else ""
    if view.place is Place.LEASED or (view.place is Place.DEAD and command == "kill"):
        return ""
    return view.place.value


async def _reschedule(request: Request, site: Site, jid: str, at: str) -> Response:
    try:
        # A browser's field for a time says no offset, and may leave the seconds out.
        instant = parse_instant(at if at[19:] else f"{at}:00Z"[:20] if len(at) == 16 else f"{at}Z")
    except (ValueError, OverflowError):
        return _refused("at must be a time, as 2026-11-23T20:15:00Z")

    def verb(engine: Engine) -> int:
        places = {view.place for view in engine.views.find(jid)} & {Place.SCHEDULED, Place.RETRIES}
        for place in sorted(places):
            engine.reschedule(SetName(place.value), jid, instant)
        return len(places)

    moved = await act(request, site, Role.OPERATOR, "reschedule", f"job {jid}", verb)
    return site.back_to(request, "jobs", jid, did="rescheduled" if moved else "gone")


async def push(request: Request, site: Site) -> Response:
    """POST /push: a job from the form."""
    form = await read_form(request)
    text = _text(form, "job")
    try:
        raw = with_jid(text.encode())
        job = decode_pushed(raw)
        await act(request, site, Role.OPERATOR, "push", f"job {job.jid}", lambda engine: engine.push(job), 1)
    except (Refusal, ValueError) as error:
        return await push_form(request, site, text=text, error=str(error))
    return site.back_to(request, "jobs", job.jid, did="pushed")


# Workers


async def on_workers(request: Request, site: Site) -> Response:
    """POST /busy: signal=quiet|terminate, wid=...|all: the worker hears of it with its next BEAT."""
    form = await read_form(request)
    state, wids = SIGNALS.get(_text(form, "signal")), form.get("wid", [])
    if state is None or not wids:
        return _refused("signal must be quiet or terminate, and wid a worker's or all")

    def verb(engine: Engine) -> None:
        for wid in wids:
            engine.signal(wid, state)

    await act(request, site, Role.OPERATOR, state.word, f"worker {', '.join(wids)}", verb)
    return site.back_to(request, "busy", did="quiet")
