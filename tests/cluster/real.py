"""A cluster of real processes: nats-servers and nodes on loopback, each with its files below one directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from processes import free_port
from wire_client import WireClient, WireError

#: A machine that is busy with other things starts Python slowly.
START_SECONDS = 120.0

ROOT = Path(__file__).parents[2]


def nats_program() -> str | None:
    """Where nats-server is: what LINESHAFT_NATS_SERVER names, else Debian's, who puts it where only root looks."""
    named = os.environ.get("LINESHAFT_NATS_SERVER")
    if named:
        return _existing("LINESHAFT_NATS_SERVER", named)
    return shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


def newer_nats() -> str | None:
    """A nats-server of 2.10 or later, which knows `sync_interval: always`: what `make nats` has built, if it has."""
    named = os.environ.get("LINESHAFT_NEWER_NATS")
    if named:
        return _existing("LINESHAFT_NEWER_NATS", named)
    built = ROOT / "build" / "nats" / "nats-server"
    return str(built) if built.exists() else None


def _existing(variable: str, named: str) -> str:
    """What a variable names; who names a program means it, so that nothing is skipped for want of it."""
    if shutil.which(named) is None:
        raise FileNotFoundError(f"{variable} names {named}, which is no program")
    return str(Path(named).resolve())


class Process:
    """One process that can be killed, paused, and started again."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with self.log.open("ab") as log:
            environment = {**os.environ, **self.environment}
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=environment)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.is_running:
            assert self.process is not None
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        self.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        self.signal(signal.SIGTERM)
        return self.process.wait(60)


class NatsServer(Process):
    """One server of the log."""

    def __init__(self, name: str, root: Path, host: str = "127.0.0.1") -> None:
        super().__init__(name, root / f"{name}.log")
        self.root = root
        self.host = host
        self.port, self.route = free_port(), free_port()
        self.program = nats_program()
        #: Where it keeps the log, and what else stands in its configuration.
        self.store = root / name
        self.jetstream = ""
        self.rules = ""

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    def configure(self, mates: list["NatsServer"]) -> None:
        routes = ", ".join(f'"nats-route://{mate.host}:{mate.route}"' for mate in mates)
        (self.root / f"{self.name}.conf").write_text(
            f'server_name: {self.name}\nlisten: "{self.host}:{self.port}"\n'
            f'jetstream {{\nstore_dir: "{self.store}"\n{self.jetstream}\n}}\n{self.rules}\n'
            + (f'cluster {{ name: log, listen: "{self.host}:{self.route}", routes: [{routes}] }}\n' if mates else "")
        )

    def command(self) -> list[str]:
        assert self.program is not None
        return [self.program, "-c", str(self.root / f"{self.name}.conf")]


class NodeProcess(Process):
    """One node: `lineshaft serve --cluster`."""

    def __init__(self, name: str, root: Path, servers: list[str], *, extra: str = "", host: str = "127.0.0.1") -> None:
        super().__init__(name, root / f"{name}.log")
        self.root = root
        self.host = host
        self.port, self.web = free_port(), free_port()
        self.data = root / f"{name}.data"
        #: What runs as `lineshaft`.
        self.program = [sys.executable, "-m", "lineshaft"]
        self.config = root / f"{name}.config"
        (self.config / "conf.d").mkdir(parents=True)
        urls = ", ".join(f'"{server}"' for server in servers)
        (self.config / "conf.d" / "cluster.toml").write_text(
            f'[cluster]\nname = "test"\nnode = "{name}"\nservers = [{urls}]\n{extra}'
        )

    def command(self) -> list[str]:
        command = [*self.program, "serve", "--cluster", "-b", f"{self.host}:{self.port}"]
        command += ["-w", f"{self.host}:{self.web}", "-d", str(self.data)]
        return [*command, "-c", str(self.config), "-e", "development", "-l", "info"]

    def ask(self, path: str) -> tuple[int, Any]:
        """GET a path of its HTTP port: status and JSON; 0 when there is no answer."""
        try:
            with urllib.request.urlopen(f"http://{self.host}:{self.web}{path}", timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")
        except (OSError, ValueError):
            return 0, None

    def leads(self) -> bool:
        return self.ask("/health/leader")[0] == 200

    def is_ready(self) -> bool:
        return self.ask("/health/ready")[0] == 200

    def say(self, line: str, timeout: float = 30.0) -> Any:
        """One command on a connection of its own. Raises WireError, OSError, EOFError."""
        with closing(WireClient(self.port, timeout=timeout, host=self.host)) as client:
            return client.command(line.encode())

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.say("CLUSTER STATUS"))
        return found

    def push(self, jid: str, queue: str) -> Any:
        return self.say("PUSH " + json.dumps({"jid": jid, "jobtype": "T", "args": [], "queue": queue}))

    def fetch(self, queue: str) -> str | None:
        """The jid of the next job."""
        payload = self.say(f"FETCH {queue}")
        return None if payload is None else json.loads(payload)["jid"]


class RealCluster:
    """Three nats-servers and three nodes."""

    def __init__(
        self,
        root: Path,
        names: str = "abc",
        *,
        rules: str = "",
        replicas: int = 3,
        program: str | None = None,
        jetstream: str = "",
    ) -> None:
        """`rules` go into the nodes' configuration, `jetstream` into that block of the servers', run by `program`."""
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.nats = self.make_nats(root, replicas)
        for server in self.nats:
            server.program, server.jetstream = program or server.program, jetstream
            server.configure([mate for mate in self.nats if mate is not server])
        self.extra = f"replicas = {replicas}\n{rules}"
        self.nodes = {name: self.node(name) for name in names}

    def make_nats(self, root: Path, replicas: int) -> list[NatsServer]:
        return [NatsServer(f"nats-{number}", root) for number in range(1, replicas + 1)]

    def node(self, name: str) -> NodeProcess:
        return NodeProcess(name, self.root, [server.url for server in self.nats], extra=self.extra)

    def start(self) -> None:
        for process in (*self.nats, *self.nodes.values()):
            process.start()
        if self.nodes:
            self.leader()
            wait_for(self.is_whole, "all nodes are there")

    def start_nodes(self) -> None:
        """Start those nodes that do not run, and wait until all are there."""
        for node in self.nodes.values():
            if not node.is_running:
                node.start()
        wait_for(self.is_whole, "all nodes are there")

    def leader(self, within: float = START_SECONDS) -> NodeProcess:
        """Who leads, once somebody does."""
        end = time.monotonic() + within
        while time.monotonic() < end:
            found = self.take_leader()
            if found is not None:
                return found
            time.sleep(0.02)
        raise AssertionError("nobody leads:\n" + self.logs())

    def take_leader(self) -> NodeProcess | None:
        """Who leads at this moment."""
        return next((node for node in self.nodes.values() if node.is_running and node.leads()), None)

    def is_whole(self) -> bool:
        """Whether one node leads, and all others follow it, as it sees them and as they do."""
        try:
            seen = self.leader().status()["nodes"]
        except (OSError, EOFError, WireError):
            return False
        roles = [one["role"] for one in seen if one["node"] in self.nodes]
        is_seen = sorted(roles) == ["leader"] + ["standby"] * (len(self.nodes) - 1)
        return is_seen and all(node.is_ready() for node in self.nodes.values())

    def standbys(self) -> list[NodeProcess]:
        return [node for node in self.nodes.values() if node.is_running and not node.leads()]

    def logs(self) -> str:
        return "\n".join(f"--- {node.name}\n{node.log.read_text()[-3000:]}" for node in self.nodes.values())

    def close(self) -> None:
        for process in (*self.nodes.values(), *self.nats):
            process.kill()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wait_for(condition: Any, what: str, within: float = START_SECONDS) -> None:
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.05)


__all__ = [
    "NatsServer",
    "NodeProcess",
    "Process",
    "RealCluster",
    "WireClient",
    "WireError",
    "nats_program",
    "newer_nats",
    "wait_for",
]
