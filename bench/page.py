"""docs/performance.md from the results of a bench: `make bench-page`.

Writes what stands between the two marks of the page, and the charts beside it; the words around them are written by
hand. Rows that were not measured are not there.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from charts import Bar, Group, Line, bar_chart, line_chart, span_chart
from jobload import Measure
from loads import LOADS
from ratios import best_settings
from results import Results

__all__ = ["charts", "main", "measured"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
BEGIN = "<!-- measured: begin (written by `make bench-page`) -->"
END = "<!-- measured: end -->"

SYNCS = {"never": "replies do not wait for the disk", "always": "replies wait for the disk"}
SERVERS = ("lineshaft", "reference", "beanstalkd", "lineshaft, sync interval")
#: The colour of a server in every chart.
COLOURS = {name: number for number, name in enumerate(SERVERS)}
OPEN = "open loop at half the maximum"
DASH = "-"


def main(arguments: list[str] | None = None) -> int:
    """Write the page and its charts from a file of results, by default the last one."""
    parser = argparse.ArgumentParser(description="Write docs/performance.md from the results of `make bench`.")
    parser.add_argument("file", type=Path, nargs="?", help="a file that `make bench` wrote (the last one)")
    options = parser.parse_args(arguments)
    found = sorted((ROOT / "bench" / "results").glob("bench-*.json"), key=lambda path: path.stat().st_mtime)
    if not (options.file or found):
        print("bench: there are no results: run `make bench` first", file=sys.stderr)
        return 1
    results = Results.read(options.file or found[-1])
    for name, text in charts(results):
        (IMAGES / f"performance-{name}.svg").write_text(text, "utf-8")
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{measured(results)}\n{END}{after}", "utf-8")
    print(f"{PAGE.relative_to(ROOT)} from {(options.file or found[-1]).name}")
    return 0


def measured(results: Results) -> str:
    """The generated part of the page."""
    parts = [*_origin(results), "### Targets\n", *_targets(results.verdicts)]
    for sync, meaning in SYNCS.items():
        parts += [f"### Sync {sync}: {meaning}\n", *_servers(results, sync)]
    parts += ["### Latency in an open loop\n", *_latency(results)]
    parts += ["### What a feature costs the jobs that use it\n", *_features(results.verdicts)]
    parts += ["### Workers of job libraries, end to end\n", *_libraries(results)]
    return "\n".join(parts)


def _origin(results: Results) -> Iterator[str]:
    times = [one.at for one in results.rounds] + [one["at"] for one in results.workers]
    rounds = [len(results.of(load.name, sync)) for load in LOADS for sync in SYNCS]
    played = [one for one in rounds if one] or [0]
    yield f"Measured from {min(times)} to {max(times)}, {_span(played)} rounds per row, by"
    yield ""
    yield "```"
    yield from dict.fromkeys(results.commands)
    yield "```"
    yield ""
    yield "on this machine:"
    yield ""
    yield from _table(("", ""), results.machine.items())
    yield ""
    shares = [one.foreign_cpu_seconds / one.seconds for each in results.rounds for one in each.measures.values()]
    if shares:
        yield f"While a server was measured, other processes used {median(shares):.0%} of a core (median; at most"
        yield f"{max(shares):.0%}); the more they do, the less the numbers mean."
        yield ""


def _span(numbers: Sequence[int]) -> str:
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def _targets(verdicts: Sequence[dict[str, Any]]) -> Iterator[str]:
    head = ("Row", "Sync", "Server", "Beside", "Measured", "Range", "Target", "")
    rows = []
    for one in verdicts:
        if one["target"]:
            sign, unit = ("≥", "") if one["yardstick"] else ("<", " ms")
            extremes = f"{one['least']:.3g} to {one['most']:.3g}"
            values = (f"{one['median']:.3g}{unit}", extremes, f"{sign} {one['target']:g}{unit}")
            verdict = "met" if one["is_met"] else "**not met**"
            rows.append((one["load"], one["sync"] or DASH, one["subject"], one["yardstick"] or "p99", *values, verdict))
    yield from _table(head, rows)
    yield ""


def _servers(results: Results, sync: str) -> Iterator[str]:
    yield f"![Jobs per second beside the reference, sync {sync}](images/performance-{sync}.svg)"
    yield ""
    if sync == "never":
        yield "![Jobs per second by connections](images/performance-connections.svg)"
        yield ""
    yield "Each number is the median of its rounds, the ratio that of the ratios within each round: what"
    yield "slowed both down for a while is not in it, and it need not be that of the medians beside it."
    yield ""
    numbers = ("jobs/s", "to the reference", "PUSH p50 / p99, ms", "CPU s per 100,000 jobs", "RSS, MB")
    head = ("Row", "Server", *numbers, "bytes written per job")
    yield from _table(head, _server_rows(results, sync))
    yield ""


def _server_rows(results: Results, sync: str) -> Iterator[Sequence[str]]:
    for load in LOADS:
        if load.plain or load.open_share:
            continue
        rounds = results.of(load.name, sync)
        for label in _labels(rounds):
            found = [one.measures[label] for one in rounds if label in one.measures]
            pairs = [(one.measures[label], one.measures["reference"]) for one in rounds if label in one.measures]
            ratio = median(mine.jobs_per_second / theirs.jobs_per_second for mine, theirs in pairs)
            cost = _of(found, lambda one: one.cpu_seconds_per_100k_jobs)
            push = _of(found, lambda one: one.latency_us.get("PUSH", (0, 0))[0] / 1000)
            long = _of(found, lambda one: one.latency_us.get("PUSH", (0, 0))[1] / 1000)
            written = [one.written_bytes_per_job for one in found if one.written_bytes_per_job is not None]
            yield (
                load.name,
                label,
                f"{_of(found, lambda one: one.jobs_per_second):,.0f}",
                f"{ratio:.2f}",
                f"{push:.2f} / {long:.2f}" if push else DASH,
                f"{cost:.2f}",
                f"{_of(found, lambda one: one.rss_mb):.0f}",
                f"{median(written):,.0f}" if written else DASH,
            )


def _latency(results: Results) -> Iterator[str]:
    yield "![p50, p99 and p99.9 of a PUSH in an open loop](images/performance-latency.svg)"
    yield ""
    head = ("Sync", "Server", "cycles/s", "PUSH", "FETCH", "ACK", "whole cycle", "the load tool's own")
    rows = []
    for sync in SYNCS:
        rounds = results.of(OPEN, sync)
        for label in _labels(rounds):
            found = [one.measures[label] for one in rounds if label in one.measures]
            cells = [_percentiles(found, verb) for verb in ("PUSH", "FETCH", "ACK", "CYCLE", "LATE")]
            rows.append((sync, label, f"{_of(found, lambda one: one.jobs_per_second):,.0f}", *cells))
    yield from _table(head, rows)
    yield ""
    yield "p50 / p99 / p99.9 in milliseconds, medians of the rounds."
    yield ""


def _features(verdicts: Iterable[dict[str, Any]]) -> Iterator[str]:
    names = {load.name for load in LOADS if load.plain}
    rows = [
        (one["load"], one["sync"], f"{one['median']:.2f}", f"{one['least']:.2f} to {one['most']:.2f}")
        for one in verdicts
        if one["load"] in names
    ]
    yield "Jobs per second beside plain jobs without it on the same server, in the same round."
    yield ""
    yield from _table(("Row", "Sync", "Ratio", "Range"), rows)
    yield ""


def _libraries(results: Results) -> Iterator[str]:
    best = best_settings(results.workers)
    workers = list(dict.fromkeys(worker for worker, _ in best))
    if not workers:
        yield "Not measured in this run.\n"
        return
    yield "![Jobs per second of each library's workers](images/performance-workers.svg)"
    yield ""
    rows = []
    for worker in workers:
        found = [best[worker, kind] for kind in ("noop", "1ms")]
        rows.append((worker, *(cell for setting, rates in found for cell in (f"{median(rates):,.0f}", setting))))
    head = ("Worker", "noop, jobs/s", "in its best setting", "1 ms, jobs/s", "in its best setting")
    yield from _table(head, rows)
    yield ""
    beside = []
    for one in results.verdicts:
        if one["load"].startswith("worker, "):
            numbers = (f"{one['median']:.1f}", f"{one['least']:.1f} to {one['most']:.1f}")
            beside.append((one["load"], one["subject"], one["yardstick"], *numbers))
    yield from _table(("Row", "Ours", "Beside", "Ratio", "Range"), beside)
    yield ""


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
                    points.append((float(load.connections), _of(found, lambda one: one.jobs_per_second)))
        yield Line(server, COLOURS[server], points)


def _spans(results: Results, sync: str) -> list[tuple[int, list[float]]]:
    rounds = results.of(OPEN, sync)
    spans = []
    for server in SERVERS:
        found = [one.measures[server].latency_us["PUSH"] for one in rounds if server in one.measures]
        if found:
            spans.append((COLOURS[server], [median(one[place] for one in found) / 1000 for place in (0, 1, 2)]))
    return spans


def _labels(rounds: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(label for one in rounds for label in one.measures))


def _of(found: Sequence[Measure], what: Any) -> float:
    return float(median(what(one) for one in found))


def _percentiles(found: Sequence[Measure], verb: str) -> str:
    values = [one.latency_us[verb] for one in found if verb in one.latency_us]
    return " / ".join(f"{median(one[place] for one in values) / 1000:.2f}" for place in (0, 1, 2)) if values else DASH


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    sys.exit(main())
