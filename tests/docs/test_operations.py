"""docs/operations.md: the server really gives every message that it quotes, and exits with the codes that it lists."""

import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from docs.pages import inline, read, section, table
from harness import Harness
from lineshaft.engine.keys import FORMAT_KEY
from lineshaft.engine.settings import Periodic, QueueLimits, Settings
from lineshaft.schedule import Schedule
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess

PAGE = read("docs/operations.md")
PUSH = 'PUSH {"jid":"job-00001","jobtype":"T","args":[],"retry":1}'


def quoted(text: str) -> list[str]:
    """The messages that a part of the page quotes, but not the commands, keys and names in it."""
    return [code for code in inline(text) if re.match(r"-ERR .|[a-z]+,? [a-z]", code) and "lineshaft" not in code[:9]]


def is_seen(message: str, seen: list[str]) -> bool:
    """Whether one of the lines has the message in it; three dots stand for anything."""
    pattern = ".*".join(re.escape(part) for part in message.split("..."))
    return any(re.search(pattern, line) for line in seen)


def log_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{record.levelname} {record.getMessage()}" for record in caplog.records]


def fail_storage() -> list[str]:
    """What clients are told while the store fails, is away, and is back."""
    box = Harness()
    peer = box.connect()
    box.store.fail_commit(box.store.commits + 1, applied=False)
    box.reopen_failures = 1
    said = [peer.ask(PUSH).decode(), peer.ask("INFO").decode()]
    box.advance(1.1)
    assert peer.ask(PUSH) == b"+OK\r\n"
    return said


def break_chance() -> list[str]:
    """What a client is told after an error of ours; a failure needs chance, which is handed in and can be broken."""
    box = Harness(rules=Settings())
    peer = box.connect()

    def broken() -> float:
        raise ZeroDivisionError

    peer.ask(PUSH)
    peer.ask("FETCH default")
    box.server.engine.state.chance = broken
    said = [peer.ask('FAIL {"jid":"job-00001"}').decode()]
    assert peer.ask_json("INFO")["faktory"]["sets"]["working"] == 1
    # The reservation ends, which is a failure too, in the timer.
    for _ in range(1801):
        box.advance(1)
    return said


def refuse_a_run() -> None:
    """A periodic job comes due, and its queue is full."""
    job = Periodic("report", Schedule("@hourly"), "T", "default", b'{"jobtype":"T","args":[]}')
    box = Harness(rules=Settings(periodic=(job,), every_queue=QueueLimits(max_jobs=1)))
    assert box.connect().ask(PUSH) == b"+OK\r\n"
    box.advance(3600)


def test_the_log_lines_and_the_errors(caplog: pytest.LogCaptureFixture) -> None:
    said = fail_storage() + break_chance()
    refuse_a_run()
    shutting = Harness()
    peer = shutting.connect()
    shutting.server.stop()
    said.append(peer.ask("INFO").decode())
    seen = log_lines(caplog)
    rows = table(section(PAGE, "Log lines"), head="Level")
    for level, lines, _ in rows:
        for line in quoted(lines):
            if "configuration" not in line and "restart" not in line:
                assert is_seen(f"{level} {line}", seen), line
    errors = [code for code in inline(PAGE) if code.startswith("-ERR") and "storage is low" not in code]
    assert len(set(errors)) == 4
    for error in errors:
        assert is_seen(error, said), error


def serve(tmp_path: Path, *words: str, port: int = 0) -> "subprocess.CompletedProcess[str]":
    """A start that must fail."""
    config = tmp_path / "config"
    config.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "lineshaft", "serve", "-b", f"127.0.0.1:{port}", "-w", ":0", "-c", str(config)]
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True)
class Start:
    """A start that failed: its exit code and its one line."""

    code: int
    line: str


@pytest.fixture
def failed_starts(tmp_path: Path) -> list[Start]:
    """Every way not to start that the page tells of."""
    other, damaged = tmp_path / "other", tmp_path / "damaged"
    for path in (other, damaged):
        store = RocksStore(path)
        store.commit({FORMAT_KEY: b"999"})
        store.close()
    (manifest,) = damaged.glob("MANIFEST-*")
    manifest.write_bytes(manifest.read_bytes()[:-5] + b"12345")
    (tmp_path / "a file").write_text("")
    with ServerProcess(tmp_path / "running") as running, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tries = [
            serve(tmp_path, "-d", str(running.data)),
            serve(tmp_path, "-d", str(tmp_path / "new"), port=taken.getsockname()[1]),
            serve(tmp_path, "-d", str(damaged)),
            serve(tmp_path, "-d", str(other)),
            serve(tmp_path, "-d", "/proc/lineshaft"),
            serve(tmp_path, "-d", str(tmp_path / "a file")),
            serve(tmp_path, "-d", str(tmp_path)),
            serve(tmp_path, "-d", str(tmp_path / "new"), "-e", "production"),
            serve(tmp_path, "--no-such-flag"),
        ]
    for done in tries:
        assert len(done.stderr.splitlines()) == 1, done.stderr
    return [Start(done.returncode, done.stderr) for done in tries]


def test_why_it_does_not_start(failed_starts: list[Start]) -> None:
    lines = [start.line for start in failed_starts]
    messages = [quoted(cells[0]) for cells in table(section(PAGE, "The server does not start"), head="It says")]
    assert len(messages) == 5
    assert all(messages)
    for message in [message for row in messages for message in row] + ["cannot open the store in ..."]:
        assert is_seen(message, lines), message
    assert "`cannot open the store in ...`" in PAGE
    assert [start.code for start in failed_starts] == [1, 1, 1, 1, 1, 2, 2, 2, 2]


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    import lineshaft.cli.main  # noqa: PLC0415 - only its docstring is wanted here

    documented = [cells[0] for cells in table(section(PAGE, "Signals and exit codes"), head="Exit code")]
    assert documented == re.findall(r"^    (\d+) ", lineshaft.cli.main.__doc__ or "", re.MULTILINE)


def test_signals(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        assert server.process is not None
        file = server.config / "conf.d" / "test.toml"

        def reload(text: str, line: str) -> None:
            assert server.process is not None
            file.write_text(text)
            server.process.send_signal(signal.SIGHUP)
            wait_until(lambda: is_seen(line, server.log.read_text().splitlines()), line)

        lines = [line for cells in table(section(PAGE, "Log lines"), head="Level") for line in quoted(cells[1])]
        (bad,) = [line for line in lines if "not reloaded" in line]
        (late,) = [line for line in lines if "restart" in line]
        reload("nonsense", f"ERROR ... {bad}")
        reload('[storage]\nsync = "never"\n', f"WARNING ... {late}")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(60) == 0
        server.start()
        assert server.stop() == 0
        server.start()
        server.kill()
        server.start()
        assert server.stop() == 0
