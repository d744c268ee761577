"""docs/howto/migrate-from-faktory.md, typed line by line: from the files that a Faktory has left into a real server."""

import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.redis_process import RedisProcess
from docs.pages import Block, blocks, read, section
from lineshaft.client import Client
from processes import free_port

PAGE = read("docs/howto/migrate-from-faktory.md")


def job(jid: str, **fields: object) -> str:
    return json.dumps({"jid": jid, "queue": "default", "jobtype": "T", "args": [1, 2], **fields})


def leave_files(folder: Path) -> None:
    """What Faktory's Redis has written when it stops, in its layout."""
    with RedisProcess(folder) as running:
        redis, now = running.client, time.time()
        redis.sadd("queues", "default", "mail")
        redis.sadd("paused", "mail")
        redis.lpush("q:default", *[job(f"ready-{number:04d}") for number in range(1203)])
        redis.lpush("q:mail", *[job(f"mail-{number:04d}", queue="mail") for number in range(6)])
        failure = {"retry_count": 4, "failed_at": "2026-01-01T00:00:00.123456789Z", "message": "boom"}
        redis.zadd("scheduled", {job("later-001", at="2096-01-01T00:00:00Z"): now + 3600})
        redis.zadd("retries", {job("retry-001", failure=failure): now + 7200})
        redis.zadd("dead", {job("dead-0001", failure=failure): now - 86400, job("dead-0002"): now - 86400})
        held = {"job": json.loads(job("held-0001")), "wid": "w", "reserved_at": "x", "expires_at": "y"}
        redis.zadd("working", {json.dumps(held): now + 1800})
        redis.save()
    (folder / "dump.rdb").rename(folder / "faktory.rdb")


class Reader:
    """Types the commands of the page, with ports and folders of the test's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.beside: list[subprocess.Popen[bytes]] = []
        (folder / "config").mkdir()

    def placed(self, text: str) -> str:
        """The page's text with the places of the test."""
        text = text.replace("/tmp/faktory.sock", str(self.folder / "faktory.sock"))
        text = text.replace("/var/lib/faktory/db", str(self.folder / "db"))
        text = text.replace("-w :7520", f"-w :0 -d {self.folder / 'data'} -c {self.folder / 'config'}")
        return text.replace(":7519", f":{self.port}")

    def start(self, block: Block) -> None:
        """A program that goes on."""
        words = self.placed(block.text).replace("lineshaft ", f"{sys.executable} -m lineshaft ", 1)
        self.beside.append(subprocess.Popen(shlex.split(words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def type(self, block: Block) -> str:
        """One that ends; returns what it prints."""
        head = f"set -e\nexport FAKTORY_URL=tcp://127.0.0.1:{self.port}\n"
        head += f"lineshaft() {{ '{sys.executable}' -m lineshaft \"$@\"; }}\n"
        done = subprocess.run(
            ["bash", "-c", head + self.placed(block.text)], capture_output=True, text=True, check=False, timeout=110
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path)
    yield reader
    for process in reader.beside:
        process.kill()
        process.wait()


def test_line_by_line(reader: Reader, tmp_path: Path) -> None:
    leave_files(tmp_path / "db")
    shown = blocks(section(PAGE, "Step by step"), "sh", "text")
    serve, redis, look, found, bring, brought, compare = shown
    reader.start(serve)
    reader.start(redis)
    deadline = time.monotonic() + 60
    while not (tmp_path / "faktory.sock").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with Client(f"tcp://127.0.0.1:{reader.port}", timeout_seconds=60) as client:
        client.info()
        assert reader.type(look).split() == found.text.split()
        assert client.info()["faktory"]["total_enqueued"] == 0
        assert reader.type(bring).split() == brought.text.split()
        figures = client.info()["faktory"]
        assert figures["queues"] == {"default": 1204, "mail": 6}, "what ran is queued again"
        assert {name: figures["sets"][name] for name in ("scheduled", "retries", "dead")} == {
            "scheduled": 1,
            "retries": 1,
            "dead": 2,
        }
        printed = reader.type(compare)
        assert re.search(r"default\W+1,?204", printed)
        assert "dead-0001" in printed
        assert "1,214 jobs read: 0 brought, 0 there already, 1,214 brought by an earlier run" in reader.type(bring)
        assert client.info()["faktory"]["queues"] == {"default": 1204, "mail": 6}
        assert client.fetch("mail") is None, "paused there, paused here"
        fetched = client.fetch("default")
        assert fetched is not None
        assert fetched["jid"] == "held-0001"


def test_the_extras_that_it_installs() -> None:
    (extras,) = re.findall(r"pip install 'lineshaft\[([\w,]+)\]'", PAGE)
    declared = re.findall(r"^(\w+) = \[", read("pyproject.toml"), re.MULTILINE)
    assert set(extras.split(",")) <= set(declared)
