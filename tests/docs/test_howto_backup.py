"""docs/howto/backup.md and docs/command-line.md: their commands, typed as they stand but for the places."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docs.pages import blocks, inline, read, section
from processes import ServerProcess
from wire_client import WireClient

BACKUP, COMMANDS = read("docs/howto/backup.md"), read("docs/command-line.md")


@pytest.fixture
def server(tmp_path: Path):
    """A server with a job in its queue, and one that died."""
    with ServerProcess(tmp_path / "server") as running, WireClient(running.port) as wire:
        wire.push("ready-001", queue="mail", args=["bounce"])
        wire.push("dead-0001", retry=-1)
        assert wire.fetch() is not None
        wire.fail("dead-0001", errtype="Timeout", message="too late")
        yield running


def typed(line: str, tmp_path: Path, server: ServerProcess | None = None) -> "subprocess.CompletedProcess[str]":
    """Type a line of a page; the places that it names lie in the test's own directory."""
    for place in ("/var/backups/lineshaft", "/var/lib/lineshaft"):
        line = line.replace(place, str(tmp_path / place.strip("/").replace("/", "-")))
    lineshaft = f"{shlex.quote(sys.executable)} -m lineshaft"
    line = re.sub(r"(^|\| )lineshaft\b", rf"\1{lineshaft}", line)
    environment = {**os.environ, "COLUMNS": "200"}
    environment.pop("FAKTORY_PROVIDER", None)
    if server is not None:
        environment["FAKTORY_URL"] = f"tcp://127.0.0.1:{server.port}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=tmp_path,
    )


def shell_lines(text: str) -> list[str]:
    """The commands of a part of a page."""
    return [
        line for block in blocks(text, "sh") for line in block.text.splitlines() if line and not line.startswith("#")
    ]


def test_there_and_back(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "var-backups-lineshaft").mkdir()
    whole = shell_lines(BACKUP)
    assert [line.split()[1] for line in whole] == ["backup", "restore", "export", "import"]
    backup, restore, export, import_ = whole
    for line in (backup, restore, export):
        done = typed(line, tmp_path, server)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "var-lib-lineshaft" / "CURRENT").exists()
    with WireClient(server.port) as wire:
        wire.command(b"FLUSH")
        done = typed(import_, tmp_path, server)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("2 jobs read: 2 brought")
        assert wire.info()["faktory"]["sets"]["dead"] == 1


def test_what_restore_says_when_something_is_in_the_way(server: ServerProcess, tmp_path: Path) -> None:
    assert server.process is not None
    (tmp_path / "var-backups-lineshaft").mkdir()
    backup, restore, *_ = shell_lines(BACKUP)
    assert typed(backup, tmp_path, server).returncode == 0
    copy = tmp_path / "var-backups-lineshaft" / "monday"
    target = tmp_path / "var-lib-lineshaft"
    target.mkdir()
    (target / "x").write_text("")
    said = [typed(restore, tmp_path).stderr]
    (target / "x").unlink()
    (table, *_rest) = copy.glob("*.sst")
    content = bytearray(table.read_bytes())
    content[50] ^= 0xFF
    table.write_bytes(content)
    said.append(typed(restore, tmp_path).stderr)
    table.unlink()
    said.append(typed(restore, tmp_path).stderr)
    rows = re.findall(r"^\| (`.*?`) \|", section(BACKUP, "Restoring"), re.MULTILINE)
    messages = [message for row in rows for message in inline(row)]
    assert len(messages) == 3
    for message in messages:
        pattern = ".*".join(re.escape(part) for part in message.split("..."))
        assert any(re.search(pattern, text) for text in said), (message, said)


def test_the_filters_of_jobs(server: ServerProcess, tmp_path: Path) -> None:
    looking, trying, requeueing, deleting = shell_lines(section(COMMANDS, "Which jobs are meant"))
    assert "dead-0001" in typed(looking, tmp_path, server).stdout
    assert typed(trying, tmp_path, server).stdout == "1 job of dead would be requeued\n"
    assert typed(requeueing + " --yes", tmp_path, server).stdout == "requeued: 1 job of dead\n"
    assert typed(deleting + " --yes", tmp_path, server).stdout == "deleted: 1 job of queue:mail\n"


def test_lines_of_json_for_other_programs(server: ServerProcess, tmp_path: Path) -> None:
    for line in shell_lines(section(COMMANDS, "For programs")):
        done = typed(line.partition(" | ")[0], tmp_path, server)
        assert done.returncode == 0, done.stderr
        for row in done.stdout.splitlines():
            json.loads(row)


def test_the_machine_is_looked_at(tmp_path: Path) -> None:
    (block,) = blocks(section(COMMANDS, "What is wrong with this machine"), "text")
    shown = {line[6:20].strip() for line in block.text.splitlines() if line[:4] in {"good", "note", "bad "}}
    done = typed("lineshaft doctor -d /var/lib/lineshaft", tmp_path)
    assert shown <= {line[6:20].strip() for line in done.stdout.splitlines()}
