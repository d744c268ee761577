"""What can be done with the jobs of a timed set: with some of them, or with all that match, which is asked first."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.admin.mutate import MOST_JIDS
from lineshaft.engine.search.filter import EVERYTHING, Filter
from lineshaft.engine.timed import SetName
from lineshaft.errors import Refusal
from lineshaft.web.access.accounts import Role
from lineshaft.web.actions.forms import Form, act, field_of, read_form, refused
from lineshaft.web.actions.verbs import COMMANDS, DID, on_set
from lineshaft.web.language import Language
from lineshaft.web.lists.rows import FILTER, filter_of, number_of, query_of, row_of
from lineshaft.web.lists.search import Count, Place, count_on, looked, search
from lineshaft.web.pages.exports import export_selected
from lineshaft.web.pages.jobs import key_parts
from lineshaft.web.pages.sets import PATHS, place_of
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["BACK", "SAMPLES", "confirm_timed", "counted_so_far", "on_timed"]

#: Jobs shown before a bulk action.
SAMPLES: Final = 5

#: What of a page's query is kept over an action on it.
BACK: Final = ("text", "jobtype", "queue", "errtype", "group", "age", "order")


async def on_timed(request: Request, site: Site, name: SetName) -> Response:
    """POST /retries, /scheduled, /morgue: key=... (repeated) and action=retry|kill|delete|add_to_queue.

    The page's own buttons send run=KEY or delete=KEY for one job, and all=1 with a filter for everything that matches.
    """
    form = await read_form(request, "action", "all", "key", "run", "delete", *FILTER)
    keys, command = form.get("key", []), COMMANDS.get(field_of(form, "action"))
    is_all = _is_all(request, form)
    for field, meant in (("run", "requeue"), ("delete", "discard")):
        if field_of(form, field):
            keys, command = [field_of(form, field)], meant
    if field_of(form, "action") == "export":
        return _export(request, site, name, keys, is_all=is_all)
    if command is None:
        return refused("action must be retry, kill, delete or add_to_queue")
    back = {key: value for key, value in request.query_params.items() if key in BACK}
    if is_all:
        wanted = filter_of(((key, value) for key, values in form.items() for value in values), ("action", "all"))
        return await _on_all(request, site, name, command, wanted)
    parts = [key_parts(key) for key in keys]
    jids = [part[1] for part in parts if part is not None]
    if len(jids) < len(keys):
        return refused("a key is <RFC 3339 time>|<jid>")
    if not jids:
        return site.back_to(request, PATHS[name], did="nothing", **back)
    verb = on_set(name, command, jids=jids[:MOST_JIDS])
    moved = await act(request, site, Role.OPERATOR, command, name.value, verb)
    return site.back_to(request, PATHS[name], did=DID[command] if moved else "gone", n=moved, **back)


def _is_all(request: Request, form: Form) -> bool:
    """Whether a form means all that its filter says. Raises Refusal where that may not be what was meant.

    An empty filter, or one in the address, would be left out, and everything be meant.
    """
    if "all" not in form:
        if not FILTER.keys().isdisjoint(form):
            raise Refusal("a filter goes with all=1, not with keys")
        return False
    if form["all"] != ["1"] or not form.keys().isdisjoint(("key", "run", "delete")):
        raise Refusal("all must be 1, and goes with a filter, not with keys")
    if request.query_params or any(not value for field in FILTER for value in form.get(field, [])):
        raise Refusal("what all=1 is to mean stands in the form, and is not empty")
    return True


def _export(request: Request, site: Site, name: SetName, keys: list[str], *, is_all: bool) -> Response:
    """The jobs with these keys, as lines of JSON."""
    if is_all:
        return refused("all that matches is had by GET, with export=1")
    parts = [part for key in keys[:MOST_JIDS] if (part := key_parts(key)) is not None]
    if not parts:
        return site.back_to(request, PATHS[name], did="nothing")
    finds = [lambda engine, part=part: engine.views.find_at(name, *part) for part in parts]
    return export_selected(request, site, PATHS[name], finds)


async def _on_all(request: Request, site: Site, name: SetName, command: str, wanted: Filter) -> Response:
    """Everything that matches, in slices in the background where it is much."""
    role = Role.ADMIN if command == "discard" else Role.OPERATOR
    told = f"{name.value}, all" if wanted == EVERYTHING else f"{name.value}, {_described(wanted)}"
    chores: list[int] = []
    moved = await act(request, site, role, command, told, on_set(name, command, chosen=wanted, chores=chores))
    if chores:
        site.audit.await_end(chores)
        return site.back_to(request, PATHS[name], did="begun")
    return site.back_to(request, PATHS[name], did=DID[command], n=moved)


def _described(wanted: Filter) -> str:
    """A filter for the audit log: which fields were set, but never the text that was looked for."""
    fields = (f"{key}={value}" for key, value in query_of(wanted).items() if value and key != "text")
    return ", ".join([*fields, *(["text"] if wanted.text else [])])


async def confirm_timed(request: Request, site: Site, name: SetName, verb: str) -> Response:
    """GET /retries?confirm=retry|kill|delete and a filter: how many that is, and some of them."""
    language, prefix, text = language_of(request), prefix_of(request), language_of(request).gettext
    site.need(request, Role.ADMIN if verb == "delete" else Role.OPERATOR)
    query = request.query_params
    overview = site.look(lambda engine: engine.views.overview())
    wanted = place_of(request, name, overview.now).filter
    place = Place(wanted, name)
    size: int = getattr(overview, name.value)
    found = await search(site, place, "", limit=SAMPLES, share=0.5)
    if wanted == EVERYTHING:
        counted = Count(size, "", size)
    else:
        # Counted as far as a moment reaches; a link, or a stream, goes on. The action itself goes through all.
        before = Count(number_of(query.get("n", "")), query.get("cursor", ""), number_of(query.get("seen", "")))
        counted = await count_on(site, place, before, share=0.5)
    on = {"n": counted.count, "seen": counted.looked_at, "cursor": counted.cursor, "confirm": verb}
    questions = {
        "retry": text("Put these jobs back into their queues?"),
        "kill": text("Move these jobs to the dead ones?"),
        "delete": text("Delete these jobs? They cannot be brought back."),
    }
    return await site.page(
        request,
        "confirm.html",
        name.value,
        text("Are you sure?"),
        live=False,
        question=questions[verb],
        detail=counted_so_far(language, counted),
        stream=href(prefix, PATHS[name], stream=1, **on, **query_of(wanted)) if counted.cursor else "",
        go_on=href(prefix, PATHS[name], **on, **query_of(wanted)) if counted.cursor else "",
        looked=looked(language, counted.looked_at, size) if counted.cursor else "",
        action=href(prefix, PATHS[name]),
        fields=[("all", "1"), *((key, str(value)) for key, value in query_of(wanted).items() if value)],
        verb=verb,
        yes=_yes(language, verb),
        danger=verb == "delete",
        back=href(prefix, PATHS[name], **query_of(wanted)),
        samples=[row_of(view, prefix) for view in found.jobs],
    )


def counted_so_far(language: Language, counted: Count) -> str:
    """How many jobs match, as far as was counted."""
    many = language.number(counted.count)
    if counted.cursor:
        many = language.gettext("at least {count}").format(count=many)
    return language.ngettext("{count} job matches", "{count} jobs match", counted.count).format(count=many)


def _yes(language: Language, verb: str) -> str:
    text = language.gettext
    return {"retry": text("Run all of them"), "kill": text("Kill all of them"), "delete": text("Delete all of them")}[
        verb
    ]
