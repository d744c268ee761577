"""Home: the figures at a glance, throughput over time, the queues, and what needs attention."""

from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.engine.engine import NEVER
from lineshaft.engine.views.views import Overview
from lineshaft.web.figures import chart
from lineshaft.web.figures.past import GRAINS
from lineshaft.web.figures.tile import Tile
from lineshaft.web.language import Language
from lineshaft.web.lists.queues import queue_rows
from lineshaft.web.pages.attention import notices
from lineshaft.web.render import href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["home"]

#: Queues that Home shows; the others are a click away.
MOST_QUEUES: Final = 12

HOUR_MS: Final = 3_600_000

_DAYS: Final = {"6mo": 180}


async def home(request: Request, site: Site) -> Response:
    """GET /"""
    language = language_of(request)
    range_name = request.query_params.get("range", GRAINS[0].name)
    ranges = _ranges(language)
    if range_name not in {item["name"] for item in ranges}:
        range_name = GRAINS[0].name
    overview = site.look(lambda engine: engine.views.overview())
    foremost = site.look(lambda engine: engine.views.foremost_queues(MOST_QUEUES))
    # With ten thousand queues and workers each look takes a millisecond or two, and so does what is drawn: others have
    # their turn in between.
    await site.pace.rest()
    queues = sorted(foremost, key=lambda queue: queue.name)
    tiles = _tiles(request, site, overview)
    await site.pace.rest()
    drawn = _days(site, language, range_name) if range_name in _DAYS else _curve(site, language, range_name)
    await site.pace.rest()
    found = notices(request, site, overview, queues)
    return await site.page(
        request,
        "home.html",
        "home",
        language.gettext("Home"),
        pace=1000,
        range=range_name,
        ranges=ranges,
        tiles=tiles,
        chart=drawn,
        queues=queue_rows(site, language, prefix_of(request), queues),
        more_queues=overview.queues > len(queues),
        notices=found,
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
            workers,
            ("busy",),
            [float(note.busy) for note in notes],
        ),
        tile(
            text("Enqueued"),
            language.number(now.enqueued),
            language.ngettext("in %(num)s queue", "in %(num)s queues", now.queues),
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
