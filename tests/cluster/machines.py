"""Machines of their own for a cluster: a network namespace each, joined by a bridge, whose ways can be cut.

```
 clients (here) ── bridge ─┬─ veth ─ [ a: nats-1, node a ]
                           ├─ veth ─ [ b: nats-2, node b ]
                           └─ veth ─ [ c: nats-3, node c ]
```

`cut` closes the ways between one machine and the other two, in both directions, and leaves those to the clients.
Needs root and iproute2.
"""

import os
import shutil
import subprocess
from pathlib import Path

from cluster.real import NatsServer, NodeProcess, RealCluster

__all__ = ["Machines", "can_have_machines"]


def can_have_machines() -> bool:
    """Whether this process may make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"ls{os.getpid()}x"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return made


class OwnNats(NatsServer):
    """A server of NATS in a namespace."""

    space = ""

    def command(self) -> list[str]:
        return ["ip", "netns", "exec", self.space, *super().command()]


class OwnNode(NodeProcess):
    """A node in a namespace."""

    space = ""

    def command(self) -> list[str]:
        return ["ip", "netns", "exec", self.space, *super().command()]


class Machines(RealCluster):
    """Three machines with a server of NATS and a node each."""

    def __init__(self, root: Path, *, rules: str = "") -> None:
        self.bridge = f"lsb{os.getpid()}"
        # Nobody else's addresses: out of those for benchmarks, by our own number.
        self.net = f"198.18.{os.getpid() % 250}"
        self.spaces = {name: f"ls{os.getpid()}{name}" for name in "abc"}
        self.hosts = {name: f"{self.net}.{number}" for number, name in enumerate("abc", 2)}
        self.make_network()
        super().__init__(root, rules=rules)

    def make_nats(self, root: Path, replicas: int) -> list[NatsServer]:
        servers: list[NatsServer] = []
        for number, (name, host) in enumerate(self.hosts.items(), 1):
            server = OwnNats(f"nats-{number}", root, host)
            server.space = self.spaces[name]
            servers.append(server)
        return servers[:replicas]

    def node(self, name: str) -> NodeProcess:
        servers = [server.url for server in self.nats]
        node = OwnNode(name, self.root, servers, extra=self.extra, host=self.hosts[name])
        node.space = self.spaces[name]
        return node

    def make_network(self) -> None:
        run(f"ip link add {self.bridge} type bridge")
        run(f"ip addr add {self.net}.1/24 dev {self.bridge}")
        run(f"ip link set {self.bridge} up")
        for name, space in self.spaces.items():
            outer, inner = f"{space}o", f"{space}i"
            run(f"ip netns add {space}")
            run(f"ip link add {outer} type veth peer name {inner}")
            run(f"ip link set {outer} master {self.bridge} up")
            run(f"ip link set {inner} netns {space}")
            run(f"ip netns exec {space} ip addr add {self.hosts[name]}/24 dev {inner}")
            run(f"ip netns exec {space} ip link set {inner} up")
            run(f"ip netns exec {space} ip link set lo up")

    def cut(self, name: str) -> None:
        """Let nothing pass between this machine and the others."""
        for other in self.hosts.keys() - {name}:
            run(f"ip netns exec {self.spaces[name]} ip route add blackhole {self.hosts[other]}/32")
            run(f"ip netns exec {self.spaces[other]} ip route add blackhole {self.hosts[name]}/32")

    def mend(self, name: str) -> None:
        """Let everything pass again."""
        for other in self.hosts.keys() - {name}:
            run(f"ip netns exec {self.spaces[name]} ip route del blackhole {self.hosts[other]}/32")
            run(f"ip netns exec {self.spaces[other]} ip route del blackhole {self.hosts[name]}/32")

    def close(self) -> None:
        super().close()
        for space in self.spaces.values():
            subprocess.run(["ip", "netns", "del", space], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True, check=False)


def run(command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True)
