"""A real Redis of its own, on a socket in a directory, laid out as Faktory lays it out."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import redis

START_SECONDS = 60.0


class RedisProcess:
    """`redis-server`, which keeps nothing on disk."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.path = root / "redis.sock"
        self.url = f"unix://{self.path}"
        self.process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(unix_socket_path=str(self.path))

    def __enter__(self) -> Self:
        if shutil.which("redis-server") is None:
            reason = "redis-server is not installed (Debian: apt install redis-server)"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.path), "--save", "", "--dir", str(self.root)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.ping()
                return self
            except redis.ConnectionError:
                assert time.monotonic() < end, "redis-server does not start"
                time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def contents(self) -> dict[bytes, Any]:
        """Everything in it, but what an import notes."""
        found: dict[bytes, Any] = {}
        for key in self.client.keys("*"):
            if key == b"lineshaft:imported":
                continue
            kind = self.client.type(key)
            if kind == b"list":
                found[key] = self.client.lrange(key, 0, -1)
            elif kind == b"zset":
                found[key] = self.client.zrange(key, 0, -1, withscores=True)
            elif kind == b"set":
                found[key] = self.client.smembers(key)
            else:
                found[key] = self.client.get(key)
        return found
