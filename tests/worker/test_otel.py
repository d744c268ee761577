"""A trace goes from the push to the job, across processes and servers."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from lineshaft.client import Client
from lineshaft.worker import Jobs, Worker
from lineshaft.worker.otel import inject, traced
from worker.working import work


@pytest.fixture(scope="module")
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


def test_the_run_is_a_child_of_the_push(url: str, spans: InMemorySpanExporter) -> None:
    jobs = Jobs(middleware=[traced])
    seen: list[int] = []

    @jobs.job(keep_result=True)
    def inside() -> None:
        # In a thread of its own, which has the context too.
        seen.append(trace.get_current_span().get_span_context().trace_id)
        raise ValueError("oops")

    with Client(url, on_push=[inject]) as client:
        tracer = trace.get_tracer("test")
        with tracer.start_as_current_span("request") as request:
            client.push(inside.job())
        client.push(inside.job())
        work(Worker(jobs, url=url), lambda: client.info()["faktory"]["sets"]["retries"] == 2)
    runs = [span for span in spans.get_finished_spans() if span.name == "process inside"]
    assert len(runs) == 2
    (child,) = [span for span in runs if span.parent is not None]
    assert child.parent is not None
    assert child.parent.span_id == request.get_span_context().span_id
    assert child.context is not None
    assert sorted(seen) == sorted(span.context.trace_id for span in runs if span.context is not None)
    assert not child.status.is_ok
    assert (child.attributes or {})["messaging.destination.name"] == "default"


def test_a_push_outside_of_any_trace_carries_nothing(url: str, spans: InMemorySpanExporter) -> None:  # noqa: ARG001
    with Client(url, on_push=[inject]) as client:
        client.push({"jobtype": "T", "args": []})
        job = client.fetch("default")
        assert job is not None
        assert "custom" not in job
