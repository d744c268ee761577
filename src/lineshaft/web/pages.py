"""Pages: queues and their jobs, the timed sets, workers, the server itself. They look and change nothing."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs
from starlette.requests import Request
from starlette.responses import Response

from lineshaft.clock import parse_instant
from lineshaft.engine.filter import EVERYTHING, Filter
from lineshaft.engine.timed import SetName
from lineshaft.job import DEFAULT_QUEUE, decode_stored
from lineshaft.store.timing import Durations
from lineshaft.web.home import SILENT_MS, Tile, queue_rows
from lineshaft.web.language import Language
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.rows import PAGE, Found, filter_of, preview, row_of, search, timed_key_of
from lineshaft.web.site import Site

__all__ = ["PATHS", "busy", "query_of", "queue", "queues", "server", "timed"]

#: The path of each timed set.
PATHS: Final = {SetName.RETRIES: "retries", SetName.SCHEDULED: "scheduled", SetName.DEAD: "morgue"}

_HOUR: Final = 3_600_000
_DAY: Final = 24 * _HOUR
_AGES: Final = {"1h": _HOUR, "1d": _DAY, "7d": 7 * _DAY, "30d": 30 * _DAY}

#: Ways to fail that are shown above a list; the most frequent are what somebody wants to know.
MOST_GROUPS: Final = 8

#: Names of queues to choose from; a server with more is searched by typing.
MOST_NAMES: Final = 200


async def queues(request: Request, site: Site) -> Response:
    """GET /queues"""
    after = request.query_params.get("after", "")
    found, more = site.look(lambda engine: engine.views.queues(after=after, limit=PAGE))
    language = language_of(request)
    return await site.page(
        request,
        "queues.html",
        "queues",
        language.gettext("Queues"),
        queues=queue_rows(site, language, found),
        compact=False,
        after=after,
        next=found[-1].name if more else "",
    )


async def queue(request: Request, site: Site) -> Response:
    """GET /queues/NAME"""
    name, language, prefix = request.path_params["name"], language_of(request), prefix_of(request)
    view = site.look(lambda engine: engine.views.queue(name))
    if view is None:
        title = language.gettext("There is no such queue")
        detail = language.gettext("It was removed, or nobody has pushed a job to it.")
        return await site.message(request, 404, title, detail, href(prefix, "queues"))
    wanted, cursor = filter_of(request.query_params), request.query_params.get("cursor", "")
    found = await search(
        lambda at, rows: site.look(lambda engine: engine.views.enqueued(name, cursor=at, limit=rows, filter=wanted)),
        cursor,
        wanted,
    )
    query = query_of(wanted)
    row = queue_rows(site, language, [view])[0]
    return await site.page(
        request,
        "queue.html",
        "queues",
        name,
        queue=row,
        tiles=_queue_tiles(language, row, view.pushed, view.max_jobs),
        jobs=[row_of(job, lambda job: href(prefix, "jobs", job.jid)) for job in found.jobs],
        here=href(prefix, "queues", name),
        wanted=wanted,
        filtered=wanted != EVERYTHING,
        looked=_looked(language, wanted, found),
        first=href(prefix, "queues", name, **query) if cursor else "",
        next=href(prefix, "queues", name, cursor=found.cursor, **query) if found.cursor else "",
    )


def _queue_tiles(language: Language, row: Mapping[str, Any], pushed: int, most: int | None) -> list[Tile]:
    text = language.gettext
    limit = text("of {count} at most").format(count=language.number(most)) if most is not None else ""
    return [
        Tile(text("Jobs"), language.number(row["size"]), limit),
        Tile(text("Latency"), language.span(row["latency_ms"])),
        Tile(text("Rate"), f"{row['rate']} / s"),
        Tile(text("Pushed"), language.number(pushed)),
        Tile(text("Processed"), language.number(row["processed"])),
        Tile(text("Failed"), language.number(row["failed"])),
    ]


def _looked(language: Language, wanted: Filter, found: Found) -> str:
    if wanted == EVERYTHING or not found.cursor:
        return ""
    return language.gettext("Looked at {count} jobs so far").format(count=language.number(found.looked_at))


def query_of(wanted: Filter) -> dict[str, object]:
    """The filter as the query of a link."""
    return {
        "text": wanted.text,
        "jobtype": wanted.jobtype,
        "queue": wanted.queue,
        "errtype": wanted.errtype,
        "since": wanted.since,
        "until": wanted.until,
        "group": wanted.group,
    }


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
    """The filter with the bounds that an age means at this moment."""
    span = _AGES.get(age.removeprefix("-"))
    if span is None:
        return wanted
    edge = now - span if name is SetName.DEAD else now + span
    after = (name is SetName.DEAD) is not age.startswith("-")
    return structs.replace(wanted, since=edge if after else 0, until=0 if after else edge)


async def timed(request: Request, site: Site, name: SetName) -> Response:
    """GET /retries, /scheduled, /morgue"""
    language, prefix, path = language_of(request), prefix_of(request), PATHS[name]
    query, text = request.query_params, language.gettext
    overview = site.look(lambda engine: engine.views.overview())
    age, cursor = query.get("age", ""), query.get("cursor", "")
    wanted = _of_age(filter_of(query), age, name, overview.now)
    newest = query.get("order", "newest" if name is SetName.DEAD else "oldest") == "newest"
    order = "newest" if newest else "oldest"
    found = await search(
        lambda at, rows: site.look(
            lambda engine: engine.views.timed(name, cursor=at, limit=rows, filter=wanted, newest=newest)
        ),
        cursor,
        wanted,
        newest=newest,
    )
    asked = {**query_of(filter_of(query)), "age": age, "order": query.get("order", "")}
    size = getattr(overview, name.value)
    exact = query_of(wanted)
    return await site.page(
        request,
        "set.html",
        name.value,
        _title(language, name),
        told=_told(site, language, name, size),
        jobs=[row_of(job, lambda job: href(prefix, path, timed_key_of(job))) for job in found.jobs],
        size=size,
        here=href(prefix, path),
        action=href(prefix, path, **asked),
        wanted=wanted,
        filtered=wanted != EVERYTHING,
        looked=_looked(language, wanted, found),
        first=href(prefix, path, **asked) if cursor else "",
        next=href(prefix, path, cursor=found.cursor, **asked) if found.cursor else "",
        all={verb: href(prefix, path, confirm=verb, **exact) for verb in ("retry", "kill", "delete")},
        age=age,
        ages=_ages(language, name),
        order=query.get("order", ""),
        orders=_orders(language, prefix, path, asked, order, name),
        queue_names=site.look(lambda engine: engine.views.queue_names(MOST_NAMES)),
        run_text=text("Run again") if name is SetName.DEAD else text("Run now"),
        due_text=text("Died") if name is SetName.DEAD else text("Due"),
        empty=_empty(language, name),
        chores=site.look(lambda engine: engine.views.chores()),
        **_groups(site, prefix, path, name, show=wanted == EVERYTHING and not cursor),
    )


def _groups(site: Site, prefix: str, path: str, name: SetName, *, show: bool) -> dict[str, Any]:
    """What went wrong with the jobs of a set, above its first page."""
    if not show:
        return {"groups": [], "kinds": 0}
    found, kinds = site.look(lambda engine: engine.views.groups(name, MOST_GROUPS))
    groups = [
        {
            "view": group,
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
    jobs = language.ngettext("%(num)s job", "%(num)s jobs", size).replace("%(num)s", language.number(size))
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


async def busy(request: Request, site: Site) -> Response:
    """GET /busy"""
    language, wid = language_of(request), request.query_params.get("wid", "")
    after = request.query_params.get("after", "")
    position = int(after) if after.isdecimal() and len(after) < 10 else 0
    workers = site.look(lambda engine: engine.views.workers(limit=500))
    held, more = site.look(lambda engine: engine.views.held(after=position, limit=PAGE, holder=wid))
    now = site.look(lambda engine: engine.views.overview()).now
    return await site.page(
        request,
        "busy.html",
        "busy",
        language.gettext("Busy"),
        wid=wid,
        workers=[
            {
                **{name: getattr(worker, name) for name in worker.__struct_fields__},
                "silent": now - worker.heard_at > SILENT_MS,
            }
            for worker in workers
            if not wid or worker.wid == wid
        ],
        held=[
            {
                **{name: getattr(job, name) for name in job.__struct_fields__},
                "jobtype": job.job.jobtype if job.job else job.jid,
                "args": preview(job.job) if job.job else "",
            }
            for job in held
        ],
        after=position,
        next=more,
    )


async def finished(request: Request, site: Site) -> Response:
    """GET /finished: what the history keeps."""
    language, prefix, cursor = language_of(request), prefix_of(request), request.query_params.get("cursor", "")
    rows, following = site.look(lambda engine: engine.views.history(cursor=cursor, limit=PAGE))
    kept_ms = site.backend.settings().history_ms
    return await site.page(
        request,
        "finished.html",
        "finished",
        language.gettext("Finished"),
        told=language.gettext("kept {span}").format(span=language.span(kept_ms)) if kept_ms else "",
        jobs=[_over(row) for row in rows],
        first=href(prefix, "finished") if cursor else "",
        next=href(prefix, "finished", cursor=following) if len(rows) == PAGE else "",
    )


def _over(row: dict[str, Any]) -> dict[str, Any]:
    """A finished job as the list shows it."""
    job = decode_stored(bytes(row["job"]))
    started, ended = row["started_at"], parse_instant(row["finished_at"])
    return {
        **row,
        "jobtype": job.jobtype,
        "queue": job.queue or DEFAULT_QUEUE,
        "args": preview(job),
        "ended": ended,
        "took_ms": ended - parse_instant(started) if started else None,
    }


async def server(request: Request, site: Site) -> Response:
    """GET /server"""
    language = language_of(request)
    text = language.gettext
    info = site.backend.info()["server"]
    overview = site.look(lambda engine: engine.views.overview())
    storage = site.backend.storage()
    late = [note.loop_ms for note in site.pulse.notes["5m"]]
    tiles = [
        Tile(text("Connections"), language.number(info["connections"])),
        Tile(text("Commands"), language.short(info["command_count"])),
        Tile(text("Memory"), language.size(info["used_memory_mb"] << 20), text("at its highest")),
        Tile(text("On disk"), language.size(storage.get("disk_bytes", 0))),
        Tile(text("Loop delay"), f"{language.decimal(max(late, default=0.0))} ms", text("the worst of 5 min")),
        Tile(text("Watching"), language.number(site.pulse.watchers), text("browsers")),
    ]
    times = [
        ({"commit": text("Commit"), "sync": text("Sync"), "append": text("Append")}[name], _taken(language, taken))
        for name, taken in site.backend.durations().items()
    ]
    facts = [
        (text("Name"), info["description"]),
        (text("Version"), info["lineshaft_version"]),
        (text("Protocol"), info["faktory_version"]),
        (text("Running for"), language.span(info["uptime"] * 1000)),
        (text("Processed"), language.number(overview.processed)),
        (text("Failed"), language.number(overview.failed)),
        (text("Expired"), language.number(overview.expired)),
    ]
    return await site.page(
        request,
        "server.html",
        "server",
        text("Server"),
        tiles=tiles,
        facts=facts,
        storage=[*times, *_storage(language, storage)],
        cluster=site.backend.cluster(),
        chores=site.look(lambda engine: engine.views.chores()),
        deeds=list(site.audit.deeds)[:30],
        settings=site.backend.configuration(),
    )


def _storage(language: Language, storage: Mapping[str, int]) -> list[tuple[str, str]]:
    return [
        (name.removesuffix("_bytes").replace("_", " "), _figure(language, name, value))
        for name, value in storage.items()
    ]


def _taken(language: Language, taken: Durations) -> str:
    """How long something takes: half of the time at most, and nearly always at most."""
    half, most = (language.decimal(taken.at_most(share) * 1000, 2) for share in (0.5, 0.99))
    told = language.gettext("half within {half} ms, 99 % within {most} ms, {count} in all")
    return told.format(half=half, most=most, count=language.number(taken.count))


def _figure(language: Language, name: str, value: int) -> str:
    return language.size(value) if name.endswith("_bytes") else language.number(value)
