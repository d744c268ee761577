"""Jobs of a list as a file: what matches, or what was ticked, and `lineshaft import` takes it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from browser.stage import Stage
from web.asking import Answer, ask


def lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["content-disposition"].startswith("attachment")
    found = [json.loads(line) for line in answer.body.splitlines()]
    assert found[0]["export"] == 1
    assert found[-1]["end"] == ({found[1]["place"]: len(found) - 2} if len(found) > 2 else {})
    return found[1:-1]


def dead(stage: Stage, count: int, jobtype: str) -> None:
    stage.push(*[{"jobtype": jobtype, "args": [number], "retry": -1, "priority": 7} for number in range(count)])
    with stage.worker("w1") as worker:
        for _ in range(count):
            job = worker.fetch("default")
            assert job is not None
            worker.fail(job["jid"], errtype="Boom", message="no")


def test_all_that_matches(stage: Stage, tmp_path: Path) -> None:
    dead(stage, 230, "Mail")
    dead(stage, 3, "Other")
    assert len(lines(ask(stage.web_port, "/morgue?export=1"))) == 233
    found = ask(stage.web_port, "/morgue?export=1&jobtype=Mail")
    jobs = lines(found)
    assert len(jobs) == 230
    assert {job["job"]["jobtype"] for job in jobs} == {"Mail"}
    assert {job["job"]["priority"] for job in jobs} == {7}
    assert jobs[0]["job"]["failure"]["errtype"] == "Boom"
    assert lines(ask(stage.web_port, "/morgue?export=1&text=nowhere")) == []
    file = tmp_path / "dead.jsonl"
    file.write_bytes(found.body)
    stage.clear()
    environment = {**os.environ, "FAKTORY_URL": f"tcp://127.0.0.1:{stage.port}"}
    command = [sys.executable, "-m", "lineshaft", "import", "--json", str(file)]
    run = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    assert json.loads(run.stdout)["whole"] is True
    assert stage.do(lambda: stage.server.engine.views.overview().dead) == 230


def test_what_was_ticked(stage: Stage) -> None:
    dead(stage, 5, "Mail")
    jobs = lines(ask(stage.web_port, "/morgue?export=1"))
    keys = [f"{job['at']}|{job['job']['jid']}" for job in jobs[:2]]
    form: dict[str, str | list[str]] = {"action": "export", "key": [*keys, "2020-01-01T00:00:00Z|not-there-any-more"]}
    ticked = lines(ask(stage.web_port, "/morgue", form=form))
    assert [job["job"]["jid"] for job in ticked] == [job["job"]["jid"] for job in jobs[:2]]
    assert ask(stage.web_port, "/morgue", form={"action": "export"}).headers["location"] == "/morgue?did=nothing"


def test_jobs_of_a_queue(stage: Stage) -> None:
    stage.push(*[{"queue": "mail", "jobtype": f"type-{number % 2}"} for number in range(10)])
    everything = lines(ask(stage.web_port, "/queues/mail?export=1"))
    assert len(everything) == 10
    assert "at" not in everything[0]
    assert len(lines(ask(stage.web_port, "/queues/mail?export=1&jobtype=type-1"))) == 5
    jids = [job["job"]["jid"] for job in everything[3:5]]
    ticked = lines(ask(stage.web_port, "/queues/mail", form={"action": "export_jobs", "jid": jids}))
    assert [job["job"]["jid"] for job in ticked] == jids


def test_who_took_what_is_written_down(stage: Stage) -> None:
    stage.push({"at": "2099-01-01T00:00:00Z"})
    lines(ask(stage.web_port, "/scheduled?export=1"))
    deed = stage.site.audit.deeds[0]
    assert (deed.who, deed.what, deed.target, deed.count, deed.outcome) == ("anyone", "export", "scheduled, all", 1, "")
    assert stage.site.exports == 0


def test_too_many_at_once_are_turned_away(stage: Stage) -> None:
    stage.site.exports = 8
    try:
        assert ask(stage.web_port, "/retries?export=1").status == 503
    finally:
        stage.site.exports = 0


def test_what_goes_on_is_written_down_once_more_at_its_end(stage: Stage) -> None:
    dead(stage, 230, "Mail")
    assert ask(stage.web_port, "/morgue", form={"action": "retry", "all": "1"}).status == 302
    end = time.monotonic() + 60
    while stage.site.audit.going_on and time.monotonic() < end:
        stage.do(stage.site.pulse.each_second)
    deeds = [(deed.what, deed.target, deed.count) for deed in list(stage.site.audit.deeds)[:2]]
    assert deeds == [("requeue", "dead, all: through", 230), ("requeue", "dead, all", 100)]
