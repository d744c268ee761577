"""A real server for the examples, and what points them at it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lineshaft.client import Client
from processes import ServerProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


class Play:
    """Runs an example's programs in its folder."""

    def __init__(self, url: str, where: Path) -> None:
        self.url = url
        self.folder = EXAMPLES
        self.environment = {
            **os.environ,
            "FAKTORY_URL": url,
            "SHOP_DATABASE": str(where / "shop.sqlite3"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def run(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, *words: str, ends_with: tuple[int, ...] = (0,)) -> Iterator["subprocess.Popen[bytes]"]:
        """A program that goes on until the block ends, and then ends well."""
        process = subprocess.Popen(
            [sys.executable, *words], cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL
        )
        try:
            yield process
            process.terminate()
            assert process.wait(60) in ends_with
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    with ServerProcess(tmp_path / "server") as server:
        yield Play(f"tcp://127.0.0.1:{server.port}", tmp_path)


@pytest.fixture
def client(play: Play) -> Iterator[Client]:
    with Client(play.url) as client:
        yield client
