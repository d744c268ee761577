"""A real server with a plugin that is installed beside it, as an operator does it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from processes import ServerProcess
from wire_client import WireClient, WireError

pytestmark = pytest.mark.timeout(600)

SOURCE = '''
import time

from lineshaft.plugins import Change, Follow, JobView, NewJob, Outcome, Plugin, Refuse


class Rules(Plugin):
    """Changes, refuses, follows, raises and dawdles, as the job's type asks."""

    def push(self, job: JobView) -> Outcome:
        if job.jobtype == "refuse":
            return Refuse("no tenant named")
        if job.jobtype == "change":
            return Change(queue="changed", args=[*job.args, "more"], priority=9)
        if job.jobtype == "raise":
            raise LookupError("of my own making")
        if job.jobtype == "dawdle":
            time.sleep(0.05)
        return None

    def ack(self, job: JobView, worker: str) -> Follow | None:
        return Follow([NewJob("after", [job.jid, worker], queue="after")]) if job.jobtype == "follow" else None

    def dead(self, job: JobView) -> Follow:
        return Follow([NewJob("buried", [job.jid, job.failure.message], queue="after")])
'''

PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "lineshaft-rules"
version = "1.0"

[project.entry-points."lineshaft.plugins"]
rules = "lineshaft_rules:Rules"

[tool.hatch.build.targets.wheel]
only-include = ["lineshaft_rules.py"]
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin's package, installed by pip into a folder of its own; nothing is fetched for it."""
    source, folder = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    (source / "lineshaft_rules.py").write_text(SOURCE)
    (source / "pyproject.toml").write_text(PROJECT)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--target", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def server(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    config = "[plugins]\nslow_ms = 20\n"
    with ServerProcess(
        tmp_path_factory.mktemp("server"), config, environment={"PYTHONPATH": str(installed)}
    ) as process:
        yield process


@pytest.fixture
def wire(server: ServerProcess) -> Iterator[WireClient]:
    with WireClient(server.port, {"v": 2, "wid": "worker-1", "hostname": "h", "pid": 1, "labels": []}) as client:
        assert client.command(b"FLUSH") == "OK"
        yield client


def wait_for_log(server: ServerProcess, text: str) -> None:
    wait_until(lambda: text in server.log.read_text(), f"{text!r} in the log")


def test_the_start_names_it(server: ServerProcess) -> None:
    wait_for_log(server, "rules")


def test_a_job_is_changed(wire: WireClient) -> None:
    wire.push("plugin-0001", jobtype="plain", queue="changed")
    wire.push("plugin-0002", jobtype="change")
    job = wire.fetch("changed")
    assert job is not None
    assert (job["jid"], job["queue"], job["args"]) == ("plugin-0002", "changed", [1, "more"])


def test_a_job_is_refused(wire: WireClient) -> None:
    with pytest.raises(WireError, match=r"^ERR no tenant named$"):
        wire.push("plugin-0003", jobtype="refuse")
    assert wire.info()["faktory"]["queues"] == {}


def test_a_job_is_followed_also_over_a_kill(server: ServerProcess, wire: WireClient) -> None:
    wire.push("plugin-0004", jobtype="follow")
    assert wire.fetch() is not None
    wire.ack("plugin-0004")
    wire.push("plugin-0005", retry=-1, queue="dies")
    assert wire.fetch("dies") is not None
    wire.fail("plugin-0005", message="it broke")
    server.kill()
    server.start()
    with WireClient(server.port) as client:
        told = [client.fetch("after") for _ in range(2)]
    assert [(job["jobtype"], job["args"]) for job in told if job is not None] == [
        ("after", ["plugin-0004", "worker-1"]),
        ("buried", ["plugin-0005", "it broke"]),
    ]


def test_one_that_raises_is_logged_and_harms_nothing(server: ServerProcess, wire: WireClient) -> None:
    wire.push("plugin-0006", jobtype="raise")
    job = wire.fetch()
    assert job is not None
    assert job["args"] == [1]
    wait_for_log(server, "the plugin rules failed in push: LookupError('of my own making')")
    assert "Traceback" in server.log.read_text()


def test_a_slow_one_is_named(server: ServerProcess, wire: WireClient) -> None:
    wire.push("plugin-0007", jobtype="dawdle")
    wait_for_log(server, "the plugin rules is slow: push took")


def test_one_that_is_switched_off_is_not_called(installed: Path, tmp_path: Path) -> None:
    config = '[plugins]\ndisabled = ["rules"]\n'
    with (
        ServerProcess(tmp_path, config, environment={"PYTHONPATH": str(installed)}) as server,
        WireClient(server.port) as client,
    ):
        client.push("plugin-0008", jobtype="refuse")
        assert "rules" not in server.log.read_text()


def test_one_that_is_wanted_and_not_there_stops_the_start(installed: Path, tmp_path: Path) -> None:
    config = '[plugins]\nenabled = ["rules", "ruels"]\n'
    server = ServerProcess(tmp_path, config, environment={"PYTHONPATH": str(installed)})
    said = "plugins.enabled names ruels, which is not installed; installed are: rules"
    with pytest.raises(AssertionError, match=re.escape(said)):
        server.start()
