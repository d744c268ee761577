"""Every operation of the API, from which its routes and its documentation come."""

from typing import Final

from starlette.routing import Route

from lineshaft.engine.timed import SetName
from lineshaft.lifecycle import WorkerState
from lineshaft.web.api import jobs, plans, queues, sets, workers
from lineshaft.web.api import records as types
from lineshaft.web.api.operation import PAGED, Operation, answering
from lineshaft.web.lists.rows import FILTER
from lineshaft.web.problem import API
from lineshaft.web.site import Site

__all__ = ["OPERATIONS", "api_routes"]

OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/overview", "read", "The figures of the whole server", queues.overview, types.OverviewOut),
    Operation("GET", "/queues", "read", "Queues by name", queues.queues, types.QueuesOut, query=("after", "limit")),
    Operation("GET", "/queues/{name}", "read", "A queue", queues.queue, types.QueueOut),
    Operation(
        "DELETE", "/queues/{name}", "admin", "Remove a queue and its jobs", queues.on_queue("remove"), status=204
    ),
    Operation("POST", "/queues/{name}/pause", "act", "Hand out none of its jobs", queues.on_queue("pause"), status=204),
    Operation("POST", "/queues/{name}/resume", "act", "Hand out its jobs again", queues.on_queue("resume"), status=204),
    Operation(
        "POST", "/queues/{name}/clear", "admin", "Delete the jobs that wait in it", queues.on_queue("clear"), status=204
    ),
    Operation(
        "GET", "/queues/{name}/lanes", "read", "Its lanes", queues.lanes, types.LanesOut, query=("after", "limit")
    ),
    Operation(
        "GET",
        "/queues/{name}/jobs",
        "read",
        "Jobs that wait in it",
        queues.enqueued,
        types.JobsOut,
        query=(*PAGED, *FILTER),
    ),
    *(
        Operation(
            "GET",
            f"/{name}",
            "read",
            f"Jobs of the set {name}",
            sets.timed(name),
            types.JobsOut,
            query=("order", *PAGED, *FILTER),
        )
        for name in SetName
    ),
    *(
        Operation(
            "POST",
            f"/{name}",
            "admin",
            f"Do something with jobs of the set {name}",
            sets.bulk(name),
            types.BulkOut,
            types.BulkIn,
        )
        for name in SetName
    ),
    Operation("POST", "/jobs", "push", "Push a job", jobs.push, types.Made, types.PushIn, status=201),
    Operation(
        "POST",
        "/jobs/bulk",
        "push",
        "Push many jobs in one commit",
        jobs.push_many,
        types.PushedOut,
        list[types.PushIn],
    ),
    Operation("GET", "/jobs/{jid:path}", "read", "The live jobs with a jid", jobs.job, list[types.JobOut]),
    Operation(
        "POST",
        "/jobs/{jid:path}/run",
        "act",
        "Let a waiting or dead job run now",
        jobs.on_job("run", "requeue"),
        status=204,
    ),
    Operation(
        "POST",
        "/jobs/{jid:path}/kill",
        "act",
        "Move a waiting job to the dead ones",
        jobs.on_job("kill", "kill"),
        status=204,
    ),
    Operation(
        "POST",
        "/jobs/{jid:path}/delete",
        "act",
        "Delete a waiting or dead job",
        jobs.on_job("delete", "discard"),
        status=204,
    ),
    Operation("POST", "/jobs/{jid:path}/cancel", "act", "As CANCEL", jobs.on_job("cancel", "cancel"), status=204),
    Operation(
        "POST",
        "/jobs/{jid:path}/reschedule",
        "act",
        "Let it run at another time",
        jobs.reschedule,
        None,
        types.RescheduleIn,
        status=204,
    ),
    Operation("GET", "/workers", "read", "Workers and their jobs", workers.workers, types.WorkersOut, query=("after",)),
    Operation("POST", "/workers/{wid}/quiet", "act", "Fetch no more", workers.signal(WorkerState.QUIET), status=204),
    Operation("POST", "/workers/{wid}/terminate", "act", "End", workers.signal(WorkerState.TERMINATE), status=204),
    Operation(
        "GET", "/batches", "read", "Batches, the newest first", plans.batches, types.BatchesOut, query=("cursor",)
    ),
    Operation("GET", "/batches/{bid}", "read", "A batch", plans.batch, types.BatchOut),
    Operation("GET", "/periodic", "read", "Periodic jobs", plans.periodic, list[types.PeriodicOut], query=("after",)),
    Operation("POST", "/periodic/{name}/run", "act", "Push its job now", plans.on_periodic("run"), types.Made),
    Operation(
        "POST", "/periodic/{name}/pause", "act", "Let its due times pass", plans.on_periodic("pause"), types.Made
    ),
    Operation("POST", "/periodic/{name}/resume", "act", "Let it run again", plans.on_periodic("resume"), types.Made),
)


def api_routes(site: Site) -> list[Route]:
    """The routes of all operations; the more particular of two paths first."""
    ordered = sorted(OPERATIONS, key=lambda operation: ":path" in operation.path)
    return [Route(API + each.path, answering(site, each), methods=[each.method]) for each in ordered]
