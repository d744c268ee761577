"""Attention: what somebody should look at, the worst first, and of the same badness what concerns the most jobs.

Each look is a function of its own, and bounded; what there is no room for is counted.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from starlette.requests import Request

from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import Overview, QueueView
from lineshaft.lifecycle import WorkerState
from lineshaft.web.render import apart, href, language_of, prefix_of
from lineshaft.web.site import Site

__all__ = ["SILENT_MS", "Notice", "notices"]

#: A worker that says nothing for longer than two of the longest usual heartbeats.
SILENT_MS: Final = 35_000

HOUR_MS: Final = 3_600_000
MOST_NOTICES: Final = 12
MOST_WORKERS: Final = 20
MOST_DAMAGED: Final = 100

#: How bad something is: what somebody did himself is the least.
_PAUSED, _WAITS, _DEAD, _DAMAGED, _LOW_DISK, _REFUSED = range(6)

#: Less than so many times what pushes are refused below is little.
LOW: Final = 3


class Notice(Struct, frozen=True):
    """Something that somebody should look at."""

    key: str
    text: str
    rank: tuple[int, int]  #: how bad it is, and how many jobs it concerns
    detail: str = ""
    href: str = ""
    bad: bool = False
    action: str = ""  #: what one press does about it; with it `href` is where that is posted
    button: str = ""


def notices(request: Request, site: Site, now: Overview, queues: list[QueueView]) -> list[Notice]:
    """What needs attention; `queues` are those that Home shows, and the pulse knows the slow ones among the others."""
    shown = {queue.name for queue in queues}
    slow = site.pulse.slow - shown
    others = site.look(lambda engine: [engine.views.queue(name) for name in slow])
    looked_at = [*queues, *(queue for queue in others if queue is not None)]
    found = [
        *_space(request, site, now),
        *_damage(request, site),
        *_dead(request, site),
        *_slow(request, site, looked_at),
        *_silent(request, site, now.now),
        *_paused(request, site, queues, now.now),
    ]
    # Of those that are paused, Home shows the first ones only.
    paused = site.look(lambda engine: sum(queue.paused for queue in engine.state.queues))
    unseen = max(paused - sum(queue.paused for queue in queues), 0)
    found.sort(key=lambda notice: notice.rank, reverse=True)
    first, more = found[:MOST_NOTICES], max(len(found) - MOST_NOTICES, 0) + unseen
    return [*first, _more(request, more)] if more else first


def _more(request: Request, count: int) -> Notice:
    language = language_of(request)
    told = language.gettext("and {count} more").format(count=language.number(count))
    return Notice("more", told, (-1, 0), href=href(prefix_of(request), "queues"))


def _space(request: Request, site: Site, now: Overview) -> Iterator[Notice]:
    language, link = language_of(request), href(prefix_of(request), "server")
    text = language.gettext
    if now.push_refusal:
        yield Notice("space", text("Pushes are refused"), (_REFUSED, 0), now.push_refusal, link, bad=True)
        return
    space = site.backend.space()
    if space is not None and space[0] < LOW * space[1]:
        free, least = map(language.size, space)
        told = text("Disk is low: {free} free").format(free=free)
        yield Notice("space", told, (_LOW_DISK, 0), text("pushes are refused below {least}").format(least=least), link)


def _damage(request: Request, site: Site) -> Iterator[Notice]:
    language = language_of(request)
    count, is_more = site.look(lambda engine: engine.views.set_aside(MOST_DAMAGED))
    if not count:
        return
    more = "+" if is_more else ""
    told = language.ngettext(
        "%(num)s damaged row was set aside", "%(num)s damaged rows were set aside", count, more=more
    )
    detail = language.gettext("jobs or records that cannot be read; lineshaft check names them")
    yield Notice("damage", told, (_DAMAGED, 0), detail, bad=True)


def _dead(request: Request, site: Site) -> Iterator[Notice]:
    language = language_of(request)
    text = language.gettext
    died, known_ms = site.pulse.past.change("dead", HOUR_MS)
    if died <= 0:
        return
    told = language.ngettext("%(num)s job died", "%(num)s jobs died", died)
    detail = text("within the last {span}").format(span=language.about(max(known_ms, 1000)))
    groups, _ = site.look(lambda engine: engine.views.groups(SetName.DEAD, 1))
    if groups and groups[0].errtype:
        most = text("most often {error} in {job}").format(
            error=apart(groups[0].errtype[:60]), job=apart(groups[0].jobtype[:60])
        )
        detail = f"{detail} · {most}"
    link = href(prefix_of(request), "morgue")
    yield Notice("dead", told, (_DEAD, died), detail, link, bad=True)


def _slow(request: Request, site: Site, queues: list[QueueView]) -> Iterator[Notice]:
    language, slow_ms = language_of(request), site.backend.settings().slow_after_ms
    text = language.gettext
    for queue in sorted(queues, key=lambda queue: -queue.latency_seconds):
        if queue.latency_seconds * 1000 <= slow_ms or queue.paused:
            continue
        waits = text("{queue} waits {span}").format(
            queue=apart(queue.name), span=language.span(queue.latency_seconds * 1000)
        )
        jobs = language.ngettext("%(num)s job", "%(num)s jobs", queue.size)
        limit = text("threshold {span}").format(span=language.span(slow_ms))
        detail = f"{limit} · {jobs}"
        link = href(prefix_of(request), "queues", queue.name)
        yield Notice(f"slow {queue.name}", waits, (_WAITS, queue.size), detail, link)


def _silent(request: Request, site: Site, now: int) -> Iterator[Notice]:
    language = language_of(request)
    for worker in site.look(lambda engine: engine.views.workers(limit=MOST_WORKERS)):
        silent_ms = now - worker.heard_at
        if silent_ms <= SILENT_MS or worker.state is WorkerState.TERMINATE:
            continue
        told = language.gettext("Worker {name} is silent for {span}").format(
            name=apart((worker.hostname or worker.wid)[:40]), span=language.span(silent_ms)
        )
        detail = language.ngettext("%(num)s job in hand", "%(num)s jobs in hand", worker.holds)
        link = href(prefix_of(request), "busy", wid=worker.wid)
        yield Notice(f"silent {worker.wid}", told, (_WAITS, worker.holds), detail, link)


def _paused(request: Request, site: Site, queues: list[QueueView], now: int) -> Iterator[Notice]:
    language = language_of(request)
    for queue in queues:
        if not queue.paused:
            continue
        deed = site.audit.last("pause", f"queue {queue.name}")
        by = language.gettext("by {who}, {when}")
        yield Notice(
            f"paused {queue.name}",
            language.gettext("{queue} is paused").format(queue=apart(queue.name)),
            (_PAUSED, queue.size),
            "" if deed is None else by.format(who=deed.who, when=language.ago(now, deed.at)),
            href(prefix_of(request), "queues", queue.name, back="home"),
            action="resume",
            button=language.gettext("Resume"),
        )
