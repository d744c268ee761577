"""Damaged and missing files under a real server: it never goes on as if nothing were missing.

Whatever is done to the files of a store that was killed, one of these must be true. The server refuses to start, in one
line that names the damage, and `lineshaft check` says what there is to do. Or it starts, and then every job is there.
Or the damage lies in a table that it opened, and whoever asks for a job in it is told.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from processes import ServerProcess
from wire_client import WireClient, WireError

JOBS = 1000


def flip(file: Path, at: float = 0.5) -> None:
    """Turn four bytes of a file into others."""
    with file.open("r+b") as stream:
        stream.seek(int(file.stat().st_size * at))
        before = stream.read(4)
        stream.seek(-4, os.SEEK_CUR)
        stream.write(bytes(byte ^ 0xA5 for byte in before))


def noise(number: int) -> str:
    """What cannot be made smaller."""
    return "".join(sha256(b"%d/%d" % (number, part)).hexdigest() for part in range(4))


def largest(data: Path, pattern: str) -> Path:
    return max(data.glob(pattern), key=lambda file: file.stat().st_size)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a server that was killed: half of its jobs in tables, half in the log."""
    server = ServerProcess(tmp_path_factory.mktemp("killed"))
    for life in range(2):
        with server, WireClient(server.port) as client:
            for begin in range(0, JOBS // 2, 100):
                jobs = [
                    {"jid": f"job-{life}-{number:06d}", "jobtype": "T", "args": [noise(number)]}
                    for number in range(begin, begin + 100)
                ]
                assert client.command(b"PUSHB " + json.dumps(jobs).encode()) == b"{}"
            server.kill()
    assert largest(server.data, "*.sst").stat().st_size > 100_000, "a table of several blocks"
    assert largest(server.data, "*.log").stat().st_size > 100_000
    return server.data


@pytest.fixture
def server(killed: Path, tmp_path: Path) -> ServerProcess:
    server = ServerProcess(tmp_path)
    shutil.copytree(killed, server.data)
    return server


def lose(pattern: str) -> Callable[[Path], None]:
    def do(data: Path) -> None:
        for file in data.glob(pattern):
            file.unlink()

    return do


REFUSED: dict[str, Callable[[Path], None]] = {
    "flipped bytes in the log": lambda data: flip(largest(data, "*.log")),
    "flipped bytes in the manifest": lambda data: flip(largest(data, "MANIFEST-*")),
    "no log": lose("*.log"),
    "no table": lose("*.sst"),
    "no manifest": lose("MANIFEST-*"),
    "no CURRENT": lose("CURRENT"),
    "no CURRENT, and all in the log": lambda data: (lose("CURRENT")(data), lose("*.sst")(data))[0],
    "an empty CURRENT": lambda data: (data / "CURRENT").write_bytes(b""),
    "a table that was cut off": lambda data: os.truncate(largest(data, "*.sst"), 1000),
}


def check(server: ServerProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "lineshaft", "check", "-d", str(server.data), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


#: Those that the everyday suite tries; the others take as long and show the same.
EVERYDAY = {"flipped bytes in the log", "no log"}
SLOW = {name: () if name in EVERYDAY else pytest.mark.slow for name in REFUSED}


@pytest.mark.parametrize(
    "damage", [pytest.param(damage, id=name, marks=SLOW[name]) for name, damage in REFUSED.items()]
)
def test_a_start_that_would_lose_jobs_is_refused(server: ServerProcess, damage: Callable[[Path], None]) -> None:
    damage(server.data)
    before = {file.name for file in server.data.glob("*.sst")}
    with pytest.raises(AssertionError, match="did not start"):
        server.start()
    said = server.log.read_text()
    assert "Traceback" not in said, said
    assert "is damaged" in said, said
    assert "lineshaft check" in said, said
    assert {file.name for file in server.data.glob("*.sst")} == before, "nothing was deleted"
    told = check(server)
    assert told.returncode == 1, told
    assert "What to do:" in told.stdout, told.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["OPTIONS-*", "IDENTITY", "LOCK", "LOG", "rocksdict-config.json"])
def test_what_can_be_done_without_costs_nothing(server: ServerProcess, name: str) -> None:
    lose(name)(server.data)
    with server, WireClient(server.port) as client:
        assert client.info()["faktory"]["queues"] == {"default": JOBS}
        fetched = {job["jid"] for _ in range(JOBS) if (job := client.fetch()) is not None}
        assert len(fetched) == JOBS
    assert server.process is not None
    assert "Traceback" not in server.log.read_text()


def test_the_log_is_lost_and_the_documented_way_out_is_taken(server: ServerProcess, tmp_path: Path) -> None:
    lose("*.log")(server.data)
    target = tmp_path / "saved"
    told = check(server, "--salvage", str(target))
    assert told.returncode == 0, told
    server.data = target
    with server, WireClient(server.port) as client:
        assert client.info()["faktory"]["queues"] == {"default": JOBS // 2}, "what was in tables"


def test_flipped_bytes_in_a_table_are_told_of_when_they_are_met(server: ServerProcess) -> None:
    flip(largest(server.data, "*.sst"))
    told = check(server)
    assert told.returncode == 1, told
    assert "unreadable rows" in told.stdout, told.stdout
    with server:
        fetched, refusal = set[str](), ""
        with WireClient(server.port) as client:
            try:
                while (job := client.fetch()) is not None:
                    fetched.add(job["jid"])
            except (WireError, EOFError) as error:
                refusal = str(error)
        assert "storage failed" in refusal, (len(fetched), refusal)
        assert "is damaged" in server.log.read_text()
        assert "lineshaft check" in server.log.read_text()
        # Everybody else goes on.
        with WireClient(server.port) as client:
            assert client.push("after-0001", queue="others") == "OK"
            job = client.fetch("others")
            assert job is not None
            assert job["jid"] == "after-0001"
    assert len(fetched) < JOBS


@pytest.mark.slow
def test_bytes_are_flipped_under_a_running_server(server: ServerProcess) -> None:
    """What it has in memory it serves; what it has to read it does not make up."""
    with server, WireClient(server.port) as client:
        # The tables of the jobs: a small one is mostly what a store needs to be opened at all.
        for file in server.data.glob("*.sst"):
            if file.stat().st_size > 100_000:
                for at in (0.2, 0.4, 0.6):
                    flip(file, at)
        fetched, refusal = set[str](), ""
        try:
            while (job := client.fetch()) is not None:
                fetched.add(job["jid"])
                assert job["jobtype"] == "T"
                assert len(job["args"][0]) == 256
        except (WireError, EOFError) as error:
            refusal = str(error)
        assert len(fetched) == JOBS or "storage failed" in refusal, (len(fetched), refusal)
        with WireClient(server.port) as other:
            assert other.push("after-0001", queue="others") == "OK"
