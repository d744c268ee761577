"""docs/performance.md from the results of benches: `make bench-page`.

    make bench-page                                    # the last results, with all that measured the same
    make bench-page ARGS="FILE FILE --earlier FILE"    # these; of an earlier version its open loop

Results are first published, trimmed, in docs/data (`published`), and the page is made of what lies there: where
`bench/results` is empty, as in a fresh clone, the same page comes out. Two parts of it are written here, between marks:
the verdicts, of which each target has one, over all rounds, and the tables. The words around them are written by hand.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

from loads import LOADS
from page_charts import charts
from page_tables import DASH, SYNCS, features, latency, libraries, servers, span, table
from published import Published, Unlike, newest, publish, published
from ratios import Verdict, judge_all
from results import Results

__all__ = ["main", "written"]

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
IMAGES = ROOT / "docs" / "images"
RESULTS = ROOT / "bench" / "results"
BEGIN = "<!-- {}: begin (written by `make bench-page`) -->"
END = "<!-- {}: end -->"
#: Where the best round is so many times the worst, and the target lies between, that is told.
WILD = 3.0


def main(arguments: list[str] | None = None) -> int:
    """Publish what was asked for, or what there is; write the page and its charts."""
    parser = argparse.ArgumentParser(description="Write docs/performance.md from the results of `make bench`.")
    parser.add_argument("files", type=Path, nargs="*", help="of `make bench`, all of one version (the last)")
    parser.add_argument("--earlier", type=Path, action="append", default=[], metavar="FILE", help="of another version")
    options = parser.parse_args(arguments)
    try:
        if files := options.files or newest(RESULTS.glob("bench-*.json")):
            publish(files, options.earlier)
        shown = published()
    except FileNotFoundError:
        print("bench: there are no results: run `make bench` first", file=sys.stderr)
        return 1
    except Unlike as error:
        print(f"bench: {error}: they are not rounds of one run", file=sys.stderr)
        return 1
    for name, text in charts(shown.results):
        (IMAGES / f"performance-{name}.svg").write_text(text, "utf-8")
    page = PAGE.read_text("utf-8")
    for name, text in written(shown).items():
        page = _put(page, name, text)
    PAGE.write_text(page, "utf-8")
    print(f"{PAGE.relative_to(ROOT)} from {', '.join(one.path.name for one in shown.files)}")
    return 0


def _put(page: str, name: str, text: str) -> str:
    """Replace what stands between two marks."""
    before, begin, rest = page.partition(BEGIN.format(name))
    _, end, after = rest.partition(END.format(name))
    assert end, f"{PAGE.name} has lost its marks of {name!r}"
    return f"{before}{begin}\n\n{text}\n{end}{after}"


def written(shown: Published) -> dict[str, str]:
    """The generated parts of the page, by the name of their marks."""
    found = judge_all(shown.results)
    parts = [*_origin(shown)]
    for sync, meaning in SYNCS.items():
        parts += [f"### Sync {sync}: {meaning}\n", *servers(shown.results, sync)]
    parts += ["### Latency in an open loop\n", *latency(shown.results, shown.earlier)]
    parts += ["### What a feature costs the jobs that use it\n", *features(shown.results)]
    parts += ["### Workers of job libraries, end to end\n", *libraries(shown.results, found)]
    return {"verdicts": "\n".join(_verdicts(found)), "measured": "\n".join(parts)}


def _verdicts(found: Sequence[Verdict]) -> Iterator[str]:
    aimed = [one for one in found if one.target]
    yield _counted("were set before the server was built", [one for one in aimed if not one.is_own])
    workers = [one for one in aimed if one.load.startswith("worker, ")]
    for title, chosen in {
        "### The server": [one for one in aimed if not one.is_own and one.yardstick and one not in workers],
        "### The longest p99 of a command, at half of the maximum load": [one for one in aimed if not one.yardstick],
        "### Workers of job libraries": workers,
    }.items():
        if chosen:
            yield f"{title}\n"
            yield from table(*_targets(chosen))
            yield ""
    own = [one for one in aimed if one.is_own]
    if own:
        yield "### Aims of the bench's own\n"
        yield _counted("are the bench's own, for what had none", own)
        yield from table(*_targets(own))
        yield ""


def _counted(which: str, chosen: Sequence[Verdict]) -> str:
    split = sum(one.is_met and one.is_split for one in chosen)
    whole = sum(one.is_met for one in chosen) - split
    doubtful = sum(one.is_doubtful for one in chosen)
    told = f" Of {doubtful} the undisturbed rounds alone say otherwise." if doubtful else ""
    return (
        f"{len(chosen)} targets {which}: **{whole} are met in every round, {split} narrowly (by the median, but not in "
        f"every round), {len(chosen) - whole - split} are not met.**{told}\n"
    )


def _targets(chosen: Iterable[Verdict]) -> tuple[Sequence[str], list[Sequence[str]]]:
    rows: list[Sequence[str]] = []
    for one in chosen:
        sign, unit = ("≥", "") if one.yardstick else ("<", " ms")
        values = (f"{one.median:.3g}{unit}", f"{one.least:.3g} to {one.most:.3g}", str(one.rounds), _quiet(one))
        row = (one.load, one.sync or DASH, one.subject, one.yardstick or "p99", *values)
        rows.append((*row, f"{sign} {one.target:g}{unit}", _said(one)))
    head = ("Row", "Sync", "Server", "Beside", "Median", "Range", "Rounds", "Undisturbed", "Target", "Verdict")
    # A column that says nothing of any row is left out.
    kept = [place for place in range(len(head)) if any(row[place] != DASH for row in rows)]
    return [head[place] for place in kept], [[row[place] for place in kept] for row in rows]


def _quiet(one: Verdict) -> str:
    return DASH if one.quiet is None else f"{one.quiet:.3g} ({one.quiet_rounds})"


def _said(one: Verdict) -> str:
    """The verdict, in words."""
    said = ["met" if one.is_met else "**not met**"]
    if one.is_split and one.most > WILD * one.least:
        said.append(f"rounds differ {one.most / one.least:.0f}-fold")
    elif one.is_met and one.is_split:
        said.append("narrowly")
    if one.is_doubtful:
        said.append("but not undisturbed" if one.is_met else "but undisturbed it is")
    if one.load.startswith("worker, ") and one.median < 1:
        said.append("nor first")
    return ", ".join(said)


def _origin(shown: Published) -> Iterator[str]:
    """What was run, when, how long, and on what."""
    yield "### What was run\n"
    rows = []
    for one in shown.files:
        times = [each.at for each in one.rounds] + [each["at"] for each in one.workers]
        name = one.path.name
        rows.append((f"[{name}](data/{name})", one.machine.get("sources", DASH), min(times), max(times), _rounds(one)))
    yield from table(("Results", "Sources", "From", "To", "Rounds of a row"), rows)
    yield ""
    for other in shown.earlier:
        yield f"Of an earlier version, its open loop: [{other.path.name}](data/{other.path.name})."
    yield "The commands:\n"
    yield "```"
    yield from shown.results.commands
    yield "```\n"
    yield "The machine:\n"
    yield from table(("", ""), shown.results.machine.items())
    yield ""
    yield from _lengths(shown.results)


def _rounds(results: Results) -> str:
    played = [len(results.of(load.name, sync)) for load in LOADS for sync in SYNCS]
    return span([one for one in played if one] or [0])


def _lengths(results: Results) -> Iterator[str]:
    """How long a measure was, and what others did meanwhile."""
    measures = [one for each in results.rounds for one in each.measures.values()]
    seconds = [one.seconds for one in measures]
    yield f"{len(measures)} measures of servers, each {median(seconds):.1f} s long (median; {span(seconds, '.1f')})."
    if results.workers:
        lengths = [one["jobs"] / one["jobs_per_second"] for one in results.workers]
        yield f"{len(results.workers)} of workers, each {median(lengths):.1f} s long (median; {span(lengths, '.1f')})."
    for sync in SYNCS:
        found = [one for each in results.rounds if each.sync == sync for one in each.measures.values()]
        shares = [one.foreign_share for one in found]
        if len(shares) > 1:
            tenth = quantiles(shares, n=10)[-1]
            yield f"With sync {sync}, processes other than server and load tool used {median(shares):.0%} of a core"
            yield f"in the median, {tenth:.0%} or more in a tenth of the measures, {max(shares):.0%} at most; in"
            yield f"{sum(not one.is_quiet for one in found)} of {len(shares)} it was more than half a core."
    yield "The more they do, the less a number means.\n"


if __name__ == "__main__":
    sys.exit(main())
