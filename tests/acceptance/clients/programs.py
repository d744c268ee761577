"""The client programs of this folder: how each is built, what its library cannot do, and how a test runs it."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["CLIENTS", "Client", "Running", "a_job", "wait_until"]

HERE = Path(__file__).parent
BUILT = HERE.parents[2] / "build" / "clients"
BUILD_SECONDS = 540.0
RUN_SECONDS = 120.0

NO_ADMINISTRATION = "the library has no administration"

NO_TRACKING = "the library knows no TRACK"
NO_LINES = "the library has no public way to send a line"
NO_CUSTOM = "its handlers do not see `custom`"

#: npm's lock file names no registry, so neither must the command; scripts of dependencies are not run.
NPM = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
CARGO = ["cargo", "build", "--locked", "--quiet"]
GO = ["go", "build", "-buildvcs=false", "-o", "target/client", "."]


def wait_until(condition: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
    """Look again and again: other processes hand us no clock."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def a_job(jid: str, **fields: Any) -> dict[str, Any]:
    """A job as the programs want it."""
    return {"jid": jid, "jobtype": "note", "args": [1], "queue": "default", "retry": 25, **fields}


@dataclass(frozen=True)
class Client:
    """A client library and the program that is built on it."""

    name: str
    folder: str
    command: tuple[str, ...]
    build: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    #: What the library cannot do, and why it is left out.
    lacks: dict[str, str] = field(default_factory=dict)
    #: How long after a BEAT the next one comes at the latest; some libraries do not let us choose.
    beat_seconds: float = 5.0

    def __str__(self) -> str:
        return self.name

    @property
    def directory(self) -> Path:
        return HERE / self.folder

    def need(self, *abilities: str) -> None:
        """Skip the test when the library cannot do one of these."""
        for ability in abilities:
            if ability in self.lacks:
                pytest.skip(f"{self.name}: {self.lacks[ability]}")

    def prepare(self) -> None:
        """Build the program. Skips without the toolchain, but fails in CI, where everything must have run."""
        if missing := [tool for tool in self.tools if shutil.which(tool) is None]:
            reason = f"{self.name}: {' and '.join(missing)} not found"
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        if self.build:
            # Once in a run of the tests, whichever of its processes is first: a build takes away what another one uses.
            run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
            BUILT.mkdir(parents=True, exist_ok=True)
            with (BUILT / f"{self.folder}-{run}").open("a") as stamp:
                fcntl.flock(stamp, fcntl.LOCK_EX)
                if not stamp.seek(0, os.SEEK_END):
                    self._build()
                    stamp.write("built")

    def _build(self) -> None:
        built = subprocess.run(
            self.build, cwd=self.directory, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
        assert built.returncode == 0, f"{' '.join(self.build)}:\n{built.stdout}{built.stderr}"

    def _arguments(self, command: str, message: dict[str, Any] | None) -> list[str]:
        return [*self.command, command, *([] if message is None else [json.dumps(message)])]

    def try_run(
        self, environment: dict[str, str], command: str, message: dict[str, Any] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end, whatever that is."""
        return subprocess.run(
            self._arguments(command, message),
            cwd=self.directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    def run(self, environment: dict[str, str], command: str, message: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run a command that must succeed; returns what it printed."""
        done = self.try_run(environment, command, message)
        assert done.returncode == 0, f"{self.name} {command}:\n{done.stdout}{done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    @contextmanager
    def working(self, scratch: Path, environment: dict[str, str], *queues: str, wid: str) -> "Iterator[Running]":
        """The library's worker, while the block runs; what it prints goes to files in `scratch`."""
        output, errors = scratch / f"{wid}.out", scratch / f"{wid}.err"
        with output.open("wb") as out, errors.open("wb") as err:
            process = subprocess.Popen(
                self._arguments("work", {"queues": list(queues), "wid": wid}),
                cwd=self.directory,
                env={**os.environ, **environment},
                stdout=out,
                stderr=err,
            )
        running = Running(self, process, output, errors)
        try:
            yield running
        except AssertionError as error:
            error.add_note(f"{self.name} said:\n{running.stop()}")
            raise
        finally:
            running.stop()


class Running:
    """A program that runs in the background; its lines are read as they come."""

    def __init__(self, client: Client, process: "subprocess.Popen[bytes]", output: Path, errors: Path) -> None:
        self.client = client
        self.process = process
        self.output = output
        self.errors = errors

    def lines(self) -> list[dict[str, Any]]:
        """Everything printed so far; what the library itself prints among it is left out."""
        whole = self.output.read_bytes().rpartition(b"\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    def ran(self) -> list[str]:
        """The jids of the jobs that were run, in order."""
        return [line["ran"] for line in self.lines() if "ran" in line]

    def wait_end(self, seconds: float) -> None:
        """Wait until the program has ended by itself."""
        wait_until(lambda: self.process.poll() is not None, f"the end of {self.client.name}", seconds=seconds)

    def stop(self) -> str:
        """End it, by force if it does not end by itself soon; returns what it had to complain of."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.errors.read_text()


CLIENTS = (
    Client(
        "pyfaktory",
        "python",
        (sys.executable, "-W", "ignore", "pyfaktory_client.py"),
        lacks={"track": NO_TRACKING, "line": NO_LINES, "more": NO_CUSTOM},
    ),
    Client(
        "faktory.py",
        "python",
        (sys.executable, "-W", "ignore", "faktory_client.py"),
        beat_seconds=2.0,
        lacks={
            "bulk": "the library has no bulk push",
            "info": NO_ADMINISTRATION,
            "pause": NO_ADMINISTRATION,
            "mutate": NO_ADMINISTRATION,
            "track": NO_TRACKING,
            "line": NO_LINES,
            "batch": "the library knows no BATCH",
            # It calls ssl.wrap_socket, which Python 3.12 removed.
            **({"tls": "the library cannot do TLS on Python 3.12 or later"} if sys.version_info >= (3, 12) else {}),
        },
    ),
    Client(
        "faktory-worker.js",
        "node",
        ("node", "client.js"),
        build=tuple(NPM),
        tools=("node", "npm"),
        lacks={"pause": "the library cannot pause queues", "track": NO_TRACKING},
        beat_seconds=1.0,
    ),
    Client("faktory.go", "go", ("target/client",), build=tuple(GO), tools=("go",), beat_seconds=15.0),
    Client(
        "faktory.rs",
        "rust",
        ("target/debug/client",),
        build=tuple(CARGO),
        tools=("cargo",),
        lacks={"line": NO_LINES, "bulk batch": "the library pushes into a batch one by one"},
    ),
)
