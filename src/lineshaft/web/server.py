"""The server itself: its figures, its configuration, what was done on these pages."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from lineshaft.store.timing import Durations
from lineshaft.web.home import Tile
from lineshaft.web.language import Language
from lineshaft.web.render import language_of
from lineshaft.web.site import Site

__all__ = ["server"]


async def server(request: Request, site: Site) -> Response:
    """GET /server"""
    language = language_of(request)
    text = language.gettext
    info = site.backend.info()["server"]
    overview = site.look(lambda engine: engine.views.overview())
    storage = site.backend.storage()
    late = [note.loop_ms for note in site.pulse.past.notes["5m"]]
    tiles = [
        Tile(text("Connections"), language.number(info["connections"])),
        Tile(text("Commands"), language.short(info["command_count"])),
        Tile(text("Memory"), language.size(info["used_memory_mb"] << 20), text("at its highest")),
        Tile(text("On disk"), language.size(storage.get("disk_bytes", 0))),
        Tile(text("Loop delay"), f"{language.decimal(max(late, default=0.0))} ms", text("the worst of 5 min")),
        Tile(text("Watching"), language.number(site.pulse.watchers), text("browsers")),
    ]
    times = [
        (text("Commit") if name == "commit" else text("Sync"), _taken(language, taken))
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
