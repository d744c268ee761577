"""Every action, as a person takes it: by clicks, without JavaScript, and while the page is live."""

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from acceptance.clients.programs import wait_until
from browser.conftest import Watched
from browser.stage import Stage
from lineshaft.lifecycle import WorkerState

Opener = Callable[..., Watched]

LATER = "2099-01-01T00:00:00Z"


def die(stage: Stage, *jobtypes: str, retry: int = -1, queue: str = "dying") -> list[str]:
    """Jobs that have failed: dead, or waiting for a retry."""
    jids = []
    with stage.worker("killer") as worker:
        for jobtype in jobtypes:
            stage.push({"jobtype": jobtype, "queue": queue, "retry": retry})
            jid = json.loads(worker.command(b"FETCH " + queue.encode()))["jid"]
            failure = {"jid": jid, "errtype": "Boom", "message": f"{jobtype} went wrong"}
            worker.command(b"FAIL " + json.dumps(failure).encode())
            jids.append(jid)
    return jids


def sizes(stage: Stage) -> tuple[int, int, int, int]:
    overview = stage.do(stage.server.engine.views.overview)
    return overview.enqueued, overview.scheduled, overview.retries, overview.dead


def say_yes(page: Page) -> None:
    page.locator("#ask [data-yes]").click()


@pytest.mark.parametrize("script", [True, False])
def test_a_queue_is_paused_and_resumed(stage: Stage, open_page: Opener, script: bool) -> None:
    stage.push({"queue": "mail"})
    page = open_page(java_script_enabled=script).go("/queues")
    page.get_by_role("button", name="Pause mail").click()
    expect(page.locator("tr", has_text="mail")).to_contain_text("paused")
    assert stage.server.engine.state.queues.by_name["mail"].paused
    page.get_by_role("button", name="Resume mail").click()
    expect(page.get_by_role("button", name="Pause mail")).to_be_visible()
    assert not stage.server.engine.state.queues.by_name["mail"].paused


@pytest.mark.parametrize("script", [True, False])
def test_a_queue_is_cleared_and_removed(stage: Stage, open_page: Opener, script: bool) -> None:
    stage.push(*[{"queue": "mail"}] * 3)
    page = open_page(java_script_enabled=script).go("/queues/mail")
    page.get_by_role("link", name="Clear…").click()
    expect(page.locator("main")).to_contain_text("3 jobs that wait there are deleted")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".flash")).to_contain_text("The queue is empty now.")
    assert sizes(stage)[0] == 0
    page.get_by_role("link", name="Remove…").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".flash")).to_contain_text("The queue is removed.")
    assert "mail" not in stage.server.engine.state.queues.by_name


def test_selected_jobs_of_a_queue_are_killed_and_deleted(stage: Stage, open_page: Opener) -> None:
    stage.push(*[{"queue": "mail", "jobtype": f"job-{number}"} for number in range(4)])
    page = open_page().go("/queues/mail")
    expect(page.locator(".bulk")).to_be_hidden()
    page.locator("tbody input").nth(0).check()
    page.locator("tbody input").nth(1).check()
    expect(page.locator(".bulk")).to_contain_text("2 selected")
    page.get_by_role("button", name="Kill").click()
    say_yes(page)
    expect(page.locator(".flash")).to_contain_text("2")
    assert sizes(stage) == (2, 0, 0, 2)
    page.locator("[data-all]").check()
    page.get_by_role("button", name="Delete").click()
    say_yes(page)
    expect(page.locator(".empty")).to_be_visible()
    assert sizes(stage) == (0, 0, 0, 2)


@pytest.mark.parametrize("script", [True, False])
def test_jobs_are_exported(stage: Stage, open_page: Opener, script: bool) -> None:
    jids = die(stage, "a", "b", "c")
    page = open_page(java_script_enabled=script).go("/morgue")
    page.locator("tbody input").nth(0).check()
    with page.expect_download() as ticked:
        page.get_by_role("button", name="Export").click()
    with page.expect_download() as everything:
        page.get_by_role("link", name="Export").click()
    assert everything.value.suggested_filename == "morgue.jsonl"
    for download, expected in ((ticked.value, jids[2:]), (everything.value, jids[::-1])):
        lines = [json.loads(line) for line in download.path().read_text().splitlines()]
        assert [line["job"]["jid"] for line in lines if "job" in line] == expected
    stage.push({"queue": "mail"})
    page.goto(f"{stage.url}/queues/mail")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Export").click()
    assert waiting.value.suggested_filename == "mail.jsonl"


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize(("path", "index"), [("/retries", 2), ("/scheduled", 1), ("/morgue", 3)])
def test_one_job_is_run_and_one_deleted(stage: Stage, open_page: Opener, script: bool, path: str, index: int) -> None:
    if path == "/scheduled":
        stage.push(*[{"at": LATER}] * 3)
    else:
        die(stage, "a", "b", "c", retry=25 if path == "/retries" else -1)
    page = open_page(java_script_enabled=script).go(path)
    page.get_by_role("button", name="Run", exact=False).and_(page.locator("tbody button")).first.click()
    expect(page.locator(".flash")).to_contain_text("1")
    assert (sizes(stage)[0], sizes(stage)[index]) == (1, 2)
    page.get_by_role("button", name="Delete").and_(page.locator("tbody button")).first.click()
    if script:
        say_yes(page)
    expect(page.locator(".flash")).to_contain_text("Deleted")
    assert (sizes(stage)[0], sizes(stage)[index]) == (1, 1)


def test_who_says_no_changes_nothing(stage: Stage, open_page: Opener) -> None:
    die(stage, "a")
    page = open_page().go("/morgue")
    page.get_by_role("button", name="Delete").and_(page.locator("tbody button")).click()
    page.locator("#ask").get_by_role("button", name="Cancel").click()
    expect(page.locator("#ask")).to_be_hidden()
    assert sizes(stage)[3] == 1


@pytest.mark.parametrize("script", [True, False])
def test_everything_that_matches_is_counted_and_then_done(stage: Stage, open_page: Opener, script: bool) -> None:
    die(stage, "ReportJob", "Mail", "ReportJob")
    page = open_page(java_script_enabled=script).go("/morgue")
    page.get_by_role("textbox", name="Job type").fill("ReportJob")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Delete…").click()
    expect(page.locator("main")).to_contain_text("2 jobs match")
    page.get_by_role("button", name="Delete all of them").click()
    expect(page.locator(".flash")).to_contain_text("2")
    expect(page.locator("#rows")).to_contain_text("Mail")
    assert sizes(stage)[3] == 1
    page.get_by_role("link", name="Run again…").click()
    expect(page.locator("main")).to_contain_text("1 job matches")
    page.get_by_role("button", name="Run all of them").click()
    expect(page.locator(".empty")).to_be_visible()
    assert sizes(stage) == (1, 0, 0, 0)


def test_a_search_finds_text_in_arguments_and_errors(stage: Stage, open_page: Opener) -> None:
    die(stage, "a", "needle-job", "c")
    page = open_page().go("/morgue?text=NEEDLE-JOB+went")
    expect(page.locator("#rows tbody tr")).to_have_count(1)
    expect(page.locator("#rows")).to_contain_text("needle-job went wrong")
    page.get_by_role("link", name="Reset").click()
    expect(page.locator("#rows tbody tr")).to_have_count(3)


def test_pages_of_jobs_follow_one_another(stage: Stage, open_page: Opener) -> None:
    stage.push(*[{"queue": "mail", "jobtype": f"job-{number:03}"} for number in range(120)])
    page = open_page().go("/queues/mail")
    seen = page.locator("tbody .strong").all_text_contents()
    while page.get_by_role("link", name="Next page").count():
        with page.expect_navigation():
            page.get_by_role("link", name="Next page").click()
        seen += page.locator("tbody .strong").all_text_contents()
    assert seen == [f"job-{number:03}" for number in range(120)]
    page.get_by_role("link", name="First page").click()
    expect(page.locator("tbody .strong").first).to_have_text("job-000")


def test_a_job_is_rescheduled_run_killed_and_deleted(stage: Stage, open_page: Opener) -> None:
    stage.push({"at": LATER, "jid": "12345678-later"})
    window = open_page()
    page = window.go("/jobs/12345678-later")
    page.get_by_text("Run at another time").click()
    page.locator("#at").fill("2098-06-01T12:00:00")
    page.get_by_role("button", name="Reschedule").click()
    expect(page.locator("#job")).to_contain_text("2098-06-01 12:00:00 UTC")
    page.get_by_role("button", name="Kill").click()
    say_yes(page)
    expect(page.locator("#job .badge").first).to_have_text("dead")
    page.get_by_role("button", name="Run again").click()
    expect(page.locator("#job .badge").first).to_have_text("enqueued")
    page.get_by_role("button", name="Delete").click()
    say_yes(page)
    expect(page.locator(".empty")).to_contain_text("There is no such job")
    assert sizes(stage) == (0, 0, 0, 0)
    window.forgive("404")


@pytest.mark.parametrize("script", [True, False])
def test_a_running_job_is_told_to_stop(stage: Stage, open_page: Opener, script: bool) -> None:
    stage.push({"jid": "12345678-held", "jobtype": "Long"})
    with stage.worker("stopper") as worker:
        worker.fetch("default")
        page = open_page(java_script_enabled=script).go("/busy")
        page.get_by_role("button", name="Stop").click()
        if script:
            say_yes(page)
        expect(page.locator("#held-rows")).to_contain_text("told to stop")
    assert stage.server.engine.cancelled("stopper") == ["12345678-held"]


@pytest.mark.parametrize(("name", "state"), [("Quiet", WorkerState.QUIET), ("Terminate", WorkerState.TERMINATE)])
def test_a_worker_is_told_what_to_do(stage: Stage, open_page: Opener, name: str, state: WorkerState) -> None:
    with stage.worker(f"told-{name}") as worker:
        page = open_page().go("/busy")
        page.locator("tr", has_text=f"told-{name}").get_by_role("button", name=name).click()
        say_yes(page)
        expect(page.locator(".flash")).to_contain_text("next heartbeat")
        told = worker.command(b'BEAT {"wid":"told-%b"}' % name.encode())
        assert json.loads(told) == {"state": state.word}


@pytest.mark.parametrize("script", [True, False])
def test_a_job_is_pushed_and_pushed_again(stage: Stage, open_page: Opener, script: bool) -> None:
    page = open_page(java_script_enabled=script).go("/push")
    page.locator("#job").fill('{"jobtype":"typed","args":[1.50],"queue":"typed"}')
    page.get_by_role("button", name="Push").click()
    expect(page.locator("h1")).to_have_text("typed")
    page.get_by_role("link", name="Edit and push again").click()
    expect(page.locator("#job")).to_have_value(page.locator("#job").input_value())
    page.locator("#job").fill('{"jobtype":"typed","args":[2],"queue":"typed"}')
    page.get_by_role("button", name="Push").click()
    expect(page.locator(".flash")).to_contain_text("Pushed")
    assert stage.server.engine.state.queues.by_name["typed"].size == 2
    with stage.client() as client:
        assert client.command(b"FETCH typed").startswith(b'{"args":[1.50]'), "not a digit was changed"


@pytest.mark.usefixtures("stage")
def test_a_bad_job_is_refused_and_can_be_mended(open_page: Opener) -> None:
    window = open_page()
    page = window.go("/push")
    page.locator("#job").fill('{"args":[]}')
    page.get_by_role("button", name="Push").click()
    expect(page.locator(".flash")).to_contain_text("jobs must have a jobtype parameter")
    expect(page.locator("#job")).to_have_value('{"args":[]}')
    window.forgive("400")


def test_a_job_is_copied_as_a_push(stage: Stage, open_page: Opener) -> None:
    stage.push({"jid": "12345678-copy", "jobtype": "Copy", "args": [1, "two"]})
    page = open_page(permissions=["clipboard-read", "clipboard-write"]).go("/jobs/12345678-copy")
    page.get_by_text("As a PUSH").click()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("PUSH {")
    with stage.client() as client:
        assert client.command(copied.encode()) == "OK"


def test_a_page_follows_what_happens(stage: Stage, open_page: Opener) -> None:
    page = open_page().go("/morgue")
    expect(page.locator(".live")).to_contain_text("live")
    expect(page.locator(".empty")).to_be_visible()
    die(stage, "suddenly")
    expect(page.locator("#rows")).to_contain_text("suddenly")
    expect(page.locator('[data-count="dead"]')).to_have_text("1")


def test_what_is_ticked_stays_ticked_while_the_page_follows(stage: Stage, open_page: Opener) -> None:
    die(stage, "first", "second")
    page = open_page().go("/morgue")
    page.locator("tr", has_text="first").locator("input").check()
    die(stage, "third")
    expect(page.locator("#rows")).to_contain_text("third")
    expect(page.locator("tr", has_text="first").locator("input")).to_be_checked()
    expect(page.locator(".bulk")).to_contain_text("1 selected")
    assert page.locator("tbody input:checked").count() == 1


def test_home_is_live(stage: Stage, open_page: Opener) -> None:
    page = open_page().go("/")
    expect(page.locator("#queue-list")).to_contain_text("No queues yet")
    stage.push(*[{"queue": "fresh"}] * 1234)
    expect(page.locator("#queue-list")).to_contain_text("1,234")
    expect(page.locator(".tile", has_text="Enqueued")).to_contain_text("1,234")


def test_nothing_is_told_when_nobody_watches(stage: Stage, open_page: Opener) -> None:
    window = open_page()
    page = window.go("/")
    expect(page.locator(".live")).to_contain_text("live")
    # That the window of another test is closed may be noticed a little later.
    wait_until(lambda: stage.site.pulse.watchers == 1, "one who watches")
    page.goto("about:blank")
    wait_until(lambda: stage.site.pulse.watchers == 0, "nobody who watches")


@pytest.mark.parametrize("script", [True, False])
def test_all_that_failed_in_the_same_way_are_run_again(stage: Stage, open_page: Opener, script: bool) -> None:
    die(stage, "mail", "mail", "report")
    page = open_page(java_script_enabled=script).go("/morgue")
    expect(page.locator("#groups tbody tr")).to_have_count(2)
    page.locator("#groups").get_by_role("link", name="Boom", exact=True).first.click()
    expect(page.locator("#rows tbody tr")).to_have_count(2)
    page.go_back()
    page.locator("#groups").get_by_role("link", name="Run all again").first.click()
    expect(page.locator("main")).to_contain_text("2 jobs match")
    page.get_by_role("button", name="Run all of them").click()
    expect(page.locator("#rows")).to_contain_text("report")
    assert sizes(stage) == (2, 0, 0, 1)
