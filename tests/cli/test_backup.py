"""`lineshaft backup` and `lineshaft restore`, with real servers and real directories."""

import json
import os

import pytest

from lineshaft.cli.main import run_command
from lineshaft.store.backup import MANIFEST
from processes import ServerProcess
from wire_client import WireClient


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with three jobs: ready, scheduled and held."""
    with ServerProcess(tmp_path / "server") as running:
        monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
        monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{running.port}")
        with WireClient(running.port) as wire:
            wire.push("held-0001")
            assert wire.fetch()
            wire.push("ready-001")
            wire.push("later-001", at="2096-01-01T00:00:00Z")
            yield running


def run(capsys, *words):
    code = run_command(words)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_there_and_back_again(server, capsys, tmp_path):
    code, out, err = run(capsys, "backup", str(tmp_path / "copy"))
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path}/copy: ")
    manifest = json.loads((tmp_path / "copy" / MANIFEST).read_text())
    assert set(manifest["files"]) == set(os.listdir(tmp_path / "copy")) - {MANIFEST}
    assert "backup.staging" not in os.listdir(server.data)

    code, out, err = run(capsys, "restore", str(tmp_path / "copy"), "-d", str(tmp_path / "new"), "--json")
    assert (code, err) == (0, "")
    restored = json.loads(out)
    assert restored["data"] == restored["check"]["data"] == str(tmp_path / "new")
    assert restored["check"]["jobs"] == {"ready": 1, "leased": 1, "scheduled": 1, "retries": 0, "dead": 0}
    assert restored["taken_at"] == manifest["taken_at"]
    assert MANIFEST not in os.listdir(tmp_path / "new")
    assert "new.restoring" not in os.listdir(tmp_path)

    other = ServerProcess(tmp_path / "other")
    other.data = tmp_path / "new"
    with other, WireClient(other.port) as wire:
        assert wire.info()["faktory"]["sets"] == {"scheduled": 1, "retries": 0, "dead": 0, "working": 1}
        assert wire.fetch()["jid"] == "ready-001"


@pytest.mark.usefixtures("server")
def test_json_and_a_name_that_is_taken(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "backup", "copy", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["dir"] == str(tmp_path / "copy"), "the command's own directory counts, not the server's"
    assert set(answer) == {"dir", "taken_at", "files", "bytes", "seconds"}
    assert run(capsys, "backup", "copy") == (
        1,
        "",
        f"lineshaft: the server refused: {tmp_path}/copy exists: a backup needs the name of a new directory\n",
    )


def test_a_backup_needs_no_quiet_restart(server, capsys, tmp_path):
    """What a crash in the middle of one leaves is cleared away by the next start."""
    server.kill()
    (server.data / "backup.staging").mkdir()
    (server.data / "backup.staging" / "000001.sst").write_bytes(b"x")
    server.start()
    assert not (server.data / "backup.staging").exists()
    assert run(capsys, "backup", str(tmp_path / "copy"))[0] == 0


@pytest.mark.parametrize("config", ['[faktory]\npassword = "hunter2"\n', '[storage]\nbackups = "{root}"\n'])
def test_an_open_port_wants_a_password_or_a_root(tmp_path, config):
    config = f'[faktory]\nbinding = ":7419"\n{config.format(root=tmp_path)}'.replace("[faktory]\npassword", "password")
    from lineshaft.config import Flags, load_config  # noqa: PLC0415 - used here alone
    from lineshaft.settings import server_settings  # noqa: PLC0415

    (tmp_path / "conf.d").mkdir()
    file = tmp_path / "conf.d" / "a.toml"
    file.write_text('[faktory]\nbinding = ":7419"\n')
    flags = Flags(config=str(tmp_path), data=str(tmp_path / "data"))
    before = server_settings(load_config(flags, {})).backups
    assert (before.anywhere, before.root) == (False, None)
    file.write_text(config)
    after = server_settings(load_config(flags, {})).backups
    assert after.anywhere is ("password" in config)
    assert after.root == (str(tmp_path) if "backups" in config else None)


@pytest.fixture
def copy(server, capsys, tmp_path):
    """A backup in tables, of which parts can be broken."""
    with WireClient(server.port) as wire:
        for number in range(200):
            wire.push(f"more-{number:04d}", args=["x" * 100])
    assert run(capsys, "backup", str(tmp_path / "copy"))[0] == 0
    server.stop()
    return tmp_path / "copy"


def test_a_backup_that_lost_a_file_on_its_way(copy, capsys, tmp_path):
    (table, *_) = copy.glob("*.sst")
    table.unlink()
    code, _, err = run(capsys, "restore", str(copy), "-d", str(tmp_path / "new"))
    assert code == 1
    assert err == f"lineshaft: the backup in {copy} is not whole: {table.name} is missing: copy it here once more\n"
    assert not (tmp_path / "new").exists()


def test_a_backup_that_was_damaged_on_its_way(copy, capsys, tmp_path):
    (table, *_) = copy.glob("*.sst")
    content = bytearray(table.read_bytes())
    content[100] ^= 0xFF
    table.write_bytes(content)
    code, _, err = run(capsys, "restore", str(copy), "-d", str(tmp_path / "new"))
    assert code == 1
    assert err.endswith(
        f"lineshaft: the backup in {copy} is damaged, and nothing was restored to {tmp_path / 'new'}:"
        " restore an older one\n"
    )
    # Advice for a data directory that is not there would only lead astray.
    assert f"{copy}:" in err or f"{copy} cannot be opened" in err
    assert "What to do" not in err
    assert "restoring" not in err
    assert err.count(str(tmp_path / "new")) == 1
    assert sorted(os.listdir(tmp_path)) == ["copy", "server"]


def test_an_empty_directory_keeps_its_owner_and_mode(copy, capsys, tmp_path):
    new = tmp_path / "new"
    new.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(new, 12345, 12346)
    before = new.stat()
    assert run(capsys, "restore", str(copy), "-d", str(new), "--no-check")[0] == 0
    after = new.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert {(file.stat().st_uid, file.stat().st_gid) for file in new.iterdir()} == {(before.st_uid, before.st_gid)}


def test_what_is_in_the_way(copy, capsys, tmp_path):
    for name, said in {
        "server": "is not empty: stop the server",
        "nowhere/new": "there is no directory",
        "a file": "is no directory",
    }.items():
        (tmp_path / "a file").write_text("")
        code, _, err = run(capsys, "restore", str(copy), "-d", str(tmp_path / name))
        assert code == 2, err
        assert said in err
        assert err.count("\n") == 1
    code, _, err = run(capsys, "restore", str(tmp_path / "server"), "-d", str(tmp_path / "new"))
    assert code == 2
    assert "there is no store in it; `lineshaft backup` makes one" in err


def test_a_backup_without_a_log_is_told_without_advice_for_a_data_directory(copy, capsys, tmp_path):
    for log in copy.glob("*.log"):
        log.unlink()
    (copy / "backup.json").unlink(missing_ok=True)
    code, _, err = run(capsys, "restore", str(copy), "-d", str(tmp_path / "new"), "--json")
    assert code == 1
    assert err.count("\n") == 1
    code, _, err = run(capsys, "restore", str(copy), "-d", str(tmp_path / "new"))
    assert code == 1
    assert "its write-ahead log is missing" in err
    assert "lineshaft check" not in err
    assert "restoring" not in err


def test_no_home_is_needed_where_directories_are_named(copy, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("HOME")
    assert run(capsys, "restore", str(copy), "-d", str(tmp_path / "new"))[0] == 0
    assert run(capsys, "check", "-d", str(tmp_path / "new"))[0] == 0
