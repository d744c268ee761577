"""Home: the figures at a glance, throughput over time, the queues, and what needs attention."""

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.engine import NEVER
from lineshaft.engine.timed import SetName
from lineshaft.engine.views import Overview, QueueView, WorkerView
from lineshaft.lifecycle import WorkerState
from lineshaft.web import chart
from lineshaft.web.language import Language
from lineshaft.web.past import GRAINS
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["SILENT_MS", "Tile", "home", "queue_rows"]

#: Queues that Home shows; the others are a click away.
MOST_QUEUES: Final = 12

#: A worker that says nothing for longer than two of the longest usual heartbeats.
SILENT_MS: Final = 35_000

HOUR_MS: Final = 3_600_000
MOST_NOTICES: Final = 12

_DAYS: Final = {"6mo": 180}


class Tile(Struct, frozen=True):
    """A figure at a glance."""

    label: str
    value: str
    delta: str = ""
    href: str = ""
    points: str = ""  #: of a small curve
    bad: bool = False


class Notice(Struct, frozen=True):
    """Something that somebody should look at."""

    key: str
    text: str
    detail: str = ""
    href: str = ""
    bad: bool = False
    action: str = ""  #: what one press does about it; with it `href` is where that is posted
    button: str = ""


async def home(request: Request, site: Site) -> Response:
    """GET /"""
    language = language_of(request)
    range_name = request.query_params.get("range", GRAINS[0].name)
    ranges = _ranges(language)
    if range_name not in {item["name"] for item in ranges}:
        range_name = GRAINS[0].name
    overview = site.look(lambda engine: engine.views.overview())
    foremost = site.look(lambda engine: engine.views.foremost_queues(MOST_QUEUES))
    queues = sorted(foremost, key=lambda queue: queue.name)
    workers = site.look(lambda engine: engine.views.workers(limit=20))
    return await site.page(
        request,
        "home.html",
        "home",
        language.gettext("Home"),
        pace=1000,
        range=range_name,
        ranges=ranges,
        tiles=_tiles(request, site, overview),
        chart=_days(site, language, range_name) if range_name in _DAYS else _curve(site, language, range_name),
        queues=queue_rows(site, language, queues),
        more_queues=overview.queues > len(queues),
        notices=_notices(request, site, overview, queues, workers),
    )


def _ranges(language: Language) -> list[dict[str, str]]:
    text = language.gettext
    titles = {"5m": "5 min", "1h": "1 h", "24h": "24 h", "1w": text("1 week"), "6mo": text("6 months")}
    return [{"name": name, "title": title} for name, title in titles.items()]


def _tiles(request: Request, site: Site, now: Overview) -> list[Tile]:
    language, prefix = language_of(request), prefix_of(request)
    text, notes = language.gettext, list(site.pulse.past.notes["5m"])
    done, failed = site.pulse.past.rates("5m")
    died, known_ms = site.pulse.past.change("dead", HOUR_MS)
    workers = language.ngettext("%(num)s worker", "%(num)s workers", now.workers)
    share = 100 * sum(failed) / sum(done) if sum(done) else 0.0

    def tile(label: str, value: str, delta: str, path: Sequence[str], curve: list[float], *, bad: bool = False) -> Tile:
        return Tile(label, value, delta, href(prefix, *path), chart.spark(curve), bad)

    return [
        tile(
            text("Processed / s"),
            language.rate(_mean(done)),
            text("{count} in all").format(count=language.short(now.processed)),
            (),
            done,
        ),
        tile(
            text("Failed / s"),
            language.rate(_mean(failed)),
            text("{share} % of jobs").format(share=language.decimal(share)),
            ("retries",),
            failed,
        ),
        tile(
            text("Busy"),
            language.number(now.busy),
            workers.replace("%(num)s", language.number(now.workers)),
            ("busy",),
            [float(note.busy) for note in notes],
        ),
        tile(
            text("Enqueued"),
            language.number(now.enqueued),
            language.ngettext("in %(num)s queue", "in %(num)s queues", now.queues).replace(
                "%(num)s", language.number(now.queues)
            ),
            ("queues",),
            [float(note.enqueued) for note in notes],
        ),
        tile(
            text("Retries"),
            language.number(now.retries),
            text("next {when}").format(when=language.ago(now.now, now.next_retry))
            if now.retries and now.now < now.next_retry < NEVER
            else "",
            ("retries",),
            [float(note.retries) for note in notes],
        ),
        tile(
            text("Dead"),
            language.number(now.dead),
            text("{count} within {span}").format(
                count=("+" if died >= 0 else "−") + language.number(abs(died)), span=language.about(max(known_ms, 1000))
            )
            if died
            else "",
            ("morgue",),
            [float(note.dead) for note in notes],
            bad=now.dead > 0,
        ),
    ]


def _mean(rates: list[float]) -> float:
    """The rate of the last few seconds: of one alone it would jump about."""
    last = rates[-3:]
    return sum(last) / len(last) if last else 0.0


def _curve(site: Site, language: Language, name: str) -> dict[str, Any]:
    grain = next(grain for grain in GRAINS if grain.name == name)
    done, failed = site.pulse.past.rates(name)
    steps = grain.length - 1
    axis = chart.axis(max(done, default=0))
    minutes = grain.every_ms * steps // 60_000
    parts = {"5m": 5, "1w": 7}.get(name, 6)
    times = [_before(minutes * part // parts) for part in range(parts, 0, -1)]
    shown = _mean(done), _mean(failed)
    told = language.gettext("Jobs per second: {done} processed, {failed} failed now; {most} at most")
    return {
        "unit": language.gettext("jobs per second"),
        "marks": [language.short(mark) for mark in axis.marks],
        "done": chart.line(done, axis.top, steps),
        "area": chart.area(done, axis.top, steps) if done else "",
        "failed": chart.line(failed, axis.top, steps),
        "bars": None,
        "times": [*times, language.gettext("now")],
        "done_now": language.rate(shown[0]),
        "failed_now": language.rate(shown[1]),
        "told": told.format(
            done=language.rate(shown[0]), failed=language.rate(shown[1]), most=language.rate(max(done, default=0))
        ),
    }


def _before(minutes: int) -> str:
    if minutes < 120:
        return f"−{minutes} min"
    return f"−{minutes // 60} h" if minutes <= 1440 else f"−{minutes // 1440} d"


def _days(site: Site, language: Language, name: str) -> dict[str, Any]:
    count = _DAYS[name]
    days = site.look(lambda engine: engine.views.days(count))[::-1]
    figures = [(max(processed, 0), max(failed, 0)) for _, processed, failed in days]
    figures = [(0, 0)] * (count - len(figures)) + figures
    axis = chart.axis(max(processed for processed, _ in figures))
    done, failed = sum(day[0] for day in figures), sum(day[1] for day in figures)
    told = language.gettext("Jobs per day: {done} processed and {failed} failed in {count} days")
    return {
        "unit": language.gettext("jobs per day, UTC"),
        "marks": [language.short(mark) for mark in axis.marks],
        "bars": chart.bars(figures, axis.top),
        "times": [f"−{count - 1} d", language.gettext("today")],
        "done_now": language.short(done),
        "failed_now": language.short(failed),
        "told": told.format(done=language.number(done), failed=language.number(failed), count=count),
    }


def queue_rows(site: Site, language: Language, queues: Sequence[QueueView]) -> list[dict[str, Any]]:
    """Queues as their table shows them."""
    slow_ms = site.backend.settings().slow_after_ms
    rows = []
    for queue in queues:
        trend = site.pulse.queues.get(queue.name)
        rows.append(
            {
                "name": queue.name,
                "size": queue.size,
                "paused": queue.paused,
                "latency_ms": queue.latency_seconds * 1000,
                "slow": queue.latency_seconds * 1000 > slow_ms,
                "full": queue.max_jobs is not None and queue.size >= queue.max_jobs,
                "processed": queue.processed,
                "failed": queue.failed,
                "rate": language.rate(trend.rate() if trend else 0.0),
                "points": chart.spark(trend.sizes()) if trend else "",
            }
        )
    return rows


def _notices(
    request: Request, site: Site, now: Overview, queues: Sequence[QueueView], workers: Sequence[WorkerView]
) -> list[Notice]:
    """What needs attention, the worst first."""
    language, prefix = language_of(request), prefix_of(request)
    text = language.gettext
    found = []
    if now.push_refusal:
        found.append(Notice("space", text("Pushes are refused"), now.push_refusal, href(prefix, "server"), bad=True))
    died, known_ms = site.pulse.past.change("dead", HOUR_MS)
    if died > 0:
        told = language.ngettext("%(num)s job died", "%(num)s jobs died", died)
        detail = text("within the last {span}").format(span=language.about(max(known_ms, 1000)))
        groups, _ = site.look(lambda engine: engine.views.groups(SetName.DEAD, 1))
        if groups and groups[0].errtype:
            most = text("most often {error} in {job}").format(error=groups[0].errtype, job=groups[0].jobtype[:60])
            detail = f"{detail} · {most}"
        found.append(
            Notice("dead", told.replace("%(num)s", language.number(died)), detail, href(prefix, "morgue"), bad=True)
        )
    slow_ms = site.backend.settings().slow_after_ms
    for queue in queues:
        if queue.latency_seconds * 1000 > slow_ms and not queue.paused:
            waits = text("{queue} waits {span}").format(
                queue=queue.name, span=language.span(queue.latency_seconds * 1000)
            )
            jobs = language.ngettext("%(num)s job", "%(num)s jobs", queue.size).replace(
                "%(num)s", language.number(queue.size)
            )
            limit = text("threshold {span}").format(span=language.span(slow_ms))
            found.append(Notice(f"slow {queue.name}", waits, f"{limit} · {jobs}", href(prefix, "queues", queue.name)))
    for worker in workers:
        silent_ms = now.now - worker.heard_at
        if silent_ms > SILENT_MS and worker.state is not WorkerState.TERMINATE:
            told = text("Worker {name} is silent for {span}").format(
                name=worker.hostname or worker.wid[:40], span=language.span(silent_ms)
            )
            detail = language.ngettext("%(num)s job in hand", "%(num)s jobs in hand", worker.holds)
            found.append(
                Notice(
                    f"silent {worker.wid}",
                    told,
                    detail.replace("%(num)s", language.number(worker.holds)),
                    href(prefix, "busy", wid=worker.wid),
                )
            )
    found += [_paused(request, site, queue.name, now.now) for queue in queues if queue.paused]
    return found[:MOST_NOTICES]


def _paused(request: Request, site: Site, name: str, now: int) -> Notice:
    language = language_of(request)
    deed = site.audit.last("pause", f"queue {name}")
    detail = (
        ""
        if deed is None
        else language.gettext("by {who}, {when}").format(who=deed.who, when=language.ago(now, deed.at))
    )
    return Notice(
        f"paused {name}",
        language.gettext("{queue} is paused").format(queue=name),
        detail,
        href(prefix_of(request), "queues", name, back="home"),
        action="resume",
        button=language.gettext("Resume"),
    )
