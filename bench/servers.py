"""The servers under test: how each is started, when it is ready, and how it always ends.

A contestant says how to start a server; a `Server` is one such process, in a process group of its
own, so that whatever it starts ends with it. Every server gets a fresh port. `Server` is a context
manager: when the block ends, by success, error or Ctrl-C, the whole group is gone.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from contestants import Contestant
from talk import ServerFailed

__all__ = ["Server", "free_port", "memory_mb", "stop_on_signals"]

#: A start that takes longer has failed; a start on a million jobs should take two seconds.
START_LIMIT_SECONDS = 30.0
#: A clean stop syncs and closes the store; after this long it is killed, and that is said.
STOP_LIMIT_SECONDS = 20.0
#: How long killed processes may take to vanish. Where nothing reaps orphans they stay as zombies: let them.
GONE_LIMIT_SECONDS = 1.0
LOG_TAIL_LINES = 25


class Server:
    """One run of a contestant on `directory`; a second run on the same directory finds its data.

    After `start` it answers on `port`; after `stop`, `kill` or the end of the `with` block no process
    of its group is left.
    """

    def __init__(self, contestant: Contestant, directory: Path, *, sync: str) -> None:
        self.contestant = contestant
        self.directory = directory
        self.sync = sync
        self.port = 0
        self.log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process id, while it runs."""
        assert self._process is not None, "asked for the pid of a server that was not started"
        return self._process.pid

    def start(self) -> float:
        """Start it; return the seconds until it answered HELLO. Raises ServerFailed with the log's tail."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        command = self.contestant.command(self.port, self.directory, self.sync)
        began = time.perf_counter()
        try:
            self._spawn(command)
            self._wait_until_ready(began)
        except BaseException:
            self.kill()
            raise
        return time.perf_counter() - began

    def stop(self) -> float:
        """Ask it to stop (SIGTERM) and wait; return the seconds it took. Whatever is left is killed."""
        began = time.perf_counter()
        if self._process is not None:
            try:
                self._ask_to_stop(self._process)
            finally:
                self.kill()
        return time.perf_counter() - began

    def kill(self) -> None:
        """SIGKILL to the whole group, at once; also takes what a dead server has left behind."""
        if self._process is None:
            return
        group = self._process.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        self._process = None
        _wait_until_gone(group)

    def log_tail(self) -> str:
        """The last lines of its log, indented."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:]) or "    (its log is empty)"

    def _spawn(self, command: list[str]) -> None:
        with self.log.open("ab") as log, _signals_deferred():
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=_environment(),
                    start_new_session=True,
                )
            except OSError as error:
                raise ServerFailed(f"{self.contestant.name} cannot be started: {error}") from error

    def _ask_to_stop(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            return
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            text = f"{self.contestant.name} did not stop within {STOP_LIMIT_SECONDS:.0f} s: killed"
            print(text, file=sys.stderr)

    def _wait_until_ready(self, began: float) -> None:
        assert self._process is not None, "waiting for a server that was not started"
        while not self.contestant.answers(self.port):
            code = self._process.poll()
            if code is not None:
                raise ServerFailed(f"{self.contestant.name} ended with code {code}; its log:\n{self.log_tail()}")
            if time.perf_counter() - began > START_LIMIT_SECONDS:
                raise ServerFailed(
                    f"{self.contestant.name} does not answer on port {self.port} after "
                    f"{START_LIMIT_SECONDS:.0f} s; its log:\n{self.log_tail()}"
                )
            time.sleep(0.005)


def memory_mb(pid: int) -> dict[str, float]:
    """Resident memory of a process in MB (2^20 bytes): what it holds now (`rss`), and its `peak`."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {name: int(fields[key].split()[0]) / 1024 for name, key in (("rss", "VmRSS"), ("peak", "VmHWM"))}


def stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the harness as Ctrl-C does, through every `with` and `finally`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, _frame: sys.exit(128 + number))


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """Hold back what would end us until the block is over.

    A signal inside of Popen, between the fork and the assignment of its result, would leave a server
    that nobody knows of.
    """
    arrived: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {one: signal.signal(one, lambda number, _frame: arrived.append(number)) for one in numbers}
    try:
        yield
    finally:
        for one, handler in handlers.items():
            signal.signal(one, handler)
        for number in arrived:
            signal.raise_signal(number)


def _wait_until_gone(group: int) -> None:
    """SIGKILL is not waited for, except by a parent: the server's children are seen to go here."""
    give_up_at = time.perf_counter() + GONE_LIMIT_SECONDS
    while time.perf_counter() < give_up_at:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    """Ours, but without settings (a password, another environment) that were meant for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FAKTORY_")}
