"""OpenTelemetry: the context of a push reaches the job, in `custom`, by the names of the configured propagator.

    client = Client(on_push=[inject])          jobs = Jobs(middleware=[traced])

`traceparent` and the like are plain keys of `custom`, so producers and workers in other languages can do the same.
Needs the extra `lineshaft[otel]`; what becomes of the spans, the program's own OpenTelemetry SDK decides.
"""

from typing import Any, Final

from opentelemetry import propagate, trace

from lineshaft.client.job import Job
from lineshaft.worker.middleware import CallNext
from lineshaft.worker.running import RunningJob

__all__ = ["inject", "traced"]

_tracer: Final = trace.get_tracer("lineshaft")


def inject(job: Job[Any]) -> Job[Any]:
    """A hook for `on_push`: the job carries the context in which it is pushed."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return job.using(custom=carrier) if carrier else job


async def traced(job: RunningJob, call_next: CallNext) -> Any:
    """Middleware: each run is a span, a child of what pushed the job."""
    carrier = {key: value for key, value in job.custom.items() if isinstance(value, str)}
    attributes: dict[str, str | int] = {
        "messaging.system": "faktory",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue,
        "messaging.message.id": job.jid,
        "lineshaft.attempt": job.attempt,
    }
    with _tracer.start_as_current_span(
        f"process {job.jobtype}",
        context=propagate.extract(carrier),
        kind=trace.SpanKind.CONSUMER,
        attributes=attributes,
    ):
        return await call_next(job)
