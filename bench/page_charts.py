"""The charts of docs/performance.md, from the results that it shows. What was not measured has no chart."""

from collections.abc import Iterator
from statistics import median

from charts import Bar, Group, Line, bar_chart, line_chart, span_chart
from loads import LOADS
from page_tables import OPEN, SYNCS
from ratios import best_settings
from results import Results

__all__ = ["charts"]

SERVERS = ("lineshaft", "reference", "beanstalkd", "lineshaft, sync interval")
#: The colour of a server in every chart.
COLOURS = {name: number for number, name in enumerate(SERVERS)}


def charts(results: Results) -> Iterator[tuple[str, str]]:
    """The charts that the results have numbers for, by name."""
    for sync in SYNCS:
        groups = [group for group in (_group(results, load.name, sync) for load in LOADS) if group.bars]
        if groups:
            title = f"Jobs per second beside the reference, sync {sync}"
            yield sync, bar_chart(title, SERVERS[:3], groups, mark=1.0)
    lines = [line for line in _lines(results) if line.points]
    if lines:
        yield "connections", line_chart("Cycles per second, sync never", "connections", lines)
    spans = [(sync, _spans(results, sync)) for sync in SYNCS if results.of(OPEN, sync)]
    if spans:
        groups_ms = [(f"sync {sync}", found) for sync, found in spans]
        yield "latency", span_chart("A PUSH at half of the maximum load: p50, p99, p99.9", SERVERS, groups_ms)
    best = best_settings(results.workers)
    bars = []
    for (worker, kind), (_, rates) in best.items():
        if kind == "noop":
            colour = 0 if worker.startswith(("lineshaft", "faktory")) else 1
            bars.append(Group(worker, [Bar(median(rates), colour, f"{median(rates):,.0f}")]))
    if bars:
        yield "workers", bar_chart("Jobs that do nothing, per second", ["on lineshaft", "on Redis"], bars)


def _group(results: Results, name: str, sync: str) -> Group:
    load = next(one for one in LOADS if one.name == name)
    rounds = results.of(name, sync)
    if load.plain or load.open_share or not rounds:
        return Group(name, [])
    bars = []
    for server in SERVERS[:3]:
        pairs = [(one.measures[server], one.measures["reference"]) for one in rounds if server in one.measures]
        if pairs:
            ratio = median(mine.jobs_per_second / theirs.jobs_per_second for mine, theirs in pairs)
            bars.append(Bar(ratio, COLOURS[server], f"{median(mine.jobs_per_second for mine, _ in pairs):,.0f}"))
    return Group(name, bars)


def _lines(results: Results) -> Iterator[Line]:
    for server in SERVERS[:3]:
        points = []
        for load in LOADS:
            if load.name.startswith(f"cycle, {load.connections:,} connection"):
                found = [one.measures[server] for one in results.of(load.name, "never") if server in one.measures]
                if found:
                    points.append((float(load.connections), median(one.jobs_per_second for one in found)))
        yield Line(server, COLOURS[server], points)


def _spans(results: Results, sync: str) -> list[tuple[int, list[float]]]:
    rounds = results.of(OPEN, sync)
    spans = []
    for server in SERVERS:
        found = [one.measures[server].latency_us["PUSH"] for one in rounds if server in one.measures]
        if found:
            spans.append((COLOURS[server], [median(one[place] for one in found) / 1000 for place in (0, 1, 2)]))
    return spans
