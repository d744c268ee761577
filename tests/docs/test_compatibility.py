"""docs/compatibility.md: the clients that are tested, and what no other test shows of the differences."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from acceptance.clients.programs import CLIENTS, wait_until
from docs.pages import ROOT, inline, read, section, table
from harness import Harness
from lineshaft.engine.settings import Settings
from processes import ServerProcess
from wire_client import WireClient, WireError

PAGE = read("docs/compatibility.md")
PROGRAMS = ROOT / "tests" / "acceptance" / "clients"


def locked() -> dict[tuple[str, str], str]:
    """Language and client to its version, as the programs of tests/acceptance use it."""
    go = dict(re.findall(r"^\t(\S+) v([\d.]+)$", (PROGRAMS / "go" / "go.mod").read_text(), re.MULTILINE))
    node = json.loads((PROGRAMS / "node" / "package.json").read_text())["dependencies"]
    rust = re.search(r'^faktory = .*"=([\d.]+)"', (PROGRAMS / "rust" / "Cargo.toml").read_text(), re.MULTILINE)
    python = dict(re.findall(r"^(py(?:faktory)|faktory)==([\d.]+)", read("requirements/dev.txt"), re.MULTILINE))
    assert rust is not None
    return {
        ("Go", "github.com/contribsys/faktory/client"): go["github.com/contribsys/faktory"],
        ("Go", "github.com/contribsys/faktory_worker_go"): go["github.com/contribsys/faktory_worker_go"],
        ("Node", "faktory-worker"): node["faktory-worker"],
        ("Python", "faktory"): python["faktory"],
        ("Python", "pyfaktory"): python["pyfaktory"],
        ("Rust", "faktory"): rust[1],
    }


def test_the_clients_and_their_versions() -> None:
    rows = table(section(PAGE, "Clients"), head="Language")
    documented = {(language, client.split("`")[1]): version for language, client, version, *_ in rows}
    assert documented == locked()
    assert {row[0].lower() for row in rows} == {client.folder for client in CLIENTS}


def test_every_recorded_client_is_listed() -> None:
    _, _, recorded = section(PAGE, "Clients").partition("recorded shapes*")
    rows = table(recorded, head="Language")
    listed = [name for cells in rows for name in inline(cells[2])]
    assert len(listed) == len(set(listed))
    assert set(listed) == {path.name for path in (ROOT / "tests/wire/transcripts/clients").glob("*.txt")}


def test_every_difference_names_what_shows_it() -> None:
    for row in re.findall(r"^\|.*\|$", section(PAGE, "What differs"), re.MULTILINE):
        last = row.strip("|").split("|")[-1].strip()
        assert last.startswith(("`tests/", "[", "Shown by", "---")), row


def push(jid: str, **fields: object) -> str:
    return "PUSH " + json.dumps({"jid": jid, "jobtype": "T", "args": [], **fields})


def test_the_dead_set_is_bounded_in_number() -> None:
    box = Harness(rules=Settings(dead_max=3))
    peer = box.connect()
    for number in range(5):
        peer.ask(push(f"job-{number:05d}", retry=-1))
        peer.ask("FETCH default")
        box.advance(1)
        assert peer.ask(f'FAIL {{"jid":"job-{number:05d}"}}') == b"+OK\r\n"
    box.advance(0.1)
    assert peer.ask_json("INFO")["faktory"]["sets"]["dead"] == 3
    assert peer.ask('MUTATE {"cmd":"requeue","target":"dead"}') == b"+OK\r\n"
    assert [peer.ask_json("FETCH default")["jid"] for _ in range(3)] == ["job-00002", "job-00003", "job-00004"]


def test_pushes_are_refused_when_the_disk_is_nearly_full_and_work_goes_on(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "[storage]\nmin_free = 0\n") as server, WireClient(server.port) as wire:
        assert wire.push("before-01") == "OK"
        (server.config / "conf.d" / "test.toml").write_text('[storage]\nmin_free = "1000TB"\n')
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)

        answers: list[str] = []

        def is_refused() -> bool:
            try:
                wire.push("between-1", queue="other")
            except WireError as error:
                answers.append(str(error))
            return bool(answers)

        wait_until(is_refused, "a refused push")
        assert re.fullmatch(r"ERR storage is low: \d+ MB free, and min_free is \d+ MB", answers[0])
        job = wire.fetch()
        assert job is not None
        assert wire.ack(job["jid"]) == "OK"
        assert wire.command(b'PUSHB [{"jid":"between-2","jobtype":"T","args":[]}]').startswith(b'{"between-2":"storage')


def test_a_large_mutate_is_done_in_slices_and_answered_at_the_end() -> None:
    box = Harness()
    peer = box.connect()
    for number in range(500):
        peer.ask(push(f"job-{number:05d}", at="2096-01-01T00:00:00Z"))
    engine = box.server.engine
    number = engine.mutate("discard", "scheduled")
    assert number is not None
    assert 0 < engine.figures()["sets"]["scheduled"] < 500
    slices = 0
    while engine.figures()["sets"]["scheduled"]:
        engine.tick()
        slices += 1
        assert slices < 100
    assert slices > 2
    for count in range(500):
        peer.ask(push(f"job-{count:05d}", at="2096-01-01T00:00:00Z"))
    assert peer.ask('MUTATE {"cmd":"discard","target":"scheduled"}') == b"+OK\r\n"
    assert peer.ask_json("INFO")["faktory"]["sets"]["scheduled"] == 0


def test_limits_of_names() -> None:
    peer = Harness().connect()
    assert peer.ask(push("j" * 512)) == b"+OK\r\n"
    assert peer.ask(push("j" * 513)) == b"-ERR jobs must have a reasonable jid parameter\r\n"
    assert peer.ask(push("job-00001", queue="q" * 255)) == b"+OK\r\n"
    assert peer.ask(push("job-00002", queue="q" * 256)).startswith(b"-ERR queue names must match ")
    pattern = '{"cmd":"kill","target":"dead","filter":{"regexp":"%s"}}'
    assert peer.ask("MUTATE " + pattern % ("x" * 1000)) == b"+OK\r\n"
    assert peer.ask("MUTATE " + pattern % ("x" * 1001)).startswith(b"-ERR invalid format: ")


def test_a_job_with_a_batch_that_nobody_knows_runs() -> None:
    peer = Harness().connect()
    assert peer.ask(push("job-00001", custom={"bid": "b-abcdefgh"})) == b"+OK\r\n"
    assert peer.ask_json("FETCH default")["custom"] == {"bid": "b-abcdefgh"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[[cron]]\nschedule = "* * * * *"\n', "[cron.job]"),
        ("[throttles]\nbulk = { limit = 4 }\n", "throttles.bulk.limit"),
        ("[storage]\nsink = 'always'\n", "sink"),
        ("[server]\nconnections = 'many'\n", "connections"),
    ],
)
def test_a_configuration_that_would_be_ignored_stops_the_start(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text(text)
    command = [sys.executable, "-m", "lineshaft", "serve", "-c", str(tmp_path), "-d", str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert str(tmp_path / "conf.d" / "a.toml") in done.stderr
    assert named in done.stderr
    assert len(done.stderr.splitlines()) == 1
