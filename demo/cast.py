"""Who plays in the demo: the server and the workers, each a process of its own."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Process", "node_problem", "start_node_worker", "start_python_worker", "start_server"]

HERE = Path(__file__).resolve().parent
START_SECONDS = 60.0
STOP_SECONDS = 30.0
INSTALL_SECONDS = 300.0


@dataclass
class Process:
    """A running process; what it says goes to a file."""

    name: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    def is_alive(self) -> bool:
        return self.popen.poll() is None

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> int:
        """SIGTERM, and SIGKILL to those that do not obey; returns the exit code."""
        self.popen.terminate()
        try:
            return self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return self.popen.wait()


@contextmanager
def _process(name: str, command: list[str], log: Path, **environment: str) -> Iterator[Process]:
    # What the caller's environment says of other servers is not for this one.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("FAKTORY_", "LINESHAFT_"))}
    with log.open("wb") as output:
        popen = subprocess.Popen(command, stdout=output, stderr=output, env={**inherited, **environment})
    process = Process(name, popen, log)
    try:
        yield process
    finally:
        if process.is_alive():
            process.stop()


@contextmanager
def start_server(directory: Path) -> Iterator[tuple[Process, str]]:
    """`lineshaft serve` on a free port and a fresh data directory; yields it and its URL once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "config").mkdir()
    command = [sys.executable, "-m", "lineshaft", "serve", "-b", f"127.0.0.1:{port}", "-w", ":0"]
    command += ["-d", str(directory / "data"), "-c", str(directory / "config"), "-e", "development"]
    with _process("server", command, directory / "server.log") as server:
        _await_port(server, port)
        yield server, f"tcp://127.0.0.1:{port}"


def _await_port(server: Process, port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while server.is_alive() and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise SystemExit(f"the server did not start:\n{server.last_words()}")


def node_problem() -> str | None:
    """Install what the Node worker needs; returns why it cannot play, if so."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=HERE / "node", capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"npm ci did not end within {INSTALL_SECONDS:g} s"
    return None if done.returncode == 0 else f"npm ci failed: {done.stderr.strip()[-500:]}"


@contextmanager
def start_python_worker(name: str, url: str, directory: Path) -> Iterator[Process]:
    """A worker on PyPI's pyfaktory."""
    command = [sys.executable, str(HERE / "python_worker.py"), name, str(directory / "results")]
    with _process(name, command, directory / f"{name}.log", FAKTORY_URL=url) as worker:
        yield worker


@contextmanager
def start_node_worker(url: str, directory: Path) -> Iterator[Process]:
    """A worker on npm's faktory-worker."""
    command = ["node", str(HERE / "node" / "worker.js"), str(directory / "results")]
    with _process("node", command, directory / "node.log", FAKTORY_URL=url) as worker:
        yield worker
