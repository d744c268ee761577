"""Servers of the bench: started and ended for real."""

import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from contestants import Reference
from servers import Server, memory_mb
from talk import ServerFailed

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bench reads /proc")


@dataclass(frozen=True)
class Script:
    """A server of a few lines of Python, which gets its port as argument."""

    source: str
    name: str = "script"
    protocol: str = "faktory"

    def command(self, port: int, directory: Path, sync: str) -> list[str]:
        return [sys.executable, "-c", self.source, str(port), str(directory), sync]

    def begin_batch(self, port: int) -> str:
        raise NotImplementedError(port)

    def answers(self, port: int) -> bool:
        return Reference().answers(port)


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_reference_answers_and_is_gone_after_the_block(tmp_path: Path) -> None:
    with Server(Reference(), tmp_path, sync="never") as server:
        pid, port = server.pid, server.port
        assert 5 < memory_mb(pid)["rss"] < 200
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    assert not is_alive(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_a_server_that_ends_at_its_start_shows_its_log(tmp_path: Path) -> None:
    doomed = Script("import sys; sys.exit('no such data directory')")
    with (
        pytest.raises(ServerFailed, match=r"script ended with code 1(.|\n)*no such data directory"),
        Server(doomed, tmp_path, sync="never"),
    ):
        pytest.fail("it cannot have started")


SPAWNS_A_CHILD = """
import pathlib, socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[2], "child").write_text(str(child.pid))
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    while True:
        stream = listener.accept()[0].makefile("rwb", buffering=0)
        stream.write(b'+HI {"v":2}\\r\\n'), stream.readline(), stream.write(b"+OK\\r\\n")
"""


def test_what_a_server_started_ends_with_it_also_after_an_error(tmp_path: Path) -> None:
    def work() -> None:
        with Server(Script(SPAWNS_A_CHILD), tmp_path, sync="never"):
            assert is_alive(child())
            raise TimeoutError

    def child() -> int:
        return int((tmp_path / "child").read_text())

    with pytest.raises(TimeoutError):
        work()
    # Killed it is; that it has ended the kernel may tell a moment later.
    end = time.monotonic() + 60
    while is_alive(child()):
        assert time.monotonic() < end, "it has outlived its server"
        time.sleep(0.01)
