"""`/metrics`: the figures in the text format of Prometheus.

They are read and written in pieces, between which the loop serves others. (A thread that writes them would take the
interpreter for five milliseconds at a time, and with it the loop.) Labels are bounded: queues beyond the first
MOST_QUEUES, in the order of their names, are one, named `(other)`, which no queue can be; types beyond the first of a
queue are `(other)` too (`engine.stats.outcomes`), and of all these pairs the first MOST_PAIRS are told apart. Verbs are
those that the server knows.
"""

from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from itertools import accumulate
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from lineshaft import __version__
from lineshaft.engine.views.views import Overview, QueueView
from lineshaft.lifecycle import WorkerState
from lineshaft.store.timing import BOUNDS_SECONDS, Durations
from lineshaft.web.access.accounts import Role
from lineshaft.web.site import Site

__all__ = ["metrics"]

MOST_QUEUES: Final = 200
AT_ONCE: Final = 50
#: Lines that are written at once.
MOST_LINES: Final = 100
#: Of queue, type and outcome.
MOST_PAIRS: Final = 5000
OTHER: Final = "(other)"


async def metrics(request: Request, site: Site) -> Response:
    """GET /metrics"""
    site.need(request, Role.READER)
    await site.pace.begin()
    written: list[bytes] = []
    for family in _families(site, *await _queues(site)):
        await site.pace.rest()
        for text in _written(family):
            written.append(text)
            await site.pace.rest()
    return Response(b"".join(written), media_type=CONTENT_TYPE_LATEST)


async def _queues(site: Site) -> tuple[list[QueueView], bool]:
    """The queues that are told apart, a few at a time since each costs a look at a job, and whether there are more."""
    found: list[QueueView] = []
    # A standby has none of its own.
    more = site.backend.cluster() is None or site.backend.is_leading()
    while more and len(found) < MOST_QUEUES:
        after = found[-1].name if found else ""
        some, more = site.look(lambda engine: engine.views.queues(after=after, limit=AT_ONCE))  # noqa: B023 - looked at now
        found += some
        await site.pace.rest()
    return found, more


class _Read(Collector):
    """A family that was read, as what writes it wants it."""

    def __init__(self, family: Metric) -> None:
        self.family = family

    def collect(self) -> Iterable[Metric]:
        """That family."""
        return [self.family]


def _written(family: Metric) -> Iterator[bytes]:
    """A family in pieces of so many lines, of which the first has its head."""
    for first in range(0, max(len(family.samples), 1), MOST_LINES):
        part = copy(family)
        part.samples = family.samples[first : first + MOST_LINES]
        text = generate_latest(_Read(part))
        # What it is and of which type.
        yield text.split(b"\n", 2)[2] if first else text


def _families(site: Site, queues: list[QueueView], more: bool) -> Iterator[Metric]:
    backend = site.backend
    cluster = backend.cluster()
    if cluster is not None:
        yield from _of_cluster(cluster)
    if cluster is not None and not backend.is_leading():
        # A standby has no jobs of its own: the leader tells of them.
        return
    yield _gauge("up", "Whether the server can take a job", int(backend.is_healthy()))
    yield _labelled(GaugeMetricFamily("lineshaft_build_info", "The version", labels=["version"]), {__version__: 1})
    info = backend.info()["server"]
    yield _gauge("uptime_seconds", "Since the start", info["uptime"])
    yield _gauge("connections", "Open connections of the job port", info["connections"])
    yield from _of_commands(backend.verbs())
    yield _gauge("memory_highest_bytes", "The most memory that the process has had", info["used_memory_mb"] << 20)
    yield from _of_jobs(site.look(lambda engine: engine.views.overview()))
    yield from _of_queues(queues, site.look(lambda engine: engine.views.overview()) if more else None)
    yield _of_types(site.look(lambda engine: engine.views.outcomes([queue.name for queue in queues], MOST_PAIRS)))
    yield _of_workers(site.look(lambda engine: engine.views.worker_states()))
    for name, value in backend.storage().items():
        yield _gauge(f"storage_{name}", "The store's own figure", value)
    yield from _of_times(backend.durations())
    late = [note.loop_ms for note in site.pulse.past.notes["5m"]]
    yield _gauge("loop_delay_highest_seconds", "The latest of the last 5 min", max(late, default=0.0) / 1000)
    told = "How late the loop comes to a timer, looked at once a second"
    yield _histogram(HistogramMetricFamily("lineshaft_loop_delay_seconds", told), {(): site.pulse.loop})
    yield _gauge("web_watchers", "Browsers that keep a page live", site.pulse.watchers)


def _of_cluster(cluster: dict[str, Any]) -> Iterator[Metric]:
    """What this node sees of the cluster; how long appends take stands with the store's times."""
    yield _gauge("cluster_leader", "Whether this node leads", int(cluster["role"] == "leader"))
    yield _gauge("cluster_has_leader", "Whether this node knows of a leader", int(cluster["leader"] is not None))
    if "end" not in cluster:
        return
    yield _gauge("cluster_epoch", "The newest epoch that this node knows", cluster["epoch"])
    yield _gauge("cluster_log_end", "The last entry of the log", cluster["end"])
    yield _gauge("cluster_forwarded", "Connections that this node carries to the leader", cluster["forwarded"])
    told = "How often this node came to lead"
    yield CounterMetricFamily("lineshaft_cluster_takeovers", told, value=cluster["takeovers"])
    yield _gauge(
        "cluster_takeover_seconds", "From the silence to the service, the last time", cluster["takeover_ms"] / 1000
    )
    for name, key, told in (
        ("behind", "behind", "Entries of the log that the node has not applied"),
        ("silent_seconds", "seen_ms", "How long ago it last said something"),
    ):
        scale = 1000 if key == "seen_ms" else 1
        values = {node["node"]: node[key] / scale for node in cluster["nodes"]}
        yield _labelled(GaugeMetricFamily(f"lineshaft_cluster_node_{name}", told, labels=["node"]), values)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"lineshaft_{name}", told, value=value)


def _counter(name: str, told: str, value: float) -> Metric:
    return CounterMetricFamily(f"lineshaft_{name}", told, value=value)


def _labelled(family: Any, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], value)
    assert isinstance(family, Metric)
    return family


def _of_jobs(overview: Overview) -> Iterator[Metric]:
    outcomes = {
        "success": overview.processed - overview.failed,
        "failure": overview.failed,
        "expired": overview.expired,
    }
    yield _labelled(CounterMetricFamily("lineshaft_jobs", "Jobs by what became of them", labels=["outcome"]), outcomes)
    sets = {
        "scheduled": overview.scheduled,
        "retries": overview.retries,
        "dead": overview.dead,
        "finished": overview.finished,
    }
    yield _labelled(GaugeMetricFamily("lineshaft_set_jobs", "Jobs in a set", labels=["set"]), sets)
    yield _gauge("enqueued_jobs", "Jobs that wait in queues", overview.enqueued)
    yield _gauge("busy_jobs", "Jobs in workers' hands", overview.busy)
    yield _gauge("queues", "Queues", overview.queues)
    yield _gauge("paused_queues", "Queues that are paused", overview.paused)
    yield _gauge(
        "pushes_refused", "Whether pushes are refused, as on a full disk", int(overview.push_refusal is not None)
    )


def _of_queues(queues: list[QueueView], all_of_them: Overview | None) -> Iterator[Metric]:
    """The figures of each queue; with the overview also what all others have together."""

    def told(name: str, what: str, kind: type, figures: Mapping[str, float], other: float | None = None) -> Metric:
        values = dict(figures) if other is None else {**figures, OTHER: other}
        return _labelled(kind(f"lineshaft_queue_{name}", what, labels=["queue"]), values)

    def each(attribute: str) -> dict[str, float]:
        return {queue.name: getattr(queue, attribute) for queue in queues}

    rest = None if all_of_them is None else all_of_them.enqueued - sum(queue.size for queue in queues)
    yield told("jobs", "Jobs that wait", GaugeMetricFamily, each("size"), rest)
    yield told("latency_seconds", "How long the oldest has waited", GaugeMetricFamily, each("latency_seconds"))
    yield told("paused", "Whether it is paused", GaugeMetricFamily, each("paused"))
    yield told("pushed", "Jobs pushed to it", CounterMetricFamily, each("pushed"))
    yield told("processed", "Jobs worked on, failures included", CounterMetricFamily, each("processed"))
    yield told("failed", "Failures", CounterMetricFamily, each("failed"))


def _of_workers(workers: Mapping[WorkerState, int]) -> Metric:
    states = {state.word: workers.get(state, 0) for state in WorkerState}
    family = GaugeMetricFamily("lineshaft_workers", "Worker processes by state", labels=["state"])
    return _labelled(family, states)


def _of_times(durations: Mapping[str, Durations]) -> Iterator[Metric]:
    for name, taken in durations.items():
        told = f"How long a {name} of the store takes"
        yield _histogram(HistogramMetricFamily(f"lineshaft_{name}_seconds", told), {(): taken})


def _of_commands(verbs: Mapping[str, tuple[int, Durations]]) -> Iterator[Metric]:
    counts = {verb: float(count) for verb, (count, _) in verbs.items()}
    family = CounterMetricFamily("lineshaft_commands", "Commands by verb", labels=["verb"])
    yield _labelled(family, counts)
    told = "How long a command takes by itself; one of each 64 of a verb is timed"
    timed = HistogramMetricFamily("lineshaft_command_seconds", told, labels=["verb"])
    yield _histogram(timed, {(verb,): taken for verb, (_, taken) in verbs.items()})


def _histogram(family: HistogramMetricFamily, durations: Mapping[tuple[str, ...], Durations]) -> Metric:
    bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
    for labels, taken in durations.items():
        family.add_metric(labels, list(zip(bounds, accumulate(taken.counts), strict=True)), taken.seconds)
    return family


def _of_types(outcomes: list[tuple[str, str, str, int]]) -> Metric:
    told = "Tries at jobs by what became of them, since the start"
    family = CounterMetricFamily("lineshaft_type_jobs", told, labels=["queue", "jobtype", "outcome"])
    for queue, jobtype, outcome, count in outcomes:
        family.add_metric([queue, jobtype, outcome], count)
    return family
