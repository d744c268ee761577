"""The page of results, from measures made up here."""

from pathlib import Path
from xml.etree import ElementTree

from jobload import Measure
from loads import LOADS
from page import charts, measured
from ratios import judge_all
from results import Results


def measure(rate: float) -> Measure:
    return Measure(
        jobs=1_000,
        jobs_per_second=rate,
        latency_us=dict.fromkeys(("PUSH", "FETCH", "ACK", "CYCLE", "LATE"), (100.0, 1200.0, 1900.0, 2500.0)),
        rss_mb=40.0,
        cpu_seconds_per_100k_jobs=3.5,
        foreign_cpu_seconds=0.0,
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
    results.verdicts = [one.as_dict() for one in judge_all(results)]
    return results


def test_the_page_says_what_was_met_and_what_was_not(tmp_path: Path) -> None:
    page = measured(full(tmp_path))
    assert "| cycle, 50 connections | never | lineshaft | reference | 0.8 | 0.8 to 0.8 | ≥ 0.9 | **not met** |" in page
    assert "| cycle, 50 connections | never | lineshaft | beanstalkd | 2 | 2 to 2 | ≥ 1 | met |" in page
    assert "| cycle, 50 connections | always | lineshaft | beanstalkd | 2 | 2 to 2 | ≥ 5 | **not met** |" in page
    assert "| open loop at half the maximum | never | lineshaft | p99 | 1.2 ms | 1.2 to 1.2 | < 2 ms | met |" in page
    assert "| worker, noop | - | lineshaft, async | celery | 9 | 9 to 9 | ≥ 3 | met |" in page
    assert "| worker, noop | - | lineshaft, threads | BullMQ, Redis in memory | 2 |" in page
    assert "| worker, noop | faktory-worker, sync never | BullMQ, Redis in memory | 1.2 |" in page
    assert "| unique, 50 connections | never | 0.80 | 0.80 to 0.80 |" in page


def test_the_charts_are_pictures_that_a_reader_of_xml_takes(tmp_path: Path) -> None:
    found = dict(charts(full(tmp_path)))
    assert set(found) == {"never", "always", "connections", "latency", "workers"}
    for text in found.values():
        assert ElementTree.fromstring(text).tag.endswith("svg")
        assert "prefers-color-scheme:dark" in text


def test_rows_that_were_not_measured_are_not_there(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.json", 1.0, {}, ["make bench"])
    results.add("cycle, 50 connections", "never", {"reference": measure(1_000), "lineshaft": measure(900)})
    results.verdicts = [one.as_dict() for one in judge_all(results)]
    assert "cycle, 50 connections" in measured(results)
    assert "PUSHB" not in measured(results)
    assert {name for name, _ in charts(results)} == {"never", "connections"}
