"""A real server in a process of its own, for the tests that kill it, and for other languages' clients."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
        (self.config / "conf.d").mkdir(parents=True, exist_ok=True)
        (self.config / "conf.d" / "test.toml").write_text(config)
        self.log = root / "server.log"
        self.port = free_port()
        self.web_port = free_port() if web else 0
        self.environment = {**os.environ, **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

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
        return self.process.wait(20)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
