"""What a supervisor is told: by a real server, over a real socket, as systemd listens."""

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lineshaft.supervisor import Supervisor
from processes import ServerProcess


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(str(tmp_path / "notify"))
        bound.settimeout(60)
        yield bound


def wait_for(listening: socket.socket, is_it: Callable[[str], bool]) -> list[str]:
    """What is said until something fits, that included."""
    said: list[str] = []
    while not said or not is_it(said[-1]):
        said.append(listening.recv(4096).decode())
    return said


def test_a_server_from_its_start_to_its_end(tmp_path: Path, listening: socket.socket) -> None:
    told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "500000"}
    server = ServerProcess(tmp_path, environment=told)
    began = time.monotonic()
    with server:
        assert server.process is not None
        assert wait_for(listening, "READY=1".__eq__) == ["READY=1"], "it is ready before it is alive"
        for _ in range(5):
            assert listening.recv(4096) == b"WATCHDOG=1"
        # However late they are read here: so many are not sent in less.
        assert time.monotonic() - began > 0.9, "twice in the time that is allowed, and no more often"
        server.process.send_signal(signal.SIGHUP)
        said = wait_for(listening, lambda text: text.startswith("RELOADING=1\nMONOTONIC_USEC="))
        said = wait_for(listening, "READY=1".__eq__)
        assert set(said[:-1]) <= {"WATCHDOG=1"}
        # A configuration that cannot be is no reason to be thought of as reloading for ever.
        (server.config / "conf.d" / "test.toml").write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        wait_for(listening, lambda text: text.startswith("RELOADING=1"))
        wait_for(listening, "READY=1".__eq__)
        assert server.stop() == 0
    wait_for(listening, "STOPPING=1".__eq__)


def test_the_abstract_name_space(tmp_path: Path) -> None:
    name = f"lineshaft-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bound:
        bound.bind(f"\0{name}")
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert bound.recv(4096) == b"READY=1"


@pytest.mark.parametrize(
    ("variables", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2000000"}, 1.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_for_the_process_that_is_meant(variables: dict[str, str], seconds: float | None) -> None:
    assert Supervisor({"NOTIFY_SOCKET": "/x", **variables}).every_seconds == seconds


def test_nobody_who_listens_is_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nobody = Supervisor({"WATCHDOG_USEC": "1000000"})
    nobody.ready()
    assert nobody.every_seconds is None
    gone = Supervisor({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    for _ in range(3):
        gone.alive()
    assert len(caplog.records) == 1
    assert "cannot be told anything" in caplog.text
