"""`lineshaft work` as a process: signals, reload, and what is said when it cannot start."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lineshaft.client import Client, job_of
from processes import ServerProcess

CODE = """
import os
import time
from lineshaft import Jobs

jobs = Jobs()
other = Jobs()

@jobs.job(keep_result=True)
def version() -> int:
    return 1

@jobs.job
def slow(seconds: float) -> None:
    print("it runs", flush=True)
    time.sleep(seconds)

@jobs.job
def waits(path: str) -> None:
    print("it runs", flush=True)
    while not os.path.exists(path):
        time.sleep(0.01)

@other.job(keep_result=True)
def second() -> str:
    return "other"
"""


class Work:
    """A worker's process."""

    def __init__(self, url: str, folder: Path) -> None:
        self.environment = {**os.environ, "FAKTORY_URL": url}
        self.folder = folder
        self.output = folder / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "myjobs.py").write_text(CODE)

    def start(self, *words: str) -> None:
        command = [sys.executable, "-m", "lineshaft", "work", *words]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=output
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def worker(url: str, tmp_path: Path) -> Iterator[Work]:
    work = Work(url, tmp_path)
    yield work
    if work.process is not None and work.process.poll() is None:
        work.process.kill()
        work.process.wait()


def until(condition: Callable[[], Any], worker: Work) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, worker.output.read_text()
        time.sleep(0.02)


def test_works_until_sigterm(worker: Work, client: Client) -> None:
    worker.start("myjobs", "--queues", "critical,default", "--concurrency", "3", "--log-format", "json")
    assert client.push(job_of("version")).wait(60) == 1
    assert client.push(job_of("second")).wait(60) == "other"
    assert worker.end() == 0
    assert '"outcome":"done"' in worker.output.read_text()


def test_one_jobs_of_several(worker: Work, client: Client) -> None:
    worker.start("myjobs:other")
    client.push(job_of("version"))
    assert client.push(job_of("second")).wait(60) == "other"
    until(lambda: client.info()["faktory"]["sets"]["retries"] == 1, worker)
    assert worker.end(signal.SIGINT) == 0


def test_sigterm_lets_jobs_finish(worker: Work, client: Client) -> None:
    worker.start("myjobs")
    client.push(job_of("waits", str(worker.folder / "go-on")))
    until(lambda: "it runs" in worker.output.read_text(), worker)
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    until(lambda: "stopping" in worker.output.read_text(), worker)
    (worker.folder / "go-on").touch()
    assert worker.process.wait(60) == 0
    info = client.info()["faktory"]
    assert (info["total_processed"], info["total_failures"], info["queues"]) == (1, 0, {"default": 0})


def test_jobs_that_cannot_be_stopped_are_left_behind(worker: Work, client: Client) -> None:
    worker.start("myjobs", "--stop-seconds", "0")
    client.push(job_of("slow", 90))
    until(lambda: "it runs" in worker.output.read_text(), worker)
    assert worker.end() == 1
    assert "still running, and left behind" in worker.output.read_text()


def test_sigtstp_is_quiet(worker: Work, client: Client) -> None:
    worker.start("myjobs", "--concurrency", "1")
    assert client.push(job_of("version")).wait(60) == 1
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTSTP)
    until(lambda: "quiet" in worker.output.read_text(), worker)
    # A FETCH that was sent before may wait on for two seconds, and takes one of them: no more.
    client.push_bulk([job_of("version"), job_of("version")])
    time.sleep(0.5)
    assert client.info()["faktory"]["queues"]["default"] >= 1
    assert worker.process.poll() is None
    assert worker.end() == 0


def test_reload(worker: Work, client: Client) -> None:
    worker.start("myjobs", "--reload")
    assert client.push(job_of("version")).wait(60) == 1
    (worker.folder / "myjobs.py").write_text(
        CODE.replace("return 1", "return 2").replace("time.sleep", "syntax error(")
    )
    until(lambda: "SyntaxError" in worker.output.read_text(), worker)
    (worker.folder / "myjobs.py").write_text(CODE.replace("return 1", "return 22"))
    assert client.push(job_of("version")).wait(60) == 22
    assert worker.end() == 0


@pytest.mark.parametrize(
    ("secret", "message"),
    [(":wrong@", "wants another password"), ("", "asks for a password")],
)
def test_a_password_that_is_not_right_ends_it_at_once(tmp_path: Path, secret: str, message: str) -> None:
    with ServerProcess(tmp_path / "server", environment={"FAKTORY_PASSWORD": "right"}) as server:
        worker = Work(f"tcp://{secret}127.0.0.1:{server.port}", tmp_path)
        worker.start("myjobs")
        assert worker.process is not None
        try:
            assert worker.process.wait(60) == 1
        finally:
            worker.process.kill()
    said = worker.output.read_text()
    assert f"tcp://127.0.0.1:{server.port} {message}: set FAKTORY_URL=tcp://:PASSWORD@127.0.0.1" in said
    assert "trying on" not in said
    assert "Traceback" not in said
    assert "wrong" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no module nowhere"),
        (["myjobs:nothing"], "there is no Jobs in myjobs:nothing"),
        (["os"], "there is no Jobs in os"),
        (["myjobs", "--queues", "a:x"], "a queue is NAME, or NAME:WEIGHT"),
        (["myjobs", "--concurrency", "0"], "concurrency is 1 or more"),
        (["myjobs", "--color", "red"], "unrecognized arguments: --color red"),
        ([], "the following arguments are required: MODULE"),
    ],
)
def test_asked_for_wrongly(worker: Work, words: list[str], message: str) -> None:
    worker.start(*words)
    assert worker.process is not None
    assert worker.process.wait(60) == 2
    assert message in worker.output.read_text()
    assert "Traceback" not in worker.output.read_text()
