"""A real server in a process of its own, for the tests that kill it, and for other languages' clients."""

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

#: Bounds of patience, which only a server that never starts or ends comes to: on a quiet machine it is half a second.
START_SECONDS = STOP_SECONDS = 60.0

#: From here up to those that the kernel gives away ports are ours; each process of a run has a share of them.
FIRST_PORT, SHARES = 10_000, 20


def _own_ports() -> Iterator[int]:
    """Ports that neither the kernel nor another process of this run picks, again and again.

    One that the kernel picks (`bind` to port 0) it may pick again, for a client of whatever else runs, as long as
    nobody listens there: before the server starts, and while it starts anew.
    """
    try:
        end = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):
        end = 32_768
    size = max((end - FIRST_PORT) // SHARES, 0)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", f"gw{os.getpid()}").removeprefix("gw")) % SHARES
    share = range(FIRST_PORT + number * size, FIRST_PORT + (number + 1) * size)
    # Not always the same ones: another run may be under way.
    first = random.randrange(size) if size else 0
    return itertools.cycle([*share[first:], *share[:first]])


_ports = _own_ports()


def free_port() -> int:
    """A port on which nobody listens, and which nobody else takes meanwhile."""
    for port in itertools.islice(_ports, 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    with socket.socket() as probe:
        # The kernel gives away nearly all ports here.
        probe.bind(("127.0.0.1", 0))
        picked: int = probe.getsockname()[1]
        return picked


def stop_on_sigterm() -> None:
    """Let SIGTERM end a program through every `with` and `finally`, so that it leaves no server behind."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


class ServerProcess:
    """`lineshaft serve` on a free port; `config` is the text of its one TOML file, an empty `host` every interface."""

    def __init__(
        self,
        root: Path,
        config: str = "",
        *,
        environment: dict[str, str] | None = None,
        web: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.data, self.config = root / "data", root / "config"
        self.configure(config)
        self.log = root / "server.log"
        self.port = free_port()
        self.web_port = free_port() if web else 0
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, config: str) -> None:
        """What holds from the next start on."""
        (self.config / "conf.d").mkdir(parents=True, exist_ok=True)
        (self.config / "conf.d" / "test.toml").write_text(config)

    def start(self) -> None:
        command = [sys.executable, "-m", "lineshaft", "serve", "-b", f"{self.host}:{self.port}"]
        command += ["-w", f"127.0.0.1:{self.web_port}" if self.web_port else ":0"]
        command += ["-d", str(self.data), "-c", str(self.config), "-e", "development", "-l", "info"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        self._wait()

    def _wait(self) -> None:
        assert self.process is not None
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                    return
            except OSError:
                time.sleep(0.01)
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"the server did not start:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
