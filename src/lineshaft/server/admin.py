"""The verbs of operators: BACKUP, ADOPT, INSPECT and SIGNAL. They stand in the table of `commands` with all others.

INSPECT only reads, one bounded slice per command, and gives a cursor for what follows: `{"rows": [...], "cursor": ""}`.
Where jobs are searched a slice may have no row and a cursor all the same, since it looks at so many and no more.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw

from lineshaft.clock import format_instant
from lineshaft.engine.admin.adopt import Arrival
from lineshaft.engine.search.filter import Filter
from lineshaft.engine.timed import SetName
from lineshaft.engine.views.views import JobView, QueueView, Views
from lineshaft.engine.views.workers import HeldView, WorkerView
from lineshaft.errors import Refusal
from lineshaft.fields import instant_of
from lineshaft.job import decode_pushed, encode_job
from lineshaft.lifecycle import Place, WorkerState
from lineshaft.protocol.admin import Adoption, Inspect, parse_adopt, parse_backup, parse_inspect, parse_signal
from lineshaft.protocol.resp import OK, bulk
from lineshaft.server.backup import begin_backup
from lineshaft.server.delivery import deliver

if TYPE_CHECKING:
    from lineshaft.server.session import Session

__all__ = ["adopt", "backup", "inspect", "signal"]

#: Rows of a slice, unless it is asked for otherwise.
USUAL: Final = 50

#: All workers are in memory, and shown at once; more than that no screen holds.
MOST_WORKERS: Final = 1000

SIGNALS: Final = {state.word: state for state in (WorkerState.QUIET, WorkerState.TERMINATE)}


def backup(session: "Session", argument: bytes) -> bytes | None:
    """BACKUP {"dir"}: answered when the copy is made."""
    begin_backup(session.server, session, parse_backup(argument))
    return None


def adopt(session: "Session", argument: bytes) -> bytes | None:
    """ADOPT [{"job","place","at"},...]: jobs come from another server, with their past."""
    server = session.server
    arrivals: dict[int, Arrival] = {}
    unread: dict[int, str] = {}
    for position, sent in enumerate(parse_adopt(argument)):
        try:
            arrivals[position] = _arrival(sent)
        except Refusal as refusal:
            unread[position] = refusal.text
    outcome = server.engine.adopt(arrivals)
    outcome.refused |= unread
    session.durable = True
    deliver(server)
    reply = bulk(msgspec.json.encode(outcome))
    session.count_unsent(len(reply))
    return reply


def _arrival(sent: Adoption) -> Arrival:
    """Raises Refusal."""
    try:
        place = Place(sent.place or Place.READY)
    except ValueError:
        raise Refusal(f"there is no place {(sent.place or '')[:50]}") from None
    return Arrival(decode_pushed(bytes(sent.job)), place, instant_of("at", sent.at))


def signal(session: "Session", argument: bytes) -> bytes | None:
    """SIGNAL {"wid","state"}: with its next BEAT a worker, or all, hears that it is to go quiet or to terminate."""
    message = parse_signal(argument)
    state = SIGNALS.get(message.state or "")
    engine = session.server.engine
    if state is None:
        raise Refusal("state must be quiet or terminate")
    if not message.wid:
        raise Refusal("missing wid")
    if message.wid != "all" and message.wid not in engine.state.workers.present:
        raise Refusal(f"unknown worker {message.wid[:200]}")
    engine.signal(message.wid, state)
    return OK


def inspect(session: "Session", argument: bytes) -> bytes | None:
    """INSPECT {"what",...}: a slice of what there is to look at."""
    message = parse_inspect(argument)
    look = LOOKS.get(message.what or "")
    if look is None:
        raise Refusal(f"what must be one of {', '.join(LOOKS)}")
    # It tells of what others have changed, which must be on disk first.
    session.durable = True
    rows, cursor = look(session.server.engine.views, message)
    reply = bulk(msgspec.json.encode({"rows": rows, "cursor": cursor}))
    session.count_unsent(len(reply))
    return reply


def _queues(views: Views, asked: Inspect) -> tuple[list[Any], str]:
    if asked.queue:
        one = views.queue(asked.queue)
        return ([] if one is None else [_queue(one)]), ""
    rows, more = views.queues(after=asked.cursor or "", limit=asked.limit or USUAL)
    return [_queue(row) for row in rows], rows[-1].name if more and rows else ""


def _workers(views: Views, asked: Inspect) -> tuple[list[Any], str]:
    return [_worker(row) for row in views.workers(limit=MOST_WORKERS, wid=asked.wid or "")], ""


def _jobs(views: Views, asked: Inspect) -> tuple[list[Any], str]:
    limit, cursor, wanted = asked.limit or USUAL, asked.cursor or "", _filter(asked)
    if asked.place == Place.LEASED:
        return _held(views, asked, wanted)
    if asked.place == Place.READY:
        if not asked.queue:
            raise Refusal("jobs of place ready need the name of their queue")
        found = views.enqueued(asked.queue, cursor=cursor, limit=limit, filter=wanted)
    elif asked.place in set(SetName):
        name = SetName(asked.place)
        found = views.timed(name, cursor=cursor, limit=limit, filter=wanted, newest=bool(asked.newest))
    else:
        raise Refusal("place must be ready, leased, scheduled, retries or dead")
    return [_job(row) for row in found.jobs], found.cursor


def _held(views: Views, asked: Inspect, wanted: Filter) -> tuple[list[Any], str]:
    try:
        after = int(asked.cursor or "0")
    except ValueError:
        raise Refusal("invalid cursor") from None
    rows, behind = views.held(after=max(after, 0), limit=asked.limit or USUAL, holder=asked.wid or "")
    return [_holding(row) for row in rows if _is_wanted(row, wanted)], str(behind or "")


def _is_wanted(row: HeldView, wanted: Filter) -> bool:
    return row.job is not None and wanted.matches(row.job, encode_job(row.job), 0)


def _one_job(views: Views, asked: Inspect) -> tuple[list[Any], str]:
    """Everything with a jid: live jobs first, then finished ones."""
    if not asked.jid:
        raise Refusal("missing jid")
    finished = [{"place": "finished", **row} for row in views.finished(asked.jid)]
    return [*map(_job, views.find(asked.jid)), *finished], ""


def _history(views: Views, asked: Inspect) -> tuple[list[Any], str]:
    rows, cursor, _ = views.history(cursor=asked.cursor or "", limit=asked.limit or USUAL)
    return list(rows), cursor


LOOKS: Final[dict[str, Callable[[Views, Inspect], tuple[list[Any], str]]]] = {
    "queues": _queues,
    "workers": _workers,
    "jobs": _jobs,
    "job": _one_job,
    "history": _history,
}
"""What can be looked at; each gives its rows and the cursor of what follows."""


def _filter(asked: Inspect) -> Filter:
    return Filter(
        jobtype=asked.jobtype or "",
        queue=asked.queue or "",
        errtype=asked.errtype or "",
        text=asked.text or "",
        since=instant_of("since", asked.since) or 0,
        until=instant_of("until", asked.until) or 0,
    )


def _queue(row: QueueView) -> dict[str, Any]:
    return {
        "name": row.name,
        "size": row.size,
        "paused": row.paused,
        "latency": round(row.latency_seconds, 3),
        "pushed": row.pushed,
        "processed": row.processed,
        "failed": row.failed,
        "max_jobs": row.max_jobs,
    }


def _worker(row: WorkerView) -> dict[str, Any]:
    return {
        "wid": row.wid,
        "hostname": row.hostname,
        "pid": row.pid,
        "labels": row.labels,
        "state": row.state.word,
        "jobs": row.holds,
        "connections": row.connections,
        "rss_kb": row.rss_kb,
        "started_at": format_instant(row.started_at),
        "heard_at": format_instant(row.heard_at),
    }


def _job(row: JobView) -> dict[str, Any]:
    shown: dict[str, Any] = {"place": row.place.value, "queue": row.queue, "priority": row.priority}
    if row.due:
        shown["at"] = format_instant(row.due)
    if row.lease is not None:
        holder = row.lease.holder
        shown["wid"] = "" if holder.startswith("\0") else holder
        shown["since"], shown["until"] = format_instant(row.lease.since), format_instant(row.lease.until)
    return {**shown, "job": Raw(row.payload)}


def _holding(row: HeldView) -> dict[str, Any]:
    return {
        "place": Place.LEASED.value,
        "queue": row.queue,
        "wid": row.holder,
        "since": format_instant(row.since),
        "until": format_instant(row.until),
        "cancelled": row.is_cancelled,
        "percent": row.percent,
        "desc": row.desc,
        "job": row.job,
    }
