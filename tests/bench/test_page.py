"""The page of results, from measures made up here; and that the page which lies there is what its data says."""

import json
import re
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

import page
import pytest
from jobload import Measure
from loads import LOADS
from page_charts import charts
from page_tables import OPEN
from published import Published, Unlike, newest, publish, published
from ratios import judge_all
from results import Results

README = page.ROOT / "README.md"


def measure(rate: float, foreign: float = 0.0) -> Measure:
    return Measure(
        jobs=1_000,
        jobs_per_second=rate,
        latency_us=dict.fromkeys(("PUSH", "FETCH", "ACK", "CYCLE", "LATE"), (100.0, 1200.0, 1900.0, 2500.0)),
        rss_mb=40.0,
        cpu_seconds_per_100k_jobs=3.5,
        foreign_cpu_seconds=foreign,
        seconds=1.0,
        written_bytes_per_job=345.0,
    )


def worker(name: str, setting: str, rate: float, kind: str) -> dict[str, object]:
    return {"worker": name, "setting": setting, "kind": kind, "jobs_per_second": rate, "jobs": 100, "at": "2026-11-25"}


def full(path: Path) -> Results:
    results = Results(path / "results.json", 1.0, {"kernel": "Linux"}, ["make bench"])
    for load in LOADS:
        for sync in ("never", "always"):
            yardstick = "lineshaft, plain jobs" if load.plain else "reference"
            subject = f"lineshaft, {load.secured}" if load.secured else "lineshaft"
            results.add(load.name, sync, {yardstick: measure(1_000), subject: measure(800), "beanstalkd": measure(400)})
    for kind in ("noop", "1ms"):
        for name, rate in (("lineshaft, async", 9_000.0), ("lineshaft, threads", 8_000.0), ("celery", 1_000.0)):
            results.workers += [worker(name, "1 x 10", rate / 2, kind), worker(name, "2 x 10", rate, kind)]
        results.workers.append(worker("BullMQ, Redis in memory", "1 x 50", 4_000.0, kind))
        results.workers.append(worker("faktory-worker, sync never", "1 x 50", 5_000.0, kind))
    return results


def parts(results: Results) -> dict[str, str]:
    return page.written(Published(results, [results], []))


def test_each_target_has_one_verdict(tmp_path: Path) -> None:
    said = parts(full(tmp_path))["verdicts"]
    for row in (
        "cycle, 50 connections | never | lineshaft | reference | 0.8 | 0.8 to 0.8 | 1 | 0.8 (1) | ≥ 0.9 | **not met**",
        "cycle, 50 connections | never | lineshaft | beanstalkd | 2 | 2 to 2 | 1 | 2 (1) | ≥ 1 | met",
        "cycle, 50 connections | always | lineshaft | beanstalkd | 2 | 2 to 2 | 1 | 2 (1) | ≥ 5 | **not met**",
        f"{OPEN} | never | lineshaft | p99 | 1.2 ms | 1.2 to 1.2 | 1 | 1.2 (1) | < 2 ms | met",
        "worker, noop | lineshaft, async | celery | 9 | 9 to 9 | 1 | ≥ 3 | met",
        "worker, noop | lineshaft, threads | BullMQ, Redis in memory | 2 | 2 to 2 | 1 | ≥ 3 | **not met**",
    ):
        assert f"| {row} |" in said
    rows = [line.split(" | ")[:4] for line in said.splitlines() if re.match(r"\| (?!Row|---)", line)]
    assert len(rows) == len({tuple(row) for row in rows}) == sum(bool(one.target) for one in judge_all(full(tmp_path)))


def test_what_the_bench_asks_for_by_itself_stands_apart(tmp_path: Path) -> None:
    theirs, _, own = parts(full(tmp_path))["verdicts"].partition("### Aims of the bench's own")
    assert ("unique" in theirs, "| unique, 50 connections | never |" in own) == (False, True)
    assert "| cycle, 10 connections | never | lineshaft | reference |" in theirs
    assert "| cycle, 10 connections | always | lineshaft | reference |" in own


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ((950, 920, 960), "met"),
        ((950, 920, 700), "met, narrowly"),
        ((950, 890, 700), "**not met**"),
        ((2_000, 890, 500), "**not met**, rounds differ 4-fold"),
        ((2_000, 910, 500), "met, rounds differ 4-fold"),
    ],
)
def test_rounds_that_disagree_are_told(tmp_path: Path, rates: tuple[int, ...], verdict: str) -> None:
    results = Results(tmp_path / "results.json", 1.0, {}, ["make bench"])
    for rate in rates:
        results.add("cycle, 50 connections", "always", {"reference": measure(1_000), "lineshaft": measure(rate)})
    assert f"| 3 | {median(rates) / 1000:.3g} (3) | ≥ 0.9 | {verdict} |" in parts(results)["verdicts"]


def test_what_undisturbed_rounds_alone_say_stands_beside(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json", 1.0, {}, ["make bench"])
    for rate, foreign in ((950, 0.6), (920, 0.6), (700, 0.4)):
        measures = {"reference": measure(1_000), "lineshaft": measure(rate, foreign)}
        results.add("cycle, 50 connections", "always", measures)
    said = parts(results)["verdicts"]
    assert "| 0.92 | 0.7 to 0.95 | 3 | 0.7 (1) | ≥ 0.9 | met, narrowly, but not undisturbed |" in said
    assert "Of 1 the undisturbed rounds alone say otherwise." in said


def test_every_row_has_its_costs_and_latencies(tmp_path: Path) -> None:
    tables = parts(full(tmp_path))["measured"]
    costs = "0.10 / 1.20 / 1.90 | 3.50 | 40 | 345 |"
    assert f"| PUSHB of 100 | lineshaft | 800 | 0.80 | {costs}" in tables
    assert f"| TLS, 50 connections | never | lineshaft, tls | 800 | 0.80 | {costs}" in tables
    assert f"| batched, 50 connections | always | lineshaft, plain jobs | 1,000 | 1.00 | {costs}" in tables
    assert "| worker, noop | faktory-worker, sync never | BullMQ, Redis in memory | 1.25 |" in tables


def test_the_charts_are_pictures_that_a_reader_of_xml_takes(tmp_path: Path) -> None:
    found = dict(charts(full(tmp_path)))
    assert set(found) == {"never", "always", "connections", "latency", "workers"}
    for text in found.values():
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "prefers-color-scheme:dark" in text


def test_rows_that_were_not_measured_are_not_there(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json", 1.0, {}, ["make bench"])
    results.add("cycle, 50 connections", "never", {"reference": measure(1_000), "lineshaft": measure(900)})
    assert "cycle, 50 connections" in parts(results)["verdicts"]
    assert "PUSHB" not in "".join(parts(results).values())
    assert {name for name, _ in charts(results)} == {"never", "connections"}


def one_run(path: Path, sources: str, rate: float) -> Path:
    results = Results(path, 0.3, {"processor": "a processor", "sources": sources}, ["make bench"])
    results.add(
        "cycle, 50 connections",
        "never",
        {"reference": measure(1_000), "lineshaft": measure(rate), "gone": measure(1)},
    )
    results.add("open loop at half the maximum", "never", {"lineshaft": measure(rate)})
    return path


def test_files_of_one_version_are_published_together(tmp_path: Path) -> None:
    first, second = (one_run(tmp_path / f"bench-{n}.json", "abc", rate) for n, rate in ((1, 500.123456), (2, 700)))
    publish([first, second], [one_run(tmp_path / "bench-0.json", "old", 100)], tmp_path / "data")
    shown = published(tmp_path / "data")
    assert [one.path.name for one in shown.files] == ["bench-1.json", "bench-2.json"]
    rounds = shown.results.of("cycle, 50 connections", "never")
    # What today's bench does not know is left out, and more digits than mean something.
    assert [(list(one.measures), one.measures["lineshaft"].jobs_per_second) for one in rounds] == [
        (["reference", "lineshaft"], 500.12),
        (["reference", "lineshaft"], 700),
    ]
    assert [one.load for each in shown.earlier for one in each.rounds] == ["open loop at half the maximum"]
    assert "| 0.6 | 0.5 to 0.7 | 2 | 0.6 (2) |" in page.written(shown)["verdicts"]


def test_files_of_two_versions_are_not(tmp_path: Path) -> None:
    first, second = (one_run(tmp_path / f"bench-{name}.json", name, 500) for name in ("abc", "def"))
    with pytest.raises(Unlike, match="differ in sources"):
        publish([first, second], [], tmp_path / "data")
    assert newest([first, second]) == [second]
    assert not (tmp_path / "data").exists()


def test_the_page_is_what_its_data_says() -> None:
    text = page.PAGE.read_text("utf-8")
    for name, part in page.written(published()).items():
        assert page._put(text, name, part) == text, f"{name}: run `make bench-page`"


def test_the_page_has_the_record_of_the_guard() -> None:
    text = page.PAGE.read_text("utf-8")
    (record,) = json.loads((page.ROOT / "bench" / "guard.json").read_text("utf-8")).values()
    for row, ratio in record["ratios"].items():
        assert f"| {row} | {ratio:.2f} |" in text
    assert f"Python {record['versions']['python']}" in text


def test_the_readme_says_the_same() -> None:
    """Its table has the medians of the page, and its verdicts."""
    results = published().results
    ratios = {(v.load, v.sync, v.subject, v.yardstick): v.median for v in judge_all(results)}
    table = README.read_text("utf-8").partition("<!-- BENCH TABLE")[2].partition("<!-- END OF BENCH TABLE")[0]
    names = {
        "cycle (PUSH, FETCH, ACK), 10 connections": "cycle, 10 connections",
        "cycle, 10 connections, 16 commands in flight": "cycle, 10 x 16 in flight",
    }
    rows = [re.split(r" *\| *", line)[1:-1] for line in table.splitlines() if line.startswith("| ")]
    plain = [row for row in rows if len(row) == 5 and row[2].replace(".", "").isdigit()]
    assert len(plain) == 4
    for row in plain:
        load = names.get(row[0], row[0])
        for sync, (rate, ratio) in {"always": row[1:3], "never": row[3:5]}.items():
            rates = [one.measures["lineshaft"].jobs_per_second for one in results.of(load, sync)]
            assert rate == f"{median(rates):,.0f}", row
            assert ratio == f"{ratios[load, sync, 'lineshaft', 'reference']:.2f}", row
