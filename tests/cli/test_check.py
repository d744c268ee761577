"""`lineshaft check` on real directories: clean, damaged in every file that matters, in use, or none at all."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from copies import copied
from engine.test_check import fill
from lineshaft.cli.check import find_culprit
from lineshaft.cli.main import run_command
from lineshaft.engine import keys
from lineshaft.engine.engine import Engine
from lineshaft.engine.records import decode_queue, encode_record
from lineshaft.engine.settings import Settings
from lineshaft.job import decode_pushed
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess
from wire_client import WireClient

NOW = 1_764_000_000_000
ADVICE = "What to do:\n  1. Copy {path} to another disk, whole"


def push(engine: Engine, count: int, *, queue: str = "mail") -> None:
    """Many jobs, with jids in no order."""
    for number in range(count):
        jid = f"job-{number * 7919 % count:08d}"
        engine.push(decode_pushed(f'{{"jid":"{jid}","jobtype":"T","args":[1],"queue":"{queue}"}}'.encode()))
        if number % 100 == 0:
            engine.commit()
    engine.commit()


def fresh(path: Path) -> tuple[RocksStore, Engine]:
    store = RocksStore(path)
    return store, Engine(store, Settings(), lambda: 0.5, NOW)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory with a thousand jobs in tables."""
    path = tmp_path / "data"
    store, engine = fresh(path)
    push(engine, 1000)
    store.close()
    return path


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """What a kill leaves of a thousand jobs: all in the log."""
    store, engine = fresh(tmp_path / "running")
    push(engine, 1000)
    path = copied(tmp_path / "running", tmp_path / "data")
    store.close()
    return path


def flip(file: Path, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 0xFF
    file.write_bytes(content)


def only(path: Path, pattern: str) -> Path:
    (found,) = path.glob(pattern)
    return found


def largest(path: Path, pattern: str) -> Path:
    return max(path.glob(pattern), key=lambda file: file.stat().st_size)


def contents(path: Path) -> dict[str, str]:
    """All files that hold data, and what is in them."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.iterdir()
        if not file.name.startswith(("LOG", "OPTIONS", "LOCK"))
    }


Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    def run(path: Path, *words: object) -> tuple[int, str, str]:
        code = run_command(["check", "-d", str(path), *map(str, words)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def changed(path: Path, change: Callable[[dict[bytes, bytes | None], RocksStore], None]) -> None:
    store = RocksStore(path)
    changes: dict[bytes, bytes | None] = {}
    change(changes, store)
    store.commit(changes)
    store.close()


# Clean.


def test_a_clean_directory(data: Path, check: Check) -> None:
    code, out, err = check(data)
    assert (code, err) == (0, "")
    summary = "1,005 rows; jobs: ready 1,000, leased 0, scheduled 0, retries 0, dead 0"
    assert out == f"{data}: {summary}\nclean\n"


def test_a_bit_of_everything_as_json(tmp_path: Path, check: Check) -> None:
    store = RocksStore(tmp_path / "data")
    fill(store, jid_index=True)
    store.close()
    code, out, _ = check(tmp_path / "data", "--json")
    assert code == 0
    assert out.count("\n") == 1
    said = json.loads(out)
    assert all(said["jobs"].values())
    assert said["jobs"].keys() == {"ready", "leased", "scheduled", "retries", "dead"}
    assert (said["damage"], said["untidy"], said["findings"], said["refusal"]) == (0, 0, [], None)


def test_a_server_is_refused_while_it_runs_and_clean_when_it_was_killed(tmp_path: Path, check: Check) -> None:
    with ServerProcess(tmp_path) as server:
        with WireClient(server.port) as client:
            for number in range(50):
                client.push(f"job-{number:05d}")
            assert client.fetch("default") is not None
        code, out, err = check(server.data)
        assert (code, out) == (1, "")
        assert err == (
            f"lineshaft: another server runs on {server.data}: its lock is held by another process; stop it first, or"
            " check a copy that was made while none ran\n"
        )
        server.kill()
        code, out, _ = check(server.data)
        assert code == 0
        assert "ready 49, leased 1," in out
        assert out.endswith("\nclean\n")


def test_a_terminal_is_told_how_far_it_is(data: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, err = check(data)
    assert code == 0
    assert "checking" in err
    assert out.endswith("\nclean\n")
    assert "checking" not in out


# None, or not ours.


def test_nothing_is_created(tmp_path: Path, check: Check) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    (tmp_path / "file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    for name, says in [
        ("missing", "there is no such directory"),
        ("file", "is no directory; "),
        ("empty", "it is empty"),
        ("other", "there is no store in it"),
    ]:
        code, out, err = check(tmp_path / name)
        assert (code, out) == (2, "")
        assert err.startswith(f"lineshaft: {tmp_path / name}")
        assert says in err
    assert sorted(tmp_path.rglob("*")) == before


def test_garbage_does_not_send_to_the_command_that_has_just_run(tmp_path: Path, check: Check) -> None:
    for name, content in {"CURRENT": "x", "000005.sst": "x"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(content)
        code, out, _ = check(tmp_path / name)
        assert code == 1
        assert "run `lineshaft check" not in out


def test_the_directory_of_another_user_is_left_alone(data: Path, check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = data.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    before = contents(data)
    code, _, err = check(data)
    assert code == 2
    assert f"sudo -u '#{owner}' lineshaft check -d {data}" in err
    assert contents(data) == before


def test_the_default_is_that_of_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("FAKTORY_ENV", raising=False)
    store, engine = fresh(tmp_path / ".lineshaft" / "data")
    push(engine, 3)
    store.close()
    assert run_command(["check"]) == 0
    monkeypatch.setenv("FAKTORY_ENV", "prod")
    assert run_command(["check"]) == 2


# Rows that somebody broke.


def test_what_is_wrong_is_said_and_bounded(data: Path, check: Check) -> None:
    def breaks(changes: dict[bytes, bytes | None], store: RocksStore) -> None:
        record = decode_queue(store.get(b"Qmail") or b"")
        record.size, record.cursors = 7, [(5, 502)]
        changes[b"Qmail"] = encode_record(record)
        changes[b"zoo"] = b""

    changed(data, breaks)
    code, out, _ = check(data)
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "job before the cursor (500):"
    assert lines[1].startswith("  damage: queue mail, priority 5, order 2 (generation 1): the queue is read from order")
    assert lines[11] == "  and 490 more"
    assert "  untidy: b'zoo': this version writes no such key" in lines
    assert "  damage: queue mail: the record says 7 jobs, and 1000 lie in the queue and are not leased" in lines
    assert ADVICE.format(path=data) in out
    assert "please report it" in out
    assert lines[-1] == "damaged: 501, untidy: 1"
    said = json.loads(check(data, "--json")[1])
    assert said["laws"] == {"job before the cursor": 500, "unknown key": 1, "wrong size": 1}
    assert len(said["findings"]) == 12
    assert said["damage"] == 501


def test_what_is_untidy_is_no_failure(data: Path, check: Check) -> None:
    changed(data, lambda changes, _: changes.update({b"zoo": b""}))
    code, out, _ = check(data)
    assert code == 0
    assert out.endswith("damaged: 0, untidy: 1\n")
    assert "What to do" not in out


def test_another_format_is_told(data: Path, check: Check) -> None:
    changed(data, lambda changes, _: changes.update({keys.FORMAT_KEY: b"2"}))
    code, out, _ = check(data)
    assert code == 1
    assert "the data has format 2, and only 1 can be checked" in out


# Files that a disk broke.


def test_a_damaged_table_is_stepped_over_and_named(data: Path, check: Check) -> None:
    table = largest(data, "*.sst")
    flip(table, table.stat().st_size // 2)
    code, out, err = check(data)
    assert (code, err) == (1, "")
    assert "unreadable rows (1):\n  damage: queue mail, priority 5, order" in out
    assert "block checksum mismatch" in out
    assert table.name in out
    assert "the rows named above are lost. A server starts on the rest" in out
    said = json.loads(check(data, "--json")[1])
    assert 500 < said["jobs"]["ready"] < 1000
    assert said["laws"] == {"unreadable rows": 1}


def test_a_damaged_log_is_refused_and_named(torn: Path, check: Check) -> None:
    log = only(torn, "*.log")
    flip(log, log.stat().st_size // 2)
    before = contents(torn)
    code, out, err = check(torn)
    assert (code, err) == (1, "")
    assert out.startswith(
        f"{torn} cannot be opened: Corruption: checksum mismatch\n  damaged file: {log.name}, the write-"
    )
    assert ADVICE.format(path=torn) in out
    assert f"lineshaft check -d {torn} --salvage NEWDIR" in out
    assert contents(torn) == before
    said = json.loads(check(torn, "--json")[1])
    assert (said["refusal"], said["file"]) == ("Corruption: checksum mismatch", log.name)


def test_salvage_keeps_what_stands_before_the_damage(torn: Path, tmp_path: Path, check: Check) -> None:
    log = only(torn, "*.log")
    flip(log, log.stat().st_size // 2)
    before = contents(torn)
    target = tmp_path / "rescued"
    code, out, err = check(torn, "--salvage", target)
    assert (code, err) == (0, "")
    assert out.startswith(f"{target}: ")
    assert out.endswith("\nclean\n")
    assert contents(torn) == before
    code, out, _ = check(target, "--json")
    kept = json.loads(out)["jobs"]["ready"]
    # A commit of the fixture is a hundred jobs, but for the first: whole commits, and those in front.
    assert kept % 100 == 1
    assert 300 < kept < 700
    store, engine = fresh(target)
    assert engine.figures()["queues"] == {"mail": kept}
    push(engine, 10)
    store.close()
    assert check(target)[0] == 0


def push_until_tables_are_written(store: RocksStore, engine: Engine) -> None:
    """Jobs for tomorrow, each with its entry in the index: more than RocksDB keeps in memory, and some more behind."""
    text = "x" * 20_000
    for number in range(1000):
        body = f'{{"jid":"job-{number:08d}","jobtype":"T","args":["{text}"],"at":"2027-01-01T00:00:00Z"}}'
        engine.push(decode_pushed(body.encode()))
        if number % 100 == 99:
            engine.commit()
    end = time.monotonic() + 60
    while not store.figures()["sst_files"]:
        assert time.monotonic() < end, "no table was written"
        time.sleep(0.01)
    push(engine, 100)


@pytest.mark.parametrize("damage", ["oldest log damaged", "all logs lost"])
def test_salvage_is_of_one_moment_when_the_tables_are_ahead_of_the_log(
    tmp_path: Path, check: Check, damage: str
) -> None:
    """The jobs and their index lie in families of their own; what is in tables of one is in tables of the other."""
    store, engine = fresh(tmp_path / "running")
    push_until_tables_are_written(store, engine)
    path = copied(tmp_path / "running", tmp_path / "data")
    store.close()
    logs = sorted(path.glob("*.log"))
    if damage == "all logs lost":
        for log in logs:
            log.unlink()
    else:
        flip(logs[0], logs[0].stat().st_size // 2)
    if check(path)[0] == 0:
        # All that the damaged log held is in tables, so it is not missed.
        assert damage == "oldest log damaged"
        return
    target = tmp_path / "rescued"
    code, out, err = check(path, "--salvage", target)
    assert (code, err) == (0, "")
    assert out.endswith("\nclean\n")


def test_salvage_wants_a_new_place_and_something_to_do(data: Path, tmp_path: Path, check: Check) -> None:
    (tmp_path / "there").mkdir()
    for target, says in [
        (tmp_path / "there", "exists; --salvage needs the name of a new directory"),
        (data / "inside", "lies inside of"),
        (tmp_path / "new", "opens as it is: --salvage has nothing to cut off"),
    ]:
        code, out, err = check(data, "--salvage", target)
        assert (code, out) == (2, "")
        assert says in err
    assert not (tmp_path / "new").exists()
    assert not (data / "inside").exists()


def test_salvage_does_not_pretend(data: Path, tmp_path: Path, check: Check) -> None:
    table = largest(data, "*.sst")
    flip(table, table.stat().st_size - 3)
    target = tmp_path / "rescued"
    code, out, _ = check(data, "--salvage", target)
    assert code == 1
    assert "--salvage cuts off a damaged log, and can do nothing about other files" in out
    assert f"damaged file: {table.name}, a table" in out
    assert not target.exists()


def test_salvage_of_more_than_a_log_leaves_nothing_behind(data_and_log: Path, tmp_path: Path, check: Check) -> None:
    target = tmp_path / "rescued"
    code, out, err = check(data_and_log, "--salvage", target)
    assert code == 1
    assert "more than its log is damaged" in err or "can do nothing about other files" in out
    assert not target.exists()


@pytest.fixture
def data_and_log(tmp_path: Path) -> Path:
    """A table and a log, both damaged."""
    store, engine = fresh(tmp_path / "both-running")
    push(engine, 1000)
    store.close()
    store, engine = fresh(tmp_path / "both-running")
    push(engine, 1000, queue="more")
    path = copied(tmp_path / "both-running", tmp_path / "both")
    store.close()
    log = max(path.glob("*.log"), key=lambda file: file.stat().st_size)
    flip(log, log.stat().st_size // 2)
    table = largest(path, "*.sst")
    flip(table, table.stat().st_size - 3)
    return path


def test_a_lost_current_file(data: Path, check: Check) -> None:
    (data / "CURRENT").unlink()
    before = contents(data)
    code, out, _ = check(data)
    assert code == 1
    assert out.startswith(f"{data} cannot be opened: the file CURRENT is missing\n")
    assert contents(data) == before


def test_a_lost_table(data: Path, check: Check) -> None:
    table = largest(data, "*.sst")
    table.unlink()
    code, out, _ = check(data)
    assert code == 1
    assert f"damaged file: {table.name}" in out
    assert "nothing of ours can read around this" in out


def test_a_manifest_that_lost_its_tables_is_not_opened(data: Path, tmp_path: Path, check: Check) -> None:
    """RocksDB takes a manifest with a torn end for a shorter one, and deletes the tables that it does not name."""
    name, length = only(data, "MANIFEST-*").name, only(data, "MANIFEST-*").stat().st_size
    verdicts = set()
    for lost in range(1, length, 20):
        torn = Path(shutil.copytree(data, tmp_path / f"lost-{lost}"))
        os.truncate(torn / name, length - lost)
        code, out, _ = check(torn)
        # The end of a manifest may say nothing of tables; else they are still there, whatever is said.
        assert (code == 1 and list(torn.glob("*.sst"))) or "ready 1,000," in out
        verdicts.add((code, "and an open would delete them" in " ".join(out.split())))
    # With too little of it left there is no manifest at all, and RocksDB itself says so.
    assert verdicts >= {(1, True), (1, False)}


def test_the_guilty_file_is_found(tmp_path: Path) -> None:
    words = "Corruption: Bad table magic number in /d/000009.sst  The file /d/MANIFEST-000005 may be corrupted."
    assert find_culprit(tmp_path, words) == "000009.sst"
    assert find_culprit(tmp_path, "Corruption: checksum mismatch  The file /d/MANIFEST-000005 may") == "MANIFEST-000005"
    assert find_culprit(tmp_path, "Corruption: checksum mismatch") is None
    (tmp_path / "LOG").write_text("2026 [WARN] /d/000004.log: dropping 311 bytes; Corruption: checksum mismatch\n")
    assert find_culprit(tmp_path, "Corruption: checksum mismatch") == "000004.log"


# How much it takes.


def test_two_hundred_thousand_jobs_take_seconds_and_little_memory(tmp_path: Path) -> None:
    store, engine = fresh(tmp_path / "data")
    began = time.process_time()
    push(engine, 200_000)
    pushing = time.process_time() - began
    store.close()
    # On Linux ru_maxrss is never less than what the process had that began this one, which is this whole suite.
    code = (
        "import re, resource, sys\nfrom pathlib import Path\nfrom lineshaft.cli.main import run_command\n"
        f"code = run_command(['check', '-d', {str(tmp_path / 'data')!r}])\n"
        "if sys.platform == 'darwin':\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        "else:\n"
        "    print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) * 1024)\n"
        "sys.exit(code)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.returncode == 0, done.stdout + done.stderr
    summary, verdict, used = done.stdout.splitlines()
    assert "ready 200,000," in summary
    assert verdict == "clean"
    # Of the processor's time, on the same machine: two seconds, and four for the pushes.
    assert took < 3 * pushing
    assert int(used) < 200 << 20  # 76 MB, most of it RocksDB's
