"""Connections whose other end has vanished without a word, as when a machine loses its power or its network.

The clients run in a network of their own, which then loses its address: whatever is sent there is dropped, and nothing
comes from it. Without keepalive an idle connection would stay for ever. It takes root.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lineshaft.server.listener import KEEPALIVE_EVERY_SECONDS, KEEPALIVE_IDLE_SECONDS, KEEPALIVE_TRIES
from processes import ServerProcess
from wire_client import WireClient

CLIENTS = """
import socket, sys, time
wires = []
for number in range(20):
    wire = socket.create_connection((sys.argv[1], int(sys.argv[2])))
    wire.recv(100)
    wire.sendall(b'HELLO {"v":2}\\r\\n')
    assert wire.recv(100) == b"+OK\\r\\n"
    wires.append(wire)
print("ready", flush=True)
time.sleep(600)
"""


class Cable:
    """A network of its own, and the cable to it."""

    def __init__(self) -> None:
        number = os.getpid() % 60_000
        self.name, self.end = f"lineshaft-{number}", f"lsh{number}"
        self.address = f"10.{200 + number % 50}.{number // 250}.1"
        there = self.address.removesuffix("1") + "2"
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self.end, "type", "veth", "peer", "name", "far", "netns", self.name)
        self._ip("addr", "add", f"{self.address}/24", "dev", self.end)
        self._ip("link", "set", self.end, "up")
        self._ip("-n", self.name, "addr", "add", f"{there}/24", "dev", "far")
        self._ip("-n", self.name, "link", "set", "far", "up")

    def _ip(self, *arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def run(self, program: str, *arguments: str) -> "subprocess.Popen[bytes]":
        """A Python program on the far side."""
        command = ["ip", "netns", "exec", self.name, sys.executable, "-c", program, *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def pull(self) -> None:
        """Nothing goes through any more, and nobody is told; a link that is down would be an error of ours."""
        self._ip("-n", self.name, "addr", "flush", "dev", "far")

    def close(self) -> None:
        """Take it all away."""
        subprocess.run(["ip", "link", "del", self.end], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


@pytest.fixture
def cable() -> Iterator[Cable]:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root can make a network, with iproute2")
    try:
        cable = Cable()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network can be made here: {error.stderr}")
    yield cable
    cable.close()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_idle_connections_of_a_network_that_is_gone_are_closed(cable: Cable, tmp_path: Path) -> None:
    with ServerProcess(tmp_path, host="") as server:
        clients = cable.run(CLIENTS, cable.address, str(server.port))
        try:
            assert clients.stdout is not None
            assert clients.stdout.readline() == b"ready\n"
            # What is on its way is sent again and again, for a quarter of an hour, and no keepalive meanwhile.
            time.sleep(1)
            cable.pull()
            began = time.monotonic()
            with WireClient(server.port) as asker:
                assert asker.info()["server"]["connections"] == 21
                limit = KEEPALIVE_IDLE_SECONDS + KEEPALIVE_EVERY_SECONDS * (KEEPALIVE_TRIES + 1)
                while asker.info()["server"]["connections"] > 1:
                    assert time.monotonic() - began < limit + 20
                    time.sleep(1)
            assert time.monotonic() - began > KEEPALIVE_IDLE_SECONDS, "it was keepalive that noticed"
        finally:
            clients.kill()
            clients.communicate()
