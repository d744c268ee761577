"""The page of one job: by its jid wherever it is, or by the key of a timed set; and the form of a new push."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from lineshaft.clock import format_instant, parse_instant
from lineshaft.engine.cancel import CANCELLED
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import JobView
from lineshaft.job import ABSENT, UNREADABLE, Job, encode_job
from lineshaft.lifecycle import Place
from lineshaft.web.access.accounts import Role
from lineshaft.web.language import Language
from lineshaft.web.lists.rows import instant_of
from lineshaft.web.render import cut, language_of
from lineshaft.web.site import Site

__all__ = ["as_pushed", "by_jid", "by_key", "find", "key_parts", "pretty", "push_form"]

#: Bytes of JSON that a page shows of one value; the rest is for the API.
MOST_SHOWN: Final = 64 << 10

_KINDS: Final = {Place.LEASED: "accent", Place.RETRIES: "warn", Place.DEAD: "bad"}

_EXAMPLE: Final = '{\n  "jobtype": "example",\n  "args": [],\n  "queue": "default"\n}\n'


def key_parts(key: str) -> tuple[int, str] | None:
    """The instant and the jid of a key `<RFC 3339 time>|<jid>`; None when it is none."""
    stamp, bar, jid = key.partition("|")
    try:
        return (parse_instant(stamp), jid) if bar else None
    except (ValueError, OverflowError):
        return None


def pretty(raw: bytes) -> str:
    """JSON, indented; what is very long is cut, and then not indented."""
    if len(raw) > MOST_SHOWN:
        return raw[:MOST_SHOWN].decode("utf-8", "replace") + "…"
    try:
        return msgspec.json.format(raw, indent=2).decode("utf-8", "replace")
    except UNREADABLE:
        return raw.decode("utf-8", "replace")


async def find(request: Request, site: Site) -> Response:
    """GET /jobs?jid=..., the search in the menu."""
    jid = request.query_params.get("jid", "").strip()
    return site.back_to(request, *(("jobs", jid) if jid else ()))


async def by_key(request: Request, site: Site, name: SetName) -> Response:
    """GET /retries/KEY, /scheduled/KEY, /morgue/KEY"""
    parts = key_parts(request.path_params["key"])
    view = None
    if parts is not None:
        view = site.look(lambda engine: engine.views.find_at(name, *parts))
    if parts is not None and view is None:
        # It has moved on: wherever it is now.
        return await _page(request, site, parts[1], site.look(lambda engine: engine.views.find(parts[1])))
    return await _page(request, site, view.jid if view else request.path_params["key"], [view] if view else [])


async def by_jid(request: Request, site: Site) -> Response:
    """GET /jobs/JID"""
    jid = request.path_params["jid"]
    return await _page(request, site, jid, site.look(lambda engine: engine.views.find(jid)))


async def _page(request: Request, site: Site, jid: str, views: list[JobView]) -> Response:
    language = language_of(request)
    finished = site.look(lambda engine: engine.views.finished(jid))[:20]
    track = site.look(lambda engine: engine.views.track(jid))
    is_known = track.get("updated_at")
    jobtype = views[0].job.jobtype if views else finished[0]["jobtype"] if finished and "jobtype" in finished[0] else ""
    return await site.page(
        request,
        "job.html",
        views[0].place.value if views else "",
        cut(jobtype, 120) or language.gettext("Job"),
        status=200 if views or finished or is_known else 404,
        jid=jid,
        jobs=[_shown(view, track, language) for view in views],
        finished=[_over(over) for over in finished],
        track=[(name, _plain(value)) for name, value in track.items() if name not in ("jid", "updated_at")]
        if is_known
        else [],
        tracked_at=instant_of(is_known),
        gone=language.gettext(
            "It is done, it was deleted, or it never was. Finished jobs are kept only with [history]."
        ),
    )


def _plain(value: Any) -> str:
    return pretty(bytes(value)) if isinstance(value, msgspec.Raw) else str(value)


def _shown(view: JobView, track: dict[str, Any], language: Language) -> dict[str, Any]:
    job, lease = view.job, view.lease
    progress = {"percent": track.get("percent"), "desc": track.get("desc")}
    holder = "" if lease is None or lease.holder.startswith("\0") else lease.holder
    return {
        "view": view,
        "place": view.place.value,
        "kind": _KINDS.get(view.place, ""),
        "jid": view.jid,
        "jobtype": job.jobtype,
        "queue": view.queue,
        "lease": lease and {"holder": holder, "since": lease.since, "until": lease.until},
        "cancelled": lease is not None and CANCELLED in lease.uses,
        "due": view.due,
        "created_at": instant_of(job.created_at),
        "enqueued_at": instant_of(job.enqueued_at),
        "failed_at": instant_of(job.failure.failed_at) if job.failure else 0,
        "due_local": format_instant(view.due)[:19] if view.due else "",
        "progress": progress if progress["percent"] is not None or progress["desc"] else None,
        "bid": view.extras.bid,
        "facts": _facts(view, language),
        "failure": job.failure,
        "failed_by": view.extras.worker,
        "tries": job.failure.retry_count + 1 if job.failure else 0,
        "args_pretty": pretty(bytes(job.args)),
        "custom_pretty": pretty(bytes(job.custom)) if job.custom is not ABSENT else "",
        "push": "PUSH " + as_pushed(job).decode("utf-8", "replace")[:MOST_SHOWN],
    }


def _facts(view: JobView, language: Language) -> list[tuple[str, str]]:
    """What there is to say of a job; what is as for most jobs is left out."""
    text, job, extras = language.gettext, view.job, view.extras
    facts: list[tuple[str, Any]] = [
        (text("Priority"), view.priority if view.priority != 5 else None),
        (text("Retries allowed"), _retries(job, language)),
        (text("Reservation"), language.span(job.reserve_for * 1000) if job.reserve_for else None),
        (text("Backoff"), extras.backoff),
        (text("Unique by"), extras.lock[:16] if extras.lock else None),
        (text("Expires"), language.instant(extras.expires) if extras.expires else None),
        (text("Taken back from workers"), extras.recoveries or None),
    ]
    return [(name, str(value)[:300]) for name, value in facts if value is not None and value != ""]


def _retries(job: Job, language: Language) -> str | None:
    """What becomes of the job when it fails, where no number says it."""
    if job.retry is None or job.retry > 0:
        return None if job.retry is None else language.number(job.retry)
    return (
        language.gettext("none: dead when it fails")
        if job.retry < 0
        else language.gettext("0: discarded when it fails")
    )


def as_pushed(job: Job) -> bytes:
    """A job as it was pushed: without what the server wrote on it."""
    return encode_job(Job(jid=job.jid, **_pushed(job)))


def _pushed(job: Job) -> dict[str, Any]:
    return {
        name: getattr(job, name)
        for name in ("args", "queue", "jobtype", "at", "retry", "reserve_for", "backtrace", "custom")
    }


def _without_jid(job: Job) -> bytes:
    """A job as somebody would push one like it: with its jid there would be two, and no telling which is meant."""
    fields = msgspec.json.decode(encode_job(Job(jid="", **_pushed(job))), type=dict[str, msgspec.Raw])
    return msgspec.json.encode({name: value for name, value in fields.items() if name != "jid"})


def _over(over: dict[str, Any]) -> dict[str, Any]:
    """A finished job as the page shows it."""
    payload = bytes(over["job"])
    try:
        jobtype = str(msgspec.json.decode(payload, type=dict[str, Any]).get("jobtype", ""))
    except UNREADABLE:
        jobtype = ""
    result = over["result"]
    return {
        **over,
        **{name: instant_of(over[name]) for name in ("finished_at", "started_at", "enqueued_at")},
        "jobtype": jobtype[:120],
        "pretty": pretty(payload),
        "result": pretty(bytes(result)) if result is not None else "",
    }


async def push_form(request: Request, site: Site, *, text: str | None = None, error: str = "") -> Response:
    """GET /push: a new job, or with `like` one as another is."""
    site.need(request, Role.OPERATOR)
    language = language_of(request)
    like = request.query_params.get("like", "")
    if text is None:
        views = site.look(lambda engine: engine.views.find(like)) if like else []
        text = pretty(_without_jid(views[0].job)) if views else _EXAMPLE
    return await site.page(
        request,
        "push.html",
        "queues",
        language.gettext("Edit and push again") if like else language.gettext("New push"),
        status=400 if error else 200,
        live=False,
        text=text,
        **({"flash": {"text": error, "bad": True}} if error else {}),
    )
