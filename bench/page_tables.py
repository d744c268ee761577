"""The tables of docs/performance.md: rates, latencies, costs, as lines of Markdown. What was not measured has none."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median

from jobload import Measure
from loads import LOADS
from matches import PLAIN
from ratios import Verdict, best_settings
from results import Results, Round

__all__ = ["DASH", "OPEN", "SYNCS", "features", "latency", "libraries", "servers", "span", "table"]

SYNCS = {"never": "replies do not wait for the disk", "always": "replies wait for the disk"}
OPEN = "open loop at half the maximum"
DASH = "-"
#: What a server was seen to take, in the tables of servers and of features.
NUMBERS = ("PUSH p50 / p99 / p99.9, ms", "CPU s per 100,000 jobs", "RSS, MB", "bytes written per job")


def servers(results: Results, sync: str) -> Iterator[str]:
    """Every server under every load, beside the reference."""
    yield f"![Jobs per second beside the reference, sync {sync}](images/performance-{sync}.svg)"
    yield ""
    if sync == "never":
        yield "![Jobs per second by connections](images/performance-connections.svg)"
        yield ""
    loads = [load.name for load in LOADS if not (load.plain or load.open_share)]
    rows = [row for load in loads for row in _rows(results.of(load, sync), load, "reference")]
    yield from table(("Row", "Server", "jobs/s", "to the reference", *NUMBERS), rows)
    yield ""


def features(results: Results) -> Iterator[str]:
    """Jobs that use a feature, beside plain ones on the same server."""
    yield "The same server with plain jobs, and with jobs or connections that use a feature, in the same round."
    yield ""
    rows = []
    for load in LOADS:
        for sync in SYNCS:
            found = _rows(results.of(load.name, sync), load.name, PLAIN) if load.plain else []
            rows += [(row[0], sync, *row[1:]) for row in found]
    yield from table(("Row", "Sync", "Server", "jobs/s", "to plain jobs", *NUMBERS), rows)
    yield ""


def _rows(rounds: Sequence[Round], name: str, yardstick: str) -> Iterator[Sequence[str]]:
    for label in _labels(rounds):
        found = [one.measures[label] for one in rounds if label in one.measures]
        pairs = [(one.measures[label], one.measures[yardstick]) for one in rounds if label in one.measures]
        ratio = median(mine.jobs_per_second / theirs.jobs_per_second for mine, theirs in pairs)
        written = [one.written_bytes_per_job for one in found if one.written_bytes_per_job is not None]
        yield (
            name,
            label,
            f"{_of(found, lambda one: one.jobs_per_second):,.0f}",
            f"{ratio:.2f}",
            _percentiles(found, "PUSH"),
            f"{_of(found, lambda one: one.cpu_seconds_per_100k_jobs):.2f}",
            f"{_of(found, lambda one: one.rss_mb):.0f}",
            f"{median(written):,.0f}" if written else DASH,
        )


def latency(results: Results, earlier: Sequence[Results]) -> Iterator[str]:
    """The open loop, of the version that is shown, and of earlier ones."""
    yield "![p50, p99 and p99.9 of a PUSH in an open loop](images/performance-latency.svg)"
    yield ""
    head = ("Sync", "Server", "cycles/s", "PUSH", "FETCH", "ACK", "whole cycle", "the load tool's own")
    yield from table(head, _open_rows(results))
    yield ""
    yield "p50 / p99 / p99.9 in milliseconds, medians of the rounds."
    yield ""
    for one in earlier:
        yield f"An earlier version of the server, {one.machine['sources']}, another time of the same day:"
        yield ""
        yield from table(head, _open_rows(one))
        yield ""


def _open_rows(results: Results) -> Iterator[Sequence[str]]:
    for sync in SYNCS:
        rounds = results.of(OPEN, sync)
        for label in _labels(rounds):
            found = [one.measures[label] for one in rounds if label in one.measures]
            cells = [_percentiles(found, verb) for verb in ("PUSH", "FETCH", "ACK", "CYCLE", "LATE")]
            yield sync, label, f"{_of(found, lambda one: one.jobs_per_second):,.0f}", *cells


def libraries(results: Results, verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Each worker at its best; of what has no target, the ratios."""
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
        cells = [cell for setting, rates in found for cell in (f"{median(rates):,.0f}", setting)]
        rows.append((worker, *cells, _seconds(results, worker, found[0][0])))
    ways = ("noop, jobs/s", "in its best setting", "1 ms, jobs/s", "in its best setting", "a round of noop, s")
    yield from table(("Worker", *ways), rows)
    yield ""
    yield "A client and worker that others made for this protocol, on our server, beside BullMQ; no target is set:"
    yield ""
    beside = [
        (one.load, one.subject, one.yardstick or DASH, f"{one.median:.2f}", f"{one.least:.2f} to {one.most:.2f}")
        for one in verdicts
        if one.load.startswith("worker, ") and not one.target
    ]
    yield from table(("Row", "On lineshaft", "Beside", "Ratio", "Range"), beside)
    yield ""


def _seconds(results: Results, worker: str, setting: str) -> str:
    """How long a round took, from the first job that was counted to the last."""
    found = [
        one for one in results.workers if (one["worker"], one["setting"], one["kind"]) == (worker, setting, "noop")
    ]
    return f"{median(one['jobs'] / one['jobs_per_second'] for one in found):.1f}"


def _labels(rounds: Sequence[Round]) -> list[str]:
    return list(dict.fromkeys(label for one in rounds for label in one.measures))


def _of(found: Sequence[Measure], what: Callable[[Measure], float]) -> float:
    return median(what(one) for one in found)


def _percentiles(found: Sequence[Measure], verb: str) -> str:
    values = [one.latency_us[verb] for one in found if verb in one.latency_us]
    return " / ".join(f"{median(one[place] for one in values) / 1000:.2f}" for place in (0, 1, 2)) if values else DASH


def span(numbers: Sequence[float], form: str = "g") -> str:
    """From the least to the most, or the one that there is."""
    least, most = f"{min(numbers):{form}}", f"{max(numbers):{form}}"
    return least if least == most else f"{least} to {most}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    for row in rows:
        yield f"| {' | '.join(row)} |"
