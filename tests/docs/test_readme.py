"""The README's examples, as they stand there, against a real server."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.clients.programs import CLIENTS, wait_until
from docs.pages import ROOT, blocks, read, section
from processes import ServerProcess
from wire_client import WireClient

PAGE = read("README.md")
BLOCKS = blocks(PAGE, "sh", "python", "js")


def example(language: str, word: str) -> str:
    """The one block of a language that has the word in it."""
    (found,) = [block.text for block in BLOCKS if block.language == language and word in block.text]
    return found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as running:
        yield running
        assert running.stop() == 0


@pytest.fixture
def environment(server: ServerProcess) -> dict[str, str]:
    """What points an example at the server of the test instead of the one on port 7419."""
    return {**os.environ, "FAKTORY_URL": f"tcp://127.0.0.1:{server.port}"}


def works(command: list[str], environment: dict[str, str], server: ServerProcess, where: Path, cwd: Path) -> str:
    """Run a worker until it has done one job; returns what it printed."""
    with where.open("wb") as output, WireClient(server.port) as wire:
        process = subprocess.Popen(
            command, env=environment, cwd=cwd, stdout=output, stderr=output, start_new_session=True
        )
        try:
            wait_until(lambda: wire.info()["faktory"]["total_processed"] == 1, f"a job by {command[0]}")
        except AssertionError as error:
            error.add_note(where.read_text())
            raise
        finally:
            # With what it has started: a heartbeat that sleeps would keep it for another ten seconds.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert wire.info()["faktory"]["total_failures"] == 0
    return where.read_text()


def test_the_two_commands() -> None:
    clone, run = example("sh", "git clone").splitlines()
    project = tomllib.loads(read("pyproject.toml"))["project"]
    address = clone.split()[2]
    assert project["urls"]["Changelog"].startswith(address + "/")
    assert clone == f"git clone {address} && cd {address.rpartition('/')[2]}"
    planned = subprocess.run([*run.split(), "-n"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "lineshaft serve -d ./data" in planned
    assert f"Python {project['requires-python'].removeprefix('>=')} or later" in PAGE


def test_the_python_worker(environment: dict[str, str], server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "greet.py").write_text(example("python", "jobs = Jobs()"))
    push, work = example("sh", "lineshaft work").splitlines()
    assert push == ".venv/bin/python greet.py"
    subprocess.run([sys.executable, "greet.py"], env=environment, cwd=tmp_path, check=True, timeout=60)
    command = [sys.executable, "-m", *work.removeprefix(".venv/bin/").split()]
    assert "hello world\n" in works(command, environment, server, tmp_path / "output", tmp_path)
    with WireClient(server.port) as wire:
        assert wire.info()["faktory"]["queues"] == {"default": 0}


def test_pyfaktory(environment: dict[str, str], server: ServerProcess, tmp_path: Path) -> None:
    program = tmp_path / "greet.py"
    program.write_text(example("python", "pyfaktory"))
    command = [sys.executable, "-W", "ignore", str(program)]
    assert "hello world\n" in works(command, environment, server, tmp_path / "output", tmp_path)


def test_faktory_worker(environment: dict[str, str], server: ServerProcess, tmp_path: Path) -> None:
    client = next(client for client in CLIENTS if client.folder == "node")
    # Also when the library is there: another process of this run may just be putting it there.
    client.prepare()
    with WireClient(server.port) as wire:
        wire.push("readme-001", jobtype="greet", args=["world"])
    command = ["node", "-e", example("js", "faktory-worker")]
    assert "hello world\n" in works(command, environment, server, tmp_path / "output", client.directory)


def test_the_command_line(environment: dict[str, str], server: ServerProcess) -> None:
    for line in example("sh", "push").splitlines():
        program, _, words = line.partition(" ")
        assert program == ".venv/bin/lineshaft"
        command = f"'{sys.executable}' -m lineshaft {words}"
        done = subprocess.run(
            command, shell=True, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
    with WireClient(server.port) as wire:
        assert wire.info()["faktory"]["sets"]["scheduled"] == 1
        wire.command(b'MUTATE {"cmd":"requeue","target":"scheduled"}')
        job = wire.fetch("mail")
    assert job is not None
    assert (job["jobtype"], job["args"]) == ("greet", ["world"])
    assert time.strptime(job["at"][:19], "%Y-%m-%dT%H:%M:%S")


def test_the_verbs_of_the_open_part_are_all_there(server: ServerProcess) -> None:
    listed = section(PAGE, "Available").partition("with passwords")[0].partition(": ")[2]
    arguments = {
        "PUSH": {"jid": "readme-001", "jobtype": "T", "args": []},
        "PUSHB": [],
        "FETCH": None,
        "ACK": {"jid": "readme-001"},
        "FAIL": {"jid": "readme-001"},
        "BEAT": {"wid": "w"},
        "MUTATE": {"cmd": "clear", "target": "dead"},
        "QUEUE": None,
    }
    words = {"FETCH": "default", "QUEUE": "pause default"}
    verbs = [word for word in listed.replace(",", " ").split() if word.isupper()]
    assert len(verbs) == 10
    with WireClient(server.port) as wire:
        for verb in verbs:
            argument = words.get(verb) or (json.dumps(arguments[verb]) if verb in arguments else "")
            wire.send(f"{verb} {argument}".encode())
            first = wire.file.readline()
            assert b"unknown command" not in first, verb
            if first[:1] == b"$" and first != b"$-1\r\n":
                wire.file.read(int(first[1:]) + 2)
