"""Who is measured: how each server is started, and how one sees that it is there."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from talk import ServerFailed, answers, ask, says, trusting

__all__ = ["PASSWORD", "Beanstalkd", "Contestant", "Lineshaft", "Redis", "Reference"]

BENCH = Path(__file__).resolve().parent

#: What sync = "interval" waits, as long as beanstalkd does between two syncs of its own.
INTERVAL_MS = 50
#: Of the row with a password.
PASSWORD = "bench"


class Contestant(Protocol):
    """What the harness must know of a server."""

    @property
    def name(self) -> str:
        """What the report calls it."""

    @property
    def protocol(self) -> str:
        """What it speaks: `faktory`, `beanstalkd` or `redis`."""

    def command(self, port: int, directory: Path, sync: str) -> list[str]:
        """The command line that serves `port` with all its files under `directory`."""

    def begin_batch(self, port: int) -> str:
        """Begin a batch on the server that runs on `port`; returns its id."""

    def answers(self, port: int) -> bool:
        """Whether it speaks on `port`."""


@dataclass(frozen=True)
class Reference:
    """The speed reference: `speed_reference.py`, which has a commit pipeline and nothing else."""

    name: str = "reference"
    protocol: str = "faktory"

    def command(self, port: int, directory: Path, sync: str) -> list[str]:
        """It takes its three settings as arguments."""
        return [sys.executable, str(BENCH / "speed_reference.py"), str(port), str(directory / "data"), sync]

    def begin_batch(self, port: int) -> str:  # noqa: ARG002
        """It has no batches, and does not look at the id."""
        return "b-none"

    def answers(self, port: int) -> bool:
        """HI, and OK to HELLO."""
        return answers(port)


@dataclass(frozen=True)
class Lineshaft:
    """This project's server, as it is installed beside the running Python."""

    jid_index: bool = True
    #: Instead of the one that the run asks for.
    sync: str | None = None
    #: `tls`, `password` or nothing.
    secured: str = ""
    protocol: str = "faktory"

    @property
    def name(self) -> str:
        """Named for the one setting that varies."""
        changed = ["no index"] * (not self.jid_index) + ([f"sync {self.sync}"] if self.sync else [])
        return ", ".join(["lineshaft", *changed, *([self.secured] if self.secured else [])])

    def command(self, port: int, directory: Path, sync: str) -> list[str]:
        """It is configured as a user would: files in its configuration directory, and flags."""
        settings = directory / "config" / "conf.d" / "bench.toml"
        settings.parent.mkdir(parents=True, exist_ok=True)
        text = f'[storage]\nsync = "{self.sync or sync}"\njid_index = {str(self.jid_index).lower()}\n'
        if self.sync == "interval":
            text += f"interval_ms = {INTERVAL_MS}\n"
        if self.secured == "password":
            text += f'[faktory]\npassword = "{PASSWORD}"\n'
        settings.write_text(text)
        if self.secured == "tls":
            _write_certificate(directory / "config")
        program = str(Path(sys.executable).with_name("lineshaft"))
        flags = f"serve -b 127.0.0.1:{port} -w :0 -e development -l warn"
        return [program, *flags.split(), "-d", str(directory / "data"), "-c", str(directory / "config")]

    def begin_batch(self, port: int) -> str:
        """It is never committed, so its callback, which it must have, never runs."""
        return ask(port, b'BATCH NEW {"success":{"jobtype":"Done","args":[]}}').decode()

    def answers(self, port: int) -> bool:
        """HI, and OK to HELLO; where a client must be known first, HI alone."""
        if self.secured == "tls":
            return says(port, b"+HI ", context=trusting())
        return says(port, b"+HI ") if self.secured else answers(port)


@dataclass(frozen=True)
class Beanstalkd:
    """beanstalkd with its log (`-b`), which it syncs every 50 ms, or with sync = always before each answer (`-f 0`)."""

    name: str = "beanstalkd"
    protocol: str = "beanstalkd"

    def command(self, port: int, directory: Path, sync: str) -> list[str]:
        """Its defaults, but for jobs above 64 KiB, which it has to be told to take."""
        log = directory / "log"
        log.mkdir()
        durable = ["-f", "0"] if sync == "always" else []
        return ["beanstalkd", "-l", "127.0.0.1", "-p", str(port), "-z", str(1 << 20), "-b", str(log), *durable]

    def begin_batch(self, port: int) -> str:
        """It has no batches."""
        raise NotImplementedError(port)

    def answers(self, port: int) -> bool:
        """It speaks when it is spoken to."""
        return says(port, b"USING default", after=b"list-tube-used\r\n")


@dataclass(frozen=True)
class Redis:
    """What the job libraries lie on; how much of it reaches the disk is `appendfsync`'s word, or `off` for nothing."""

    appendfsync: str
    protocol: str = "redis"

    @property
    def name(self) -> str:
        """Named for the one setting that varies."""
        return f"Redis, {self.appendfsync}"

    def command(self, port: int, directory: Path, sync: str) -> list[str]:  # noqa: ARG002
        """Without snapshots, since they would come at any moment; it throws nothing away when memory is short."""
        log = ["no"] if self.appendfsync == "off" else ["yes", "--appendfsync", self.appendfsync]
        place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(directory)]
        return ["redis-server", *place, "--save", "", "--maxmemory-policy", "noeviction", "--appendonly", *log]

    def begin_batch(self, port: int) -> str:
        """It has no batches."""
        raise NotImplementedError(port)

    def answers(self, port: int) -> bool:
        """PONG to PING."""
        return says(port, b"+PONG", after=b"PING\r\n")


def _write_certificate(directory: Path) -> None:
    """A key and its certificate, where the server looks for them. Raises ServerFailed."""
    files = ["-keyout", str(directory / "private.key.pem"), "-out", str(directory / "public.cert.pem")]
    command = [
        "openssl",
        *["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"],
        *files,
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServerFailed(f"no certificate for the row with TLS: {error} (apt install openssl)") from error
