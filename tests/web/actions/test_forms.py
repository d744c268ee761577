"""The paths and forms that scripts in the field use (docs/howto/dashboard.md), and what every answer carries."""

import html
import json
import re
import time
from urllib.parse import quote

import pytest

from browser.stage import Stage
from lineshaft.clock import format_instant
from lineshaft.engine.timed import SetName
from lineshaft.web import site
from lineshaft.web.lists.rows import timed_key_of
from web.asking import Answer, ask

LATER = "2099-01-01T00:00:00.123456789Z"


def post(stage: Stage, path: str, **fields: str | list[str]) -> Answer:
    return ask(stage.web_port, path, form=fields)


def sizes(stage: Stage) -> tuple[int, int, int, int]:
    overview = stage.do(stage.server.engine.views.overview)
    return overview.enqueued, overview.scheduled, overview.retries, overview.dead


def keys(stage: Stage, name: SetName) -> list[str]:
    return [timed_key_of(view) for view in stage.do(lambda: stage.server.engine.views.timed(name)).jobs]


def fail(stage: Stage, jid: str, retry: int) -> None:
    with stage.worker("failer") as worker:
        stage.push({"jid": jid, "queue": "failing", "retry": retry})
        worker.command(b"FETCH failing")
        worker.command(b"FAIL " + json.dumps({"jid": jid, "errtype": "Boom", "message": "no"}).encode())


def test_a_queue_is_paused_resumed_and_deleted(stage: Stage) -> None:
    stage.push({"queue": "mail"})
    queues = stage.server.engine.state.queues.by_name
    assert post(stage, "/queues/mail", action="pause").status == 302
    assert queues["mail"].paused
    assert post(stage, "/queues/mail", action="resume").status == 302
    assert not queues["mail"].paused
    answer = post(stage, "/queues/mail", action="delete")
    assert (answer.status, answer.headers["location"]) == (302, "/queues?did=removed")
    assert "mail" not in queues


def test_a_queue_that_is_not_there_is_told_and_not_made(stage: Stage) -> None:
    for action in ("pause", "delete", "resume", "clear"):
        answer = post(stage, "/queues/nobody", action=action)
        assert answer.status == 404
        assert "there is no queue nobody" in answer.text
    assert post(stage, "/queues/nobody", action="delete_jobs", jid="some-job-1").status == 404
    assert ask(stage.web_port, "/queues/nobody").status == 404
    assert "nobody" not in stage.server.engine.state.queues.by_name


def test_a_worker_that_is_not_there_is_told_and_no_other_hears(stage: Stage) -> None:
    with stage.worker("here") as worker:
        answer = post(stage, "/busy", signal="quiet", wid=["here", "none"])
        assert answer.status == 404
        assert "there is no worker none" in answer.text
        assert worker.command(b'BEAT {"wid":"here"}') == "OK"
        assert post(stage, "/busy", signal="quiet", wid="").status == 404


@pytest.mark.parametrize(
    ("action", "after"),
    [("add_to_queue", (1, 1, 0, 0)), ("retry", (1, 1, 0, 0)), ("kill", (0, 1, 0, 1)), ("delete", (0, 1, 0, 0))],
)
def test_a_scheduled_job_by_the_time_it_was_pushed_with(stage: Stage, action: str, after: tuple[int, ...]) -> None:
    stage.push({"jid": "12345678-a", "at": LATER}, {"jid": "12345678-b", "at": LATER})
    answer = post(stage, "/scheduled", key=f"{LATER}|12345678-a", action=action)
    assert answer.status == 302
    assert sizes(stage) == after


def test_several_keys_at_once(stage: Stage) -> None:
    for number in range(3):
        fail(stage, f"12345678-{number}", retry=25)
    answer = post(stage, "/retries", key=keys(stage, SetName.RETRIES)[:2], action="retry")
    assert (answer.status, answer.headers["location"]) == (302, "/retries?did=run&n=2")
    assert sizes(stage) == (2, 0, 1, 0)


def test_the_dead(stage: Stage) -> None:
    fail(stage, "12345678-dead", retry=-1)
    (key,) = keys(stage, SetName.DEAD)
    assert post(stage, "/morgue", key=key, action="retry").status == 302
    assert sizes(stage) == (1, 0, 0, 0)
    answer = post(stage, "/morgue", key=key, action="delete")
    assert answer.status == 302, "an entry that has gone meanwhile is no error"


@pytest.mark.parametrize(("path", "name"), [("retries", SetName.RETRIES), ("morgue", SetName.DEAD)])
def test_a_jobs_page_by_its_key(stage: Stage, path: str, name: SetName) -> None:
    fail(stage, "12345678/ü?#&|x", retry=25 if path == "retries" else -1)
    (key,) = keys(stage, name)
    answer = ask(stage.web_port, f"/{path}/{quote(key, safe='')}")
    assert answer.status == 200
    assert "Boom" in answer.text
    gone = ask(stage.web_port, f"/{path}/{quote(format_instant(0) + '|no such job', safe='')}")
    assert gone.status == 404


@pytest.mark.parametrize("form", [{}, {"action": "dance"}, {"action": "retry", "key": "nonsense"}])
def test_a_bad_form_is_refused(stage: Stage, form: dict[str, str]) -> None:
    assert ask(stage.web_port, "/retries", form=dict(form)).status == 400


def test_a_form_that_is_too_long_is_refused(stage: Stage) -> None:
    assert ask(stage.web_port, "/retries", form={"key": "x" * (3 << 20)}).status == 400
    assert ask(stage.web_port, "/retries", body=b"&".join([b"key=a"] * 20_000)).status == 400


@pytest.mark.parametrize(
    "path", ["/queues/mail", "/retries", "/scheduled", "/morgue", "/busy", "/jobs/12345678", "/push"]
)
def test_a_form_of_another_site_is_refused(stage: Stage, path: str) -> None:
    form = {"action": "delete", "key": f"{LATER}|12345678", "signal": "quiet", "wid": "all"}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        assert ask(stage.web_port, path, form=dict(form), **headers).status == 403
    ours = f"http://127.0.0.1:{stage.web_port}"
    assert ask(stage.web_port, path, form=dict(form), Origin=ours).status != 403


def test_every_answer_forbids_what_is_not_ours(stage: Stage) -> None:
    for path in ("/", "/stats", "/health", "/nothing", "/static/app.css", "/queues/x"):
        headers = ask(stage.web_port, path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert (
            "immutable" in headers["cache-control"]
            if path.startswith("/static")
            else headers["cache-control"] == "no-store"
        )
        assert "server" not in headers


@pytest.mark.parametrize("prefix", ["/jobs", "/a/b-c.d_e~f", "/jobs/"])
def test_the_prefix_of_a_proxy_stands_before_every_link(stage: Stage, prefix: str) -> None:
    text = ask(stage.web_port, "/", X_Script_Name=prefix).text
    plain = prefix.rstrip("/")
    assert f'href="{plain}/queues"' in text
    assert 'href="/queues"' not in text
    assert f'data-live="{plain}/live"' in text
    answer = ask(stage.web_port, "/busy", form={"signal": "quiet", "wid": "all"}, X_Script_Name=prefix)
    assert answer.headers["location"].startswith(f"{plain}/busy")


@pytest.mark.parametrize("prefix", ["//evil.example", "https://evil.example", '/"><script>', "/a b", "relative"])
def test_a_prefix_that_is_no_path_is_left_out(stage: Stage, prefix: str) -> None:
    text = ask(stage.web_port, "/", X_Script_Name=prefix).text
    assert 'href="/queues"' in text
    assert "evil" not in text


def test_a_mutation_of_all_that_match_goes_on_in_the_background(stage: Stage) -> None:
    stage.push(*[{"at": LATER, "jobtype": "many", "args": [n]} for n in range(2500)], {"at": LATER, "jobtype": "one"})
    answer = post(stage, "/scheduled", all="1", action="delete", jobtype="many")
    assert answer.headers["location"] == "/scheduled?did=begun"
    end = time.monotonic() + 60
    while sizes(stage)[1] > 1 and time.monotonic() < end:
        # Each look is a turn of the server, and its own work goes on between them.
        ask(stage.web_port, "/scheduled")
    assert sizes(stage)[1] == 1


def test_what_was_done_is_written_down(stage: Stage) -> None:
    stage.site.audit.deeds.clear()
    stage.push({"queue": "mail"})
    post(stage, "/queues/mail", action="pause")
    post(stage, "/jobs/no-such-job", action="cancel")
    deeds = [(deed.who, deed.what, deed.target, deed.outcome) for deed in stage.site.audit.deeds]
    assert deeds == [
        ("anyone", "cancel", "job no-such-job", "Job not found no-such-job"),
        ("anyone", "pause", "queue mail", ""),
    ]
    assert "by anyone" in ask(stage.web_port, "/").text


def test_who_watches_is_told_once_a_second(stage: Stage) -> None:
    import http.client  # noqa: PLC0415

    connection = http.client.HTTPConnection("127.0.0.1", stage.web_port, timeout=30)
    connection.request("GET", "/live")
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in (answer.readline() for _ in range(8)) if line.startswith(b"data: ")]
    news = json.loads(lines[-1][6:])
    assert news.keys() >= {"version", "busy", "queues", "retries", "scheduled", "dead"}
    connection.close()


def test_ten_that_keep_a_page_live_cost_one_rendering(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # However slow the machine is.
    monkeypatch.setattr(site, "SHARED_SECONDS", 60.0)
    stage.site._shared.clear()
    first = ask(stage.web_port, "/", X_Live="1").body
    stage.push({"queue": "just-now"})
    assert ask(stage.web_port, "/", X_Live="1").body == first
    assert b"just-now" in ask(stage.web_port, "/").body, "who asks for himself sees the present"


def test_a_job_that_is_pushed_again_is_another_job(stage: Stage) -> None:
    stage.push({"jid": "the-first-job", "jobtype": "mail", "args": [1], "at": LATER})
    shown = ask(stage.web_port, "/push?like=the-first-job").text
    text = html.unescape(shown.partition("<textarea")[2].partition(">")[2].partition("</textarea>")[0])
    job = json.loads(text)
    assert (job["jobtype"], job["args"]) == ("mail", [1])
    assert "jid" not in job
    assert post(stage, "/push", job=text).status == 302
    assert sizes(stage)[1] == 2
    refused = post(stage, "/push", job=json.dumps({**job, "jid": "the-first-job"}))
    assert refused.status == 400
    assert "there is a job the-first-job already" in refused.text
    assert sizes(stage)[1] == 2


def test_an_empty_push_says_what_to_write(stage: Stage) -> None:
    for empty in ({}, {"job": ""}, {"job": "  "}):
        answer = post(stage, "/push", **empty)
        assert answer.status == 400
        assert "write the job as JSON" in answer.text


@pytest.mark.parametrize(("other", "path"), [("/dead", "/morgue"), ("/cron", "/periodic")])
def test_a_page_is_found_by_its_other_name(stage: Stage, other: str, path: str) -> None:
    answer = ask(stage.web_port, other, X_Script_Name="/jobs")
    assert (answer.status, answer.headers["location"]) == (302, f"/jobs{path}")


def test_the_configuration_is_shown_as_a_file_would_have_it(stage: Stage) -> None:
    page = html.unescape(ask(stage.web_port, "/server").text)
    for key, value in (("[web] hosts", "[]"), ("[web] enabled", "true"), ("[retention] dead", '"180d"')):
        assert re.search(rf"{re.escape(key)}</td><td[^>]*>{re.escape(value)}</td>", page), key
    watching = re.search(r"Watching</div><div class=\"value\">(\d+)</div><div class=\"delta\">(\w+)", page)
    assert watching is not None
    assert watching[2] == ("browser" if watching[1] == "1" else "browsers")
