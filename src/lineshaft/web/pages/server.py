"""The server itself: its figures, its configuration, what was done on these pages."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.store.timing import BOUNDS_SECONDS, Durations
from lineshaft.web.figures import chart
from lineshaft.web.figures.tile import Tile
from lineshaft.web.language import Language
from lineshaft.web.render import language_of
from lineshaft.web.site import N_, Site

__all__ = ["server"]

#: The bounds that are written under a histogram: 0.1 ms, 1 ms, 10 ms, 100 ms, 1 s.
MARKED: Final = (0, 3, 6, 9, 12)

#: What the stores call their figures.
FIGURES: Final = {
    "disk_bytes": N_("On disk"),
    "memtable_bytes": N_("Not in tables yet"),
    "table_reader_bytes": N_("Indexes of tables"),
    "block_cache_bytes": N_("Cache"),
    "running_compactions": N_("Running compactions"),
    "pending_compaction_bytes": N_("Waits for compaction"),
    "sst_files": N_("Tables"),
    "rows": N_("Rows"),
}

#: There are about twenty; a table of all is no overview.
MOST_VERBS: Final = 12


async def server(request: Request, site: Site) -> Response:
    """GET /server"""
    language = language_of(request)
    text = language.gettext
    info = site.backend.info()["server"]
    overview = site.look(lambda engine: engine.views.overview())
    storage = site.backend.storage()
    late = [note.loop_ms for note in site.pulse.past.notes["5m"]]
    watching = site.pulse.watchers
    tiles = [
        Tile(text("Connections"), language.number(info["connections"])),
        Tile(text("Commands"), language.short(info["command_count"])),
        Tile(text("Memory"), language.size(info["used_memory_mb"] << 20), text("at its highest")),
        Tile(text("On disk"), language.size(storage.get("disk_bytes", 0))),
        Tile(text("Loop delay"), f"{language.decimal(max(late, default=0.0))} ms", text("the worst of 5 min")),
        Tile(text("Watching"), language.number(watching), language.ngettext("browser", "browsers", watching)),
    ]
    await site.pace.rest()
    durations = {**site.backend.durations(), "loop": site.pulse.loop}
    times = [_pictured(language, name, taken) for name, taken in durations.items()]
    facts = [
        (text("Name"), info["description"]),
        (text("Version"), info["lineshaft_version"]),
        (text("Protocol"), info["faktory_version"]),
        (text("Running for"), language.span(info["uptime"] * 1000)),
        (text("Processed"), language.number(overview.processed)),
        (text("Failed"), language.number(overview.failed)),
        (text("Expired"), language.number(overview.expired)),
    ]
    await site.pace.rest()
    return await site.page(
        request,
        "server.html",
        "server",
        text("Server"),
        tiles=tiles,
        facts=facts,
        storage=_storage(language, storage),
        times=times,
        verbs=_verbs(language, site.backend.verbs()),
        cluster=site.backend.cluster(),
        chores=site.look(lambda engine: engine.views.chores()),
        deeds=list(site.audit.deeds)[:30],
        settings=site.backend.configuration(),
    )


def _storage(language: Language, storage: Mapping[str, int]) -> list[tuple[str, str]]:
    return [
        (language.gettext(FIGURES.get(name, name.replace("_", " "))), _figure(language, name, value))
        for name, value in storage.items()
    ]


def _pictured(language: Language, name: str, taken: Durations) -> dict[str, Any]:
    """How long something takes, as a histogram and in words."""
    text = language.gettext
    titles = {"commit": text("Commit"), "sync": text("Sync"), "append": text("Append"), "loop": text("Loop delay")}
    return {
        "title": titles[name],
        "told": _taken(language, taken),
        "columns": chart.columns(taken.counts),
        "marks": [_time(language, BOUNDS_SECONDS[number]) for number in MARKED],
    }


def _taken(language: Language, taken: Durations) -> str:
    """How long something takes: half of the time at most, and nearly always at most."""
    if not taken.count:
        return language.gettext("not yet")
    half, most = (_time(language, taken.at_most(share)) for share in (0.5, 0.99))
    told = language.gettext("half within {half}, 99 % within {most}, {count} in all")
    return told.format(half=half, most=most, count=language.number(taken.count))


def _time(language: Language, seconds: float) -> str:
    """One of the bounds, as short as it goes."""
    if seconds >= 1:
        return f"{language.decimal(seconds).removesuffix('.0').removesuffix(',0')} s"
    return f"{language.decimal(seconds * 1000, 2).rstrip('0').rstrip('.,')} ms"


def _verbs(language: Language, verbs: Mapping[str, tuple[int, Durations]]) -> list[dict[str, str]]:
    """The verbs that are said most, and how long they take by themselves."""
    most = sorted(verbs.items(), key=lambda verb: -verb[1][0])[:MOST_VERBS]
    return [
        {
            "name": name,
            "count": language.number(count),
            "half": _time(language, taken.at_most(0.5)) if taken.count else "–",
            "most": _time(language, taken.at_most(0.99)) if taken.count else "–",
        }
        for name, (count, taken) in most
    ]


def _figure(language: Language, name: str, value: int) -> str:
    return language.size(value) if name.endswith("_bytes") else language.number(value)
