"""Searches on a server with a real store: pages and API go on where they stopped, browsers are told as it is found."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from processes import ServerProcess
from web.asking import Answer, ask
from wire_client import WireClient

#: More than the loop looks through by itself.
JOBS = 4000
LATER = "2099-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("search"), web=True) as running:
        yield running
        with WireClient(running.port) as client:
            assert client.command(b"FLUSH") == "OK"
            push(client, range(0), at=LATER)
        # One that was killed lately is not followed by another at once.
        until(lambda: events(running, "/scheduled?text=needle&stream=1")[-1][0] == "end")
        pid = helper_of(running)
        assert running.stop() == 0
        assert pid is not None
        assert not Path(f"/proc/{pid}").exists(), "the search process ends with the server"


@pytest.fixture
def client(server: ServerProcess) -> Iterator[WireClient]:
    with WireClient(server.port) as client:
        assert client.command(b"FLUSH") == "OK"
        yield client


def push(client: WireClient, needles: range, **fields: Any) -> None:
    """JOBS jobs, of which those with these numbers have the text."""
    jobs = [
        {"jid": f"job-{number:05}", "jobtype": "mail", "args": ["Needle" if number in needles else "straw"], **fields}
        for number in range(JOBS)
    ]
    for first in range(0, JOBS, 1000):
        assert client.command(b"PUSHB " + json.dumps(jobs[first : first + 1000]).encode()) == b"{}"


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def helper_of(server: ServerProcess) -> int | None:
    """The server's search process, if it runs."""
    assert server.process is not None
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    for child in children:
        # It may end just now.
        with suppress(OSError):
            if b"search-process" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
    return None


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


def api(server: ServerProcess, path: str) -> list[str]:
    """All that the API finds, page by page."""
    found, cursor, pages = [], "", 0
    while True:
        answer = ask(server.web_port, f"/api/v1{path}&cursor={cursor}")
        assert answer.status == 200
        told = json.loads(answer.body)
        found += [job["jid"] for job in told["jobs"]]
        cursor, pages = told["next"], pages + 1
        assert told["total"] == JOBS
        assert pages < 200
        if not cursor:
            return found


def events(server: ServerProcess, path: str) -> list[tuple[str, dict[str, Any]]]:
    """A stream, to its end."""
    answer = ask(server.web_port, path)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = []
    for block in answer.text.strip().split("\n\n"):
        name, data = block.split("\n")
        told.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return told


def attribute(answer: Answer, name: str) -> str:
    """The value of an attribute that stands once in a page; empty when it is not there."""
    _, sign, rest = answer.text.partition(f'{name}="')
    return rest.partition('"')[0].replace("&amp;", "&") if sign else ""


def test_a_page_goes_on_where_it_stopped(server: ServerProcess, client: WireClient) -> None:
    push(client, range(JOBS - 3, JOBS), at=LATER)
    path, told, rows = "/scheduled?text=needle", "", 0
    for _ in range(200):
        answer = ask(server.web_port, path)
        assert answer.status == 200
        rows += answer.text.count("<tr data-key=")
        told = answer.text
        path = next(iter(re.findall(r'href="([^"]*cursor=[^"]*)"', answer.text.replace("&amp;", "&"))), "")
        if not path:
            break
    assert rows == 3
    assert "Looked at 4,000 of 4,000" in told


def test_a_browser_is_told_the_rest(server: ServerProcess, client: WireClient) -> None:
    push(client, range(JOBS - 3, JOBS), at=LATER)
    page = ask(server.web_port, "/scheduled?text=needle")
    stream = attribute(page, "data-search")
    shown = page.text.count("<tr data-key=")
    told = events(server, stream) if stream else []
    assert shown + sum(news["html"].count("<tr data-key=") for name, news in told if name == "rows") == 3
    if told:
        assert told[-1][0] == "end"
        assert told[-1][1] == {"told": "Looked at 4,000 of 4,000", "next": ""}


def test_a_stream_ends_when_the_page_is_full(server: ServerProcess, client: WireClient) -> None:
    push(client, range(1500, JOBS), at=LATER)
    told = events(server, "/scheduled?text=needle&stream=1&have=10")
    rows = sum(news["html"].count("<tr data-key=") for name, news in told if name == "rows")
    assert rows == 40
    following = told[-1][1]["next"]
    assert "cursor=" in following
    assert ask(server.web_port, following).text.count("<tr data-key=") == 50


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_the_api_finds_all(server: ServerProcess, client: WireClient, order: str) -> None:
    push(client, range(1000, JOBS, 100), at=LATER)
    expected = [f"job-{number:05}" for number in range(1000, JOBS, 100)]
    found = api(server, f"/scheduled?text=NEEDLE&order={order}")
    assert found == (expected if order == "oldest" else expected[::-1])


def test_a_queue_is_searched_too(server: ServerProcess, client: WireClient) -> None:
    push(client, range(1000, JOBS, 100), queue="mail")
    assert api(server, "/queues/mail/jobs?text=needle") == [f"job-{n:05}" for n in range(1000, JOBS, 100)]
    told = events(server, "/queues/mail?text=needle&stream=1")
    assert sum(news["html"].count("<tr data-key=") for name, news in told if name == "rows") == 30


def test_before_all_that_match_is_done_something_to_they_are_counted(server: ServerProcess, client: WireClient) -> None:
    push(client, range(500, JOBS), at=LATER)
    path, told = "/scheduled?confirm=delete&text=needle", ""
    page = ask(server.web_port, path)
    stream = attribute(page, "data-count-on")
    if stream:
        news = events(server, stream)
        told = news[-1][1]["count"]
    assert "3,500 jobs match" in (told or page.text)


def test_all_that_match_are_found_by_the_search_process(server: ServerProcess, client: WireClient) -> None:
    push(client, range(0, JOBS, 4), at=LATER)
    answer = ask(server.web_port, "/scheduled", form={"all": "1", "action": "delete", "text": "needle"})
    assert (answer.status, answer.headers["location"]) == (302, "/scheduled?did=begun")
    until(lambda: client.info()["faktory"]["tasks"]["Scheduled"]["size"] == JOBS * 3 // 4)
    assert helper_of(server) is not None
    assert api_free(server, "/scheduled?text=needle") == []


def api_free(server: ServerProcess, path: str) -> list[str]:
    answer = ask(server.web_port, f"/api/v1{path}")
    return [job["jid"] for job in json.loads(answer.body)["jobs"]]


def test_a_mutate_of_the_protocol_is_fed_and_answered(client: WireClient) -> None:
    push(client, range(0, JOBS, 2), at=LATER)
    order = {"cmd": "requeue", "target": "scheduled", "filter": {"text": "needle"}}
    assert client.command(b"MUTATE " + json.dumps(order).encode()) == "OK"
    tasks = client.info()["faktory"]
    assert (tasks["tasks"]["Scheduled"]["size"], tasks["queues"]["default"]) == (JOBS // 2, JOBS // 2)


def test_one_that_dies_is_told_and_harms_nobody(server: ServerProcess, client: WireClient) -> None:
    push(client, range(JOBS - 1, JOBS), at=LATER)

    def is_told() -> bool:
        """Kill it and ask, before another one is started: that is two seconds later, which a busy machine may miss."""
        events(server, "/scheduled?text=needle&stream=1")
        if (pid := helper_of(server)) is None:
            return False
        os.kill(pid, signal.SIGKILL)
        until(lambda: helper_of(server) is None)
        name, told = events(server, "/scheduled?text=needle&stream=1")[-1]
        problem = ask(server.web_port, "/api/v1/scheduled?text=needle")
        if (name, problem.status) != ("failed", 503):
            return False
        assert "the search process ended" in told["told"]
        assert b"search process" in problem.body
        return True

    until(is_told)
    assert client.command(b"INFO") is not None
    assert ask(server.web_port, "/scheduled").status == 200, "a page without a search needs none"
    # What was begun goes on all the same, in the loop.
    answer = ask(server.web_port, "/scheduled", form={"all": "1", "action": "kill", "text": "needle"})
    assert answer.status == 302
    until(lambda: client.info()["faktory"]["tasks"]["Dead"]["size"] == 1)
    until(lambda: events(server, "/scheduled?text=straw&stream=1&have=49")[-1][0] == "end")


def test_one_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, web=True) as server:
        with WireClient(server.port) as client:
            push(client, range(0), at=LATER)
        events(server, "/scheduled?text=needle&stream=1")
        pid = helper_of(server)
        assert pid is not None
        server.kill()
        until(lambda: is_gone(pid))


def test_a_bad_cursor_of_a_stream_is_told(server: ServerProcess, client: WireClient) -> None:
    push(client, range(0), at=LATER)
    assert events(server, f"/scheduled?text=x&stream=1&cursor={quote('zz')}") == [
        ("failed", {"told": "invalid cursor"})
    ]
