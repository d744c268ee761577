"""The page of the scale bench: its tables and charts in docs/performance-scale.md, written from what was measured.

    python bench/scale_page.py FILE       the page of an earlier run, from its figures

The figures themselves are published beside the page, in docs/data, and named on it.
"""

import json
import sys
from pathlib import Path
from typing import Any

from charts import Line, line_chart

__all__ = ["write_page"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance-scale.md"
IMAGES = PAGE.parent / "images"

Figures = dict[str, Any]


def write_page(result: Figures) -> None:
    """Write the tables and charts of what was measured into the page; what was not measured stays as it is there."""
    machine, day = result["machine"], result["at"][:10]
    figures = PAGE.parent / "data" / f"scale-{day}-{machine['sources']}.json"
    figures.parent.mkdir(exist_ok=True)
    figures.write_text(json.dumps(result, separators=(",", ":")) + "\n")
    where = f"{day}, {machine['processor']}, {machine['python']}, {machine['libraries']}, {machine['sources']}"
    where += f" ([figures](data/{figures.name}))"
    if result["backlog"]:
        _put("backlog", f"Measured {where}.\n\n" + _backlog_table(result["backlog"]))
        lines = [
            Line(label, colour, [(one["jobs"], one[what]) for one in result["backlog"]])
            for colour, (what, label) in enumerate(
                (("push_us", "PUSHB of 100"), ("drain_us", "FETCH and ACK, 16 in flight"))
            )
        ]
        title = "Microseconds of the main thread for a job"
        (IMAGES / "scale-backlog.svg").write_text(line_chart(title, "jobs in the backlog", lines))
    if result["spread"]:
        _put("spread", f"Measured {where}.\n\n" + _spread_table(result["spread"]))
        lines = [
            Line(name, colour, [(one["count"], one["us_per_job"]) for one in found])
            for colour, (name, found) in enumerate(result["spread"].items())
        ]
        title = "Microseconds of the processor for a job, from PUSH to ACK"
        (IMAGES / "scale-spread.svg").write_text(line_chart(title, "how many queues, workers, batches", lines))


def _put(name: str, text: str) -> None:
    """Replace what stands between two marks of the page."""
    page = PAGE.read_text()
    begin, end = f"<!-- {name}: begin (written by `make bench-scale ARGS=--page`) -->\n", f"<!-- {name}: end -->"
    head, rest = page.split(begin)
    _, tail = rest.split(end)
    PAGE.write_text(f"{head}{begin}{text}\n{end}{tail}")


def _backlog_table(found: list[Figures]) -> str:
    rows = [
        f"| {one['jobs']:,} | {one['pushed_per_second']:,} | {one['push_us']:.1f} µs "
        f"| {one['drained_per_second']:,} | {one['drain_us']:.1f} µs "
        f"| {one['rss_mb_full']:.0f} MB | {one['rss_mb_peak']:.0f} MB | {one['rss_mb_started']:.0f} MB "
        f"| {one['start_seconds']:.2f} s |"
        for one in found
    ]
    head = (
        "| Jobs | Pushed/s | Main thread | Drained/s | Main thread | Memory | At its peak | After a start | The start |"
    )
    return "\n".join([head, "| ---: " * 9 + "|", *rows])


def _spread_table(spread: dict[str, list[Figures]]) -> str:
    rows = [
        f"| {name} | "
        + ", ".join(f"{one['us_per_job']:.0f} µs with {one['count']:,}" for one in found)
        + f" | {found[-1]['us_per_job'] / found[0]['us_per_job'] - 1:+.0%} |"
        for name, found in spread.items()
    ]
    return "\n".join(["| Over | A job costs | The most beside the fewest |", "| --- | --- | ---: |", *rows])


if __name__ == "__main__":
    write_page(json.loads(Path(sys.argv[1]).read_text()))
