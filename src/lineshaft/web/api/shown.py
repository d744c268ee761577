"""From what the engine shows to what the API gives."""

from typing import Any

from lineshaft.clock import format_instant
from lineshaft.engine.cancel import CANCELLED
from lineshaft.engine.engine import NEVER
from lineshaft.engine.views.views import HeldView, JobView, LanesView, Overview, QueueView, WorkerView
from lineshaft.job import ABSENT, DEFAULT_QUEUE
from lineshaft.web.api.records import (
    BatchOut,
    FailureOut,
    HeldOut,
    JobOut,
    LaneOut,
    LanesOut,
    LeaseOut,
    OverviewOut,
    PeriodicOut,
    QueueOut,
    WorkerOut,
)

__all__ = ["batch_out", "held_out", "job_out", "lanes_out", "overview_out", "periodic_out", "queue_out", "worker_out"]


def overview_out(view: Overview) -> OverviewOut:
    """The figures as they are given."""
    next_retry = format_instant(view.next_retry) if view.retries and view.next_retry < NEVER else None
    same = {name: getattr(view, name) for name in OverviewOut.__struct_fields__ if name not in ("now", "next_retry")}
    return OverviewOut(now=format_instant(view.now), next_retry=next_retry, **same)


def queue_out(view: QueueView) -> QueueOut:
    """A queue as it is given."""
    same = {name: getattr(view, name) for name in QueueOut.__struct_fields__ if name != "created_at"}
    return QueueOut(created_at=format_instant(view.created_at), **same)


def lanes_out(view: LanesView) -> LanesOut:
    """Lanes as they are given."""
    lanes = [
        LaneOut(
            lane.name,
            lane.waiting,
            lane.running,
            lane.state.value,
            format_instant(lane.wakes_at) if lane.wakes_at else None,
        )
        for lane in view.lanes
    ]
    return LanesOut(view.by, view.count, view.running, lanes, view.lanes[-1].name if view.more else "")


def job_out(view: JobView) -> JobOut:
    """A job as it is given."""
    job, failure, lease = view.job, view.job.failure, view.lease
    return JobOut(
        jid=view.jid,
        jobtype=job.jobtype,
        queue=view.queue or DEFAULT_QUEUE,
        place=view.place.value,  # type: ignore[arg-type]
        due=format_instant(view.due) if view.due else None,
        priority=view.priority,
        retry=job.retry,
        created_at=job.created_at,
        enqueued_at=job.enqueued_at,
        args=job.args,
        custom=job.custom if job.custom is not ABSENT else None,
        failure=None
        if failure is None
        else FailureOut(
            failure.errtype,
            failure.message,
            failure.retry_count,
            failure.remaining,
            failure.failed_at,
            failure.next_at,
            failure.backtrace,
            view.extras.worker,
        ),
        lease=None
        if lease is None
        else LeaseOut(
            "" if lease.holder.startswith("\0") else lease.holder,
            format_instant(lease.since),
            format_instant(lease.until),
            CANCELLED in lease.uses,
        ),
    )


def held_out(view: HeldView) -> HeldOut:
    """A held job as it is given."""
    return HeldOut(
        view.jid,
        view.job.jobtype if view.job else None,
        view.queue,
        view.holder,
        format_instant(view.since),
        format_instant(view.until),
        view.is_cancelled,
        view.percent,
        view.desc,
    )


def worker_out(view: WorkerView) -> WorkerOut:
    """A worker as it is given."""
    return WorkerOut(
        view.wid,
        view.hostname,
        view.pid,
        list(view.labels),
        view.state.word,  # type: ignore[arg-type]
        format_instant(view.started_at),
        format_instant(view.heard_at),
        view.connections,
        view.rss_kb,
        view.holds,
    )


def batch_out(row: dict[str, Any]) -> BatchOut:
    """A batch as it is given."""
    return BatchOut(**{"parent_bid": "", "death_st": ""} | {n: row[n] for n in BatchOut.__struct_fields__ if n in row})


def periodic_out(row: dict[str, Any]) -> PeriodicOut:
    """A periodic job as it is given."""
    return PeriodicOut(**{name: row[name] for name in PeriodicOut.__struct_fields__})
