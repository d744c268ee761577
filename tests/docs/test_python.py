"""The tutorial and the pages for Python, followed line by line against a real server."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs.pages import ROOT, read
from docs.sessions import Session
from lineshaft.client import Client, job_of
from processes import ServerProcess


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with ServerProcess(tmp_path / "server") as running:
        yield f"tcp://127.0.0.1:{running.port}"
        assert running.stop() == 0


@pytest.fixture
def session(tmp_path: Path, url: str) -> Iterator[Session]:
    folder = tmp_path / "project"
    folder.mkdir()
    session = Session(folder, url)
    yield session
    session.stop()


def test_the_tutorial(session: Session) -> None:
    assert session.play(read("docs/tutorial.md")) == 6


def test_the_client(session: Session) -> None:
    page = read("docs/howto/python-client.md")
    # One program from the first block to the last, as a reader at a prompt would have it.
    program = page.replace("```python\n", "`all.py`:\n\n```python\n", 1)
    expected = "".join(block.partition("```")[0] for block in program.split("```text\n")[1:])
    session.play(program.replace("```text", "```output"))
    session.type(".venv/bin/python all.py")
    jid, _, printed = session.printed.partition("\n")
    assert len(jid) == 24
    assert printed == expected


def test_the_worker(session: Session, url: str) -> None:
    page = read("docs/howto/python-worker.md")
    assert session.play(page) == 0
    # Once more, with what the page has added to the file since.
    session.type("lineshaft work jobs --queues mail,default --concurrency 20")
    with Client(url) as client:
        delivered = client.push(job_of("deliver", {"street": "Gran Via"}).using(queue="mail"))
        try:
            assert delivered.wait(60) == "to Madrid"
        except TimeoutError:
            pytest.fail(session.log.read_text())
        export = client.push(job_of("export", "orders").using(track=True))
        assert export.wait(60) is None
        for what, where in (("busy", "retries"), ("later", "scheduled"), ("odd", "dead")):
            client.push(job_of("fetch", what))
            end = time.monotonic() + 30
            while client.info()["faktory"]["sets"][where] != 1:
                assert time.monotonic() < end, session.log.read_text()
                time.sleep(0.02)
    assert "half of it" not in session.log.read_text()
    assert f"{export.jid} default 1 False" in session.log.read_text()


def test_testing(tmp_path: Path) -> None:
    session = Session(tmp_path, "tcp://127.0.0.1:1")
    session.play(read("docs/howto/python-testing.md").replace("python -m pytest", ".venv/bin/python -m pytest"))
    assert "4 passed" in session.printed, session.printed


SNIPPET = re.compile(r"^Python \(`lineshaft`[^\n]*:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BEFORE = """
from lineshaft import Jobs
from lineshaft.testing import FakeServer
jobs = Jobs()
client = FakeServer().client()
def announce(number: int) -> None: ...
def load(number: int) -> None: ...
def code(number: str) -> None: ...
def sync(number: int) -> None: ...
def export(number: int) -> None: ...
for one in (announce, load, code, sync, export):
    globals()[one.__name__] = jobs.job(one)
"""


def test_the_pages_of_features_say_it_for_this_client() -> None:
    pages = sorted((ROOT / "docs" / "howto").glob("*.md"))
    found = [text for page in pages for text in SNIPPET.findall(page.read_text("utf-8"))]
    assert len(found) == 5
    names: dict[str, Any] = {}
    exec(BEFORE, names)
    for snippet in found:
        exec(snippet, names)
    assert names["client"].info()["faktory"]["queues"] == {"default": 4}
    assert "call" in names["jobs"].functions
