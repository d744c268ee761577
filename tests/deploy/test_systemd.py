"""The units of systemd: verified by systemd itself, and (slow) the server kept to what they allow."""

import ctypes
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from deploy.test_docker import need
from docs.pages import ROOT
from processes import ServerProcess
from wire_client import WireClient

FOLDER = ROOT / "packaging" / "systemd"
UNIT = (FOLDER / "lineshaft.service").read_text()


def test_systemd_takes_them(tmp_path: Path) -> None:
    tool = need("systemd-analyze")
    for file in FOLDER.iterdir():
        # The program that it is to start is not installed here; one that is stands in for it.
        text = file.read_text().replace("/usr/local/bin/lineshaft", "/bin/true")
        (tmp_path / file.name).write_text(text)
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    assert len(units) == 3
    done = subprocess.run([tool, "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    broken = tmp_path / "broken.service"
    broken.write_text((tmp_path / "lineshaft.service").read_text().replace("WatchdogSec=60s", "WatchdogSec=soon"))
    done = subprocess.run([tool, "verify", str(broken)], capture_output=True, text=True, check=False)
    assert "Failed to parse sec value" in done.stderr, "it would not notice"


def test_it_is_hardened(tmp_path: Path) -> None:
    tool = need("systemd-analyze")
    command = [tool, "security", "--offline=true", "--threshold=20", str(FOLDER / "lineshaft.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    if "Unknown option" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot look at a unit that is not loaded")
    assert done.returncode == 0, done.stdout[-500:]


def test_the_unit_knows_the_server() -> None:
    assert "Type=notify" in UNIT
    stop = re.search(r"^TimeoutStopSec=(\d+)s$", UNIT, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) > 30
    assert "RestartPreventExitStatus=2" in UNIT
    assert "StateDirectory=lineshaft" in UNIT, "it is where a server in production has its data"


def exercise(server: ServerProcess, copies: Path) -> None:
    """A bit of everything that a server does."""
    with WireClient(server.port) as client:
        jobs = [{"jid": f"job-{number:05d}", "jobtype": "T", "args": ["x" * 500]} for number in range(2000)]
        assert client.command(b"PUSHB " + json.dumps(jobs).encode()) == b"{}"
        for _ in range(100):
            job = client.fetch()
            assert job is not None
            client.ack(job["jid"])
        client.command(b"BACKUP " + json.dumps({"dir": str(copies / "copy")}).encode())
    assert server.process is not None
    before = server.log.read_text()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "was reloaded" in server.log.read_text()[len(before) :], "the reload")


def allowed_calls(tool: str) -> set[str]:
    """The system calls that the unit's filter lets through."""

    def expand(name: str) -> set[str]:
        done = subprocess.run([tool, "syscall-filter", name], capture_output=True, text=True, check=True)
        calls: set[str] = set()
        for line in map(str.strip, done.stdout.splitlines()[1:]):
            if line and not line.startswith("#"):
                calls |= expand(line) if line.startswith("@") else {line}
        return calls

    calls: set[str] = set()
    for words in re.findall(r"^SystemCallFilter=(.*)$", UNIT, re.MULTILINE):
        sets = [expand(word) if word.startswith("@") else {word} for word in words.lstrip("~").split()]
        calls = calls - set().union(*sets) if words.startswith("~") else calls | set().union(*sets)
    return calls


@pytest.mark.slow
def test_the_server_makes_no_other_system_calls(tmp_path: Path) -> None:
    strace, allowed = need("strace"), allowed_calls(need("systemd-analyze"))
    trace = tmp_path / "trace"
    server = ServerProcess(tmp_path, web=True)
    with server:
        assert server.process is not None
        watching = subprocess.Popen([strace, "-f", "-qq", "-o", str(trace), "-p", str(server.process.pid)])
        wait_until(trace.exists, "strace")
        exercise(server, tmp_path)
        assert server.stop() == 0
        watching.wait(20)
    used = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"fsync", "fdatasync"} & used
    assert used - allowed == set()


#: As the kernel numbers it (since 6.3), and as MemoryDenyWriteExecute= asks for it.
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1


@pytest.mark.slow
def test_the_server_needs_no_memory_that_is_writable_and_executable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libc = ctypes.CDLL(None)
    probe = subprocess.run(
        ["/bin/true"],
        check=False,
        preexec_fn=lambda: os._exit(libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0),
    )
    if probe.returncode != 0:
        pytest.skip("this kernel does not know it")
    popen: Callable[..., subprocess.Popen[bytes]] = subprocess.Popen

    def kept(*arguments: object, **named: object) -> "subprocess.Popen[bytes]":
        named["preexec_fn"] = lambda: libc.prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
        return popen(*arguments, **named)

    monkeypatch.setattr("processes.subprocess.Popen", kept)
    with ServerProcess(tmp_path, web=True) as server:
        exercise(server, tmp_path)
        assert server.stop() == 0
