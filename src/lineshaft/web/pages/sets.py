"""The timed sets: retries, scheduled and dead jobs. They are looked at here; `set_actions` changes them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.search.filter import EVERYTHING, Filter
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import JobView
from lineshaft.errors import Refusal
from lineshaft.web.figures import chart
from lineshaft.web.language import Language
from lineshaft.web.lists.rows import PAGE, Row, filter_of_page, number_of, query_of, row_of
from lineshaft.web.lists.search import Found, Place, looked, search
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["MOST_GROUPS", "MOST_NAMES", "PATHS", "asked_of", "place_of", "set_rows", "timed"]

#: The path of each timed set.
PATHS: Final = {SetName.RETRIES: "retries", SetName.SCHEDULED: "scheduled", SetName.DEAD: "morgue"}

_HOUR: Final = 3_600_000

_DAY: Final = 24 * _HOUR

_AGES: Final = {"1h": _HOUR, "1d": _DAY, "7d": 7 * _DAY, "30d": 30 * _DAY}

#: Ways to fail that are shown above a list; the most frequent are what somebody wants to know.
MOST_GROUPS: Final = 8

#: Names of queues to choose from; a server with more is searched by typing.
MOST_NAMES: Final = 200


async def timed(request: Request, site: Site, name: SetName) -> Response:
    """GET /retries, /scheduled, /morgue"""
    language, prefix, path = language_of(request), prefix_of(request), PATHS[name]
    query, text = request.query_params, language.gettext
    overview = site.look(lambda engine: engine.views.overview())
    age, cursor = query.get("age", ""), query.get("cursor", "")
    place = place_of(request, name, overview.now)
    wanted, order = place.filter, "newest" if place.newest else "oldest"
    # What was found stays as it is; a live page only asks for what stands around it.
    found = Found([], "", 0) if site.is_live(request) and wanted != EVERYTHING else await search(site, place, cursor)
    await site.pace.rest()
    rows = set_rows(found.jobs, prefix, name)
    await site.pace.rest()
    asked, exact = asked_of(request), query_of(wanted)
    size = getattr(overview, name.value)
    looked_at = number_of(query.get("seen", "")) + found.looked_at
    on = {"cursor": found.cursor, "seen": looked_at if wanted != EVERYTHING else 0}
    return await site.page(
        request,
        "set.html",
        name.value,
        _title(language, name),
        told=_told(site, language, name, size),
        jobs=rows,
        unreadable=found.unreadable,
        size=size,
        here=href(prefix, path),
        action=href(prefix, path, **asked),
        wanted=wanted,
        filtered=wanted != EVERYTHING,
        looked=looked(language, looked_at, size) if wanted != EVERYTHING else "",
        stream=href(prefix, path, stream=1, have=len(found.jobs), **on, **asked)
        if wanted != EVERYTHING and found.cursor and len(found.jobs) < PAGE
        else "",
        first=href(prefix, path, **asked) if cursor else "",
        next=href(prefix, path, **on, **asked) if found.cursor else "",
        all={
            "export": href(prefix, path, export=1, **asked),
            **{verb: href(prefix, path, confirm=verb, **exact) for verb in ("retry", "kill", "delete")},
        },
        age=age,
        ages=_ages(language, name),
        order=query.get("order", ""),
        orders=_orders(language, prefix, path, asked, order, name),
        queue_names=site.look(lambda engine: engine.views.queue_names(MOST_NAMES)),
        run_text=text("Run again") if name is SetName.DEAD else text("Run now"),
        due_text=text("Died") if name is SetName.DEAD else text("Due"),
        empty=_empty(language, name),
        chores=site.look(lambda engine: engine.views.chores()),
        **_groups(site, language, prefix, path, name, show=wanted == EVERYTHING and not cursor),
    )


def place_of(request: Request, name: SetName, now: int) -> Place:
    """Where a page of a set looks, and for what."""
    query = request.query_params
    newest = query.get("order", "newest" if name is SetName.DEAD else "oldest") == "newest"
    return Place(_of_age(filter_of_page(request), query.get("age", ""), name, now), name, newest=newest)


def asked_of(request: Request) -> dict[str, object]:
    """What of the query is kept in the links of a set's page."""
    query = request.query_params
    return {**query_of(filter_of_page(request)), "age": query.get("age", ""), "order": query.get("order", "")}


def set_rows(jobs: Iterable[JobView], prefix: str, name: SetName) -> list[Row]:
    """Jobs as the page of a set lists them."""
    return [row_of(job, prefix, PATHS[name]) for job in jobs]


def _ages(language: Language, name: SetName) -> list[dict[str, str]]:
    text = language.gettext
    near, far = (
        (text("died within {span}"), text("died before {span}"))
        if name is SetName.DEAD
        else (text("due within {span}"), text("due after {span}"))
    )
    spans = {"1h": "1 h", "1d": "24 h", "7d": "7 d", "30d": "30 d"}
    choices = [{"name": key, "title": near.format(span=span)} for key, span in spans.items()]
    choices += [{"name": f"-{key}", "title": far.format(span=span)} for key, span in spans.items() if key != "1h"]
    return [{"name": "", "title": text("Any time")}, *choices]


def _of_age(wanted: Filter, age: str, name: SetName, now: int) -> Filter:
    """The filter with the bounds that an age means at this moment. Raises Refusal."""
    if not age:
        return wanted
    span = _AGES.get(age.removeprefix("-"))
    if span is None or wanted.since or wanted.until:
        raise Refusal(f"age must be one of {', '.join(_AGES)}, and stands for since and until")
    edge = now - span if name is SetName.DEAD else now + span
    after = (name is SetName.DEAD) is not age.startswith("-")
    return structs.replace(wanted, since=edge if after else 0, until=0 if after else edge)


def _groups(site: Site, language: Language, prefix: str, path: str, name: SetName, *, show: bool) -> dict[str, Any]:
    """What went wrong with the jobs of a set, above its first page."""
    if not show:
        return {"groups": [], "kinds": 0}
    found, kinds = site.look(lambda engine: engine.views.groups(name, MOST_GROUPS))
    groups = [
        {
            "view": group,
            "hours": chart.hours(group.hours),
            "told": language.gettext("{count} in the last hour, {most} in the last day").format(
                count=language.number(group.hours[-1]), most=language.number(sum(group.hours))
            ),
            "href": href(prefix, path, group=group.group) if group.group else "",
            "again": href(prefix, path, group=group.group, confirm="retry") if group.group else "",
        }
        for group in found
    ]
    return {"groups": groups, "kinds": kinds}


def _title(language: Language, name: SetName) -> str:
    text = language.gettext
    return {SetName.RETRIES: text("Retries"), SetName.SCHEDULED: text("Scheduled"), SetName.DEAD: text("Dead")}[name]


def _told(site: Site, language: Language, name: SetName, size: int) -> str:
    jobs = language.ngettext("%(num)s job", "%(num)s jobs", size)
    if name is SetName.DEAD:
        kept = language.span(site.backend.settings().dead_ms)
        return language.gettext("{jobs} out of retries, kept {span}").format(jobs=jobs, span=kept)
    return jobs


def _orders(
    language: Language, prefix: str, path: str, asked: Mapping[str, object], order: str, name: SetName
) -> list[dict[str, Any]]:
    text = language.gettext
    titles = (
        {"newest": text("newest first"), "oldest": text("oldest first")}
        if name is SetName.DEAD
        else {"oldest": text("soonest first"), "newest": text("latest first")}
    )
    return [
        {"title": title, "href": href(prefix, path, **{**asked, "order": key}), "current": key == order}
        for key, title in titles.items()
    ]


def _empty(language: Language, name: SetName) -> dict[str, str]:
    text = language.gettext
    words = {
        SetName.RETRIES: (
            text("Nothing waits for a retry"),
            text("Jobs that failed and will be tried again stand here."),
        ),
        SetName.SCHEDULED: (text("Nothing is scheduled"), text("Jobs that were pushed with a time stand here.")),
        SetName.DEAD: (text("Nothing is dead"), text("Jobs that failed for the last time stand here.")),
    }[name]
    return {"title": words[0], "text": words[1]}
