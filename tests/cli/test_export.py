"""`lineshaft export` and `lineshaft import`: there and back, from directories and backups, whole or told."""

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import pytest

from engine.test_check import fill
from invariants import rows_of
from lineshaft.cli.check import examine
from lineshaft.cli.main import run_command
from lineshaft.engine.keys import prefix_range
from lineshaft.store.faulty import FaultyStore
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess
from wire_client import WireClient


@pytest.fixture
def data(tmp_path):
    """A directory with jobs in every place, some of them in the log alone."""
    path = tmp_path / "data"
    store = RocksStore(path)
    faulty = FaultyStore()
    fill(faulty, jid_index=True)
    store.commit(rows_of(faulty))
    store.close()
    return path


@pytest.fixture
def wire(tmp_path, monkeypatch):
    """An empty server, which the command finds."""
    with ServerProcess(tmp_path / "server") as running:
        monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
        monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{running.port}")
        with WireClient(running.port) as client:
            yield client


def run(capfdbinary, *words):
    code = run_command(words)
    said = capfdbinary.readouterr()
    return code, said.out.decode(), said.err.decode()


def exported(capfdbinary, path):
    code, out, err = run(capfdbinary, "export", "-d", str(path))
    assert code == 0, err
    return [json.loads(line) for line in out.splitlines()]


def contents(path):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir() if file.is_file()}


def counts(path):
    outcome = Path(path)
    store = RocksStore(outcome)
    rows = {prefix: len(store.scan(*prefix_range(prefix), limit=1000)) for prefix in (b"Ts", b"Tr", b"Td")}
    store.close()
    return [rows[prefix] for prefix in (b"Ts", b"Tr", b"Td")]


def test_every_job_is_there_and_nothing_changes(data, capfdbinary):
    before = contents(data)
    head, *lines, end = exported(capfdbinary, data)
    assert contents(data) == before
    assert head["export"] == 1
    assert [line["queue"] for line in lines if "queue" in line and "place" not in line] == sorted(
        line["queue"] for line in lines if "queue" in line and "place" not in line
    )
    assert any(line.get("queue") == "prio" and line["paused"] for line in lines)
    jobs = [line for line in lines if "place" in line]
    by_place = {place: sum(line["place"] == place for line in jobs) for place in end["end"]}
    assert by_place == end["end"]
    assert examine(data).jobs == end["end"], "as many as a check counts"
    assert [by_place[place] for place in ("scheduled", "retries", "dead")] == counts(data)
    assert by_place["ready"]
    assert by_place["leased"]
    assert all("at" in line for line in jobs if line["place"] in {"scheduled", "retries", "dead"})
    assert any(line.get("worker") for line in jobs if line["place"] == "leased")


def test_there_and_back(data, wire, capfdbinary, tmp_path):
    file = tmp_path / "jobs.jsonl"
    code, out, err = run(capfdbinary, "export", "-d", str(data), "-o", str(file))
    assert (code, out) == (0, "")
    total = int(err.split()[0])
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    jobs = [line for line in lines if "place" in line]
    jids = {line["job"]["jid"] for line in jobs}

    code, out, err = run(capfdbinary, "import", str(file), "--json")
    assert code == 0, out + err
    answer = json.loads(out)
    assert answer["tally"]["read"] == total == len(jobs)
    assert answer["tally"]["adopted"] == len(jids)
    assert answer["paused"] == ["prio"]
    # The dead ones died too long ago to be kept, and what was to be retried is due.
    assert wire.info()["faktory"]["sets"]["scheduled"] == sum(line["place"] == "scheduled" for line in jobs)

    code, out, _ = run(capfdbinary, "import", str(file))
    assert code == 0
    dead = sum(line["place"] == "dead" for line in jobs)
    assert out.startswith(f"{total} jobs read: {dead} brought, {total - dead} there already, 0 refused\n")


def test_a_backup_can_be_exported_while_its_server_runs(wire, tmp_path, capfdbinary):
    wire.push("job-00001", priority=9, args=[1.0, 12345678901234567890])
    wire.push("job-00002", at="2096-01-01T00:00:00Z")
    code, out, err = run(capfdbinary, "export", "-d", str(tmp_path / "server" / "data"))
    assert code == 1
    assert out == ""
    assert "a server runs on" in err
    assert "lineshaft backup" in err
    assert run(capfdbinary, "backup", str(tmp_path / "copy"))[0] == 0
    before = contents(tmp_path / "copy")
    code, out, err = run(capfdbinary, "export", "-d", str(tmp_path / "copy"))
    assert code == 0, err
    assert contents(tmp_path / "copy") == before
    assert '{"place":"ready","job":{"priority":9,"args":[1.0, 12345678901234567890],"jid":"job-00001"' in out
    assert '{"place":"scheduled","at":"2096-01-01T00:00:00.000Z","job":{' in out


def test_plain_jobs_and_bad_lines_from_standard_input(wire, capfdbinary, monkeypatch):
    lines = [
        '{"jid":"plain-001","jobtype":"T","args":[1]}',
        "",
        '{"jid":"plain-002","jobtype":"T","args":[1],"at":"2096-01-01T00:00:00Z","priority":9}',
        "nonsense",
        '{"jid":"x","jobtype":"T","args":[1]}',
        '{"job":{"jobtype":"T"}}',
        '{"place":"limbo","job":{"jid":"plain-003","jobtype":"T","args":[]}}',
    ]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("\n".join(lines).encode())))
    code, out, _ = run(capfdbinary, "import", "-")
    assert code == 1
    assert out.startswith("6 jobs read: 2 brought, 0 there already, 4 refused\n")
    assert "  refused: line 4: cannot be read: " in out
    assert "  refused: x: jobs must have a reasonable jid parameter\n" in out
    assert "  refused: line 6: has no jid\n" in out
    assert "  refused: plain-003: there is no place limbo\n" in out
    assert wire.info()["faktory"]["sets"]["scheduled"] == 1
    assert wire.fetch()["jid"] == "plain-001"


def test_an_export_that_was_cut_off_is_told(data, wire, capfdbinary, tmp_path):
    assert wire.info()["faktory"]["total_enqueued"] == 0
    run(capfdbinary, "export", "-d", str(data), "-o", str(tmp_path / "jobs"))
    lines = (tmp_path / "jobs").read_text().splitlines(keepends=True)
    (tmp_path / "cut").write_text("".join(lines[:-3]))
    code, out, _ = run(capfdbinary, "import", str(tmp_path / "cut"))
    assert code == 1
    assert "the end of the export is missing" in out
    (tmp_path / "newer").write_text('{"export":2}\n')
    code, _, err = run(capfdbinary, "import", str(tmp_path / "newer"))
    assert code == 2
    assert "this is an export of version 2" in err


@pytest.mark.parametrize("damage", [b"nonsense", b'+{"lane":"\xff"}\n{}'], ids=["no JSON", "no text"])
def test_rows_that_cannot_be_read_are_told(data, capfdbinary, damage):
    store = RocksStore(data)
    ((key, _),) = store.scan(*prefix_range(b"Td"), limit=1)
    store.commit({key: damage})
    store.close()
    code, out, err = run(capfdbinary, "export", "-d", str(data))
    assert code == 1
    assert '"end"' in out
    assert "left out: dead, " in err
    assert err.rstrip().endswith(f"1 place could not be read: run `lineshaft check -d {data}`")


def test_what_is_in_the_way(data, capfdbinary, tmp_path):
    (tmp_path / "there").write_text("mine")
    code, _, err = run(capfdbinary, "export", "-d", str(data), "-o", str(tmp_path / "there"))
    assert (code, (tmp_path / "there").read_text()) == (2, "mine")
    assert "exists; --output needs the name of a new file" in err
    assert run(capfdbinary, "export", "-d", str(tmp_path))[0] == 2
    code, _, err = run(capfdbinary, "import", str(tmp_path / "none"))
    assert code == 1
    assert err == f"lineshaft: {tmp_path}/none: No such file or directory\n"
    assert not os.path.exists(tmp_path / "none")
