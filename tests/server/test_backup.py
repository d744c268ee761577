"""BACKUP: when it may be, what it waits for, and who waits for it. Restoring: tests/cli/test_backup.py."""

import os
from pathlib import Path

import pytest

from harness import Harness, Peer
from lineshaft.errors import StoreError
from lineshaft.server.backup import allowed_target
from lineshaft.server.settings import BackupRule, ServerSettings
from lineshaft.store.faulty import FaultyStore

ANYWHERE = ServerSettings(backups=BackupRule(anywhere=True))
PUSH = 'PUSH {"jid":"job-00001","jobtype":"T","args":[]}'


class Copied(FaultyStore):
    """A store whose copy is a file with its keys; that of a real one needs a disk."""

    def checkpoint(self, path: Path) -> None:
        path.mkdir()
        (path / "keys").write_bytes(b"\n".join(key for key, _ in self.scan(b"", b"\xff", limit=1000)))


def box(tmp_path: Path, settings: ServerSettings = ANYWHERE) -> tuple[Harness, Peer, str]:
    harness = Harness(store=Copied(), settings=settings)
    return harness, harness.connect(), str(tmp_path / "copy")


def ask(directory: str) -> str:
    return f'BACKUP {{"dir":"{directory}"}}'


def test_it_answers_with_what_was_copied(tmp_path: Path) -> None:
    _, peer, directory = box(tmp_path)
    answer = peer.ask_json(ask(directory))
    size = os.path.getsize(tmp_path / "copy" / "keys")
    assert answer.pop("seconds") >= 0
    assert answer == {"dir": directory, "taken_at": "2025-11-24T16:00:00.000Z", "files": 1, "bytes": size}


def test_what_came_before_it_in_the_same_packet_is_in_it(tmp_path: Path) -> None:
    _, peer, directory = box(tmp_path)
    peer.send(f"{PUSH}\r\n{ask(directory)}\r\nINFO\r\n".encode())
    ok, _, rest = peer.take().partition(b"\r\n")
    assert ok == b"+OK"
    assert b"taken_at" in rest.partition(b"\r\n")[2]
    assert rest.count(b'"total_enqueued":1') == 1, "what came behind it is answered behind it"
    assert any(key.startswith(b"R") for key in (tmp_path / "copy" / "keys").read_bytes().split(b"\n"))


def test_while_it_is_made_others_go_on_and_the_one_who_asked_waits(tmp_path: Path) -> None:
    harness, peer, directory = box(tmp_path)
    other = harness.connect()
    harness.hold_apart = True
    assert peer.ask(ask(directory)) == b""
    assert peer.ask(PUSH) == b""
    assert other.ask(PUSH) == b"+OK\r\n"
    assert other.ask(ask(directory + "2")) == b"-ERR a backup is being made already: try again when it is done\r\n"
    harness.hold_apart = False
    harness.settle()
    assert peer.take().endswith(b"}\r\n+OK\r\n")
    assert b"taken_at" in other.ask(ask(directory + "2"))


def test_a_connection_that_leaves_does_not_end_it(tmp_path: Path) -> None:
    harness, peer, directory = box(tmp_path)
    harness.hold_apart = True
    peer.ask(ask(directory))
    peer.leave()
    harness.hold_apart = False
    harness.settle()
    assert (tmp_path / "copy" / "keys").exists()
    assert b"taken_at" in harness.connect().ask(ask(directory + "2"))


def test_a_stop_gives_it_up(tmp_path: Path) -> None:
    harness, peer, directory = box(tmp_path)
    harness.hold_apart = True
    peer.ask(ask(directory))
    harness.server.stop()
    harness.settle()
    assert peer.take() == b"-ERR shutdown in progress: the backup is given up\r\n"
    harness.hold_apart = False
    harness.settle()
    assert peer.take() == b""


def test_a_pause_of_the_store_puts_it_off(tmp_path: Path) -> None:
    harness, peer, directory = box(tmp_path)
    harness.store.busy_for(2)
    peer.send(f"{PUSH}\r\n{ask(directory)}\r\n".encode())
    assert peer.take() == b""
    assert not harness.pending_apart
    harness.advance(1)
    assert peer.take().startswith(b"+OK\r\n$")
    assert b"R" in {key[:1] for key in (tmp_path / "copy" / "keys").read_bytes().split(b"\n")}


def test_a_failure_is_told_and_the_next_one_may_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, peer, directory = box(tmp_path)

    def full(*_: object) -> None:
        raise StoreError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Copied, "checkpoint", full)
        assert peer.ask(ask(directory)) == b"-ERR backup failed: no space left on device\r\n"
    assert b"taken_at" in peer.ask(ask(directory))


def test_a_store_in_memory_has_none(tmp_path: Path) -> None:
    peer = Harness(settings=ANYWHERE).connect()
    answer = peer.ask(ask(f"{tmp_path}/copy"))
    assert answer.startswith(b"-ERR cannot back up to ")
    assert answer.endswith(b": an ephemeral server keeps nothing on disk\r\n")


def test_it_is_off_where_anybody_may_connect_without_a_password(tmp_path: Path) -> None:
    _, peer, directory = box(tmp_path, ServerSettings())
    assert peer.ask(ask(directory)).startswith(b"-ERR backups are off, since other machines can connect")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("", b"-ERR invalid JSON: "),
        ("{}", b"-ERR missing dir\r\n"),
        ('{"dir":""}', b"-ERR missing dir\r\n"),
        ('{"dir":7}', b"-ERR invalid JSON: "),
        ('{"dir":"/%s"}' % ("x" * 4096), b"-ERR dir is longer than 4096 characters\r\n"),
        ('{"dir":"copy"}', b"-ERR dir must be an absolute path on the server's machine\r\n"),
        ('{"dir":"/tmp/\\u0000"}', b"-ERR dir must be an absolute path on the server's machine\r\n"),
        ('{"dir":"/no/where/copy"}', b"-ERR there is no directory /no/where on the server's machine: make it first"),
    ],
)
def test_bad_input(tmp_path: Path, argument: str, said: bytes) -> None:
    harness, peer, _ = box(tmp_path)
    assert peer.ask(f"BACKUP {argument}").startswith(said)
    assert harness.server.backup is None
    assert peer.ask(PUSH) == b"+OK\r\n"


def test_a_root_is_not_left(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for path in (root, elsewhere):
        path.mkdir()
    (root / "link").symlink_to(elsewhere)
    _, peer, _ = box(tmp_path, ServerSettings(backups=BackupRule(str(root))))
    assert b"taken_at" in peer.ask(ask(f"{root}/monday"))
    for bad in (f"{elsewhere}/x", f"{root}/../elsewhere/x", f"{root}/link/x", str(root) + "x"):
        assert peer.ask(ask(bad)).startswith(f"-ERR backups lie below {root} here".encode()), bad
    assert peer.ask(ask(f"{root}/monday")).startswith(b"-ERR ")


def test_the_data_directory_is_no_place_for_it(tmp_path: Path) -> None:
    rule = BackupRule(anywhere=True, data=str(tmp_path))
    with pytest.raises(Exception, match="inside of the data directory"):
        allowed_target(f"{tmp_path}/copy", rule)
