"""The commands that look at a running server and change it: queues, jobs, workers, top, completion."""

import io
import json
import re
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from lineshaft.cli.looking import between, relative_instant
from lineshaft.cli.main import run_command
from lineshaft.cli.top import Sample, draw
from lineshaft.cli.words import in_bytes, in_seconds, plural
from lineshaft.errors import Refusal, UsageError
from processes import ServerProcess
from wire_client import WireClient, WireError

LATER = "2096-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def wire(server, monkeypatch):
    """An empty server, which the commands find; wide enough a screen that no cell is folded."""
    monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
    monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{server.port}")
    monkeypatch.setenv("COLUMNS", "240")
    with WireClient(server.port, {"v": 2, "wid": "w-1", "hostname": "box", "pid": 12345, "labels": ["a"]}) as client:
        client.command(b"FLUSH")
        yield client


@pytest.fixture
def filled(wire):
    """Jobs in every place."""
    for number in range(3):
        wire.push(f"ready-00{number}", queue="mail", jobtype="A" if number else "B")
    wire.push("later-001", at=LATER, args=["needle"], queue="mail")
    wire.push("later-002", at=LATER, queue="other")
    for jid, retry in (("failed-01", 5), ("failed-02", 5), ("dead-0001", -1), ("held-0001", 5)):
        wire.push(jid, queue="work", retry=retry)
        assert wire.fetch("work")["jid"] == jid
    for jid in ("failed-01", "failed-02", "dead-0001"):
        wire.fail(jid, errtype=f"E{jid[-1]}", message="it broke")
    return wire


@pytest.fixture
def run(capsys):
    """A command's exit code, standard output and standard error."""

    def call(*words):
        capsys.readouterr()
        code = run_command(words)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def lines(out):
    return [json.loads(line) for line in out.splitlines()]


def sets(wire):
    return wire.info()["faktory"]["sets"]


# Queues


def test_queues_are_listed(filled, run):
    filled.command(b"QUEUE PAUSE other")
    code, out, _ = run("queues", "--json")
    assert code == 0
    assert [(row["name"], row["size"], row["paused"]) for row in lines(out)] == [
        ("mail", 3, False),
        ("other", 0, True),
        ("work", 0, False),
    ]
    code, out, _ = run("queues")
    assert code == 0
    assert re.search(r"mail +│ +3 │", out)
    assert "paused" in out
    assert run("queues", "list", "mail", "--json")[1].count("\n") == 1
    assert run("queues", "list", "none") == (
        2,
        "",
        "lineshaft: there is no queue none; `lineshaft queues` lists them\n",
    )


@pytest.mark.usefixtures("filled")
def test_queues_are_paused_resumed_and_removed(run):
    assert run("queues", "pause", "mail", "work") == (0, "paused: mail, work\n", "")
    assert [row["paused"] for row in lines(run("queues", "--json")[1])] == [True, False, True]
    assert run("queues", "resume", "*")[0] == 0
    assert not any(row["paused"] for row in lines(run("queues", "--json")[1]))
    code, _, err = run("queues", "remove", "mail")
    assert (code, err) == (
        2,
        "lineshaft: this removes mail with 3 jobs, and there is no terminal to ask on: add --yes\n",
    )
    assert run("queues", "remove", "mail", "--yes") == (0, "removed: mail\n", "")
    assert [row["name"] for row in lines(run("queues", "--json")[1])] == ["other", "work"]
    assert run("queues", "pause", "a b")[0] == 2


# Jobs


def jids(run, *words):
    code, out, err = run("jobs", "list", *words, "--json")
    assert code == 0, err
    return [row["job"]["jid"] for row in lines(out)]


def test_jobs_are_listed_and_searched(filled, run):
    assert sorted(jids(run)) == sorted(
        [
            "held-0001",
            "ready-000",
            "ready-001",
            "ready-002",
            "failed-01",
            "failed-02",
            "later-001",
            "later-002",
            "dead-0001",
        ]
    )
    assert jids(run, "--in", "ready", "--queue", "mail") == ["ready-000", "ready-001", "ready-002"]
    assert jids(run, "--in", "ready", "--type", "A") == ["ready-001", "ready-002"]
    assert jids(run, "--in", "scheduled", "--queue", "other") == ["later-002"]
    assert jids(run, "--text", "NEEDLE") == ["later-001"]
    assert jids(run, "--error", "E2") == ["failed-02"]
    assert jids(run, "--in", "dead", "--since", "1h") == ["dead-0001"]
    assert jids(run, "--in", "dead", "--until", "2020-01-01") == []
    assert jids(run, "--in", "scheduled", "--newest", "-n", "1") == ["later-002"]
    code, out, err = run("jobs", "-n", "2")
    assert code == 0
    assert err == "the first 2; --limit shows more\n"
    code, out, _ = run("jobs", "--in", "leased")
    assert "held-0001" in out
    assert "w-1" in out
    assert "E1: it broke" in run("jobs", "--in", "retries")[1]
    assert filled.ack("held-0001") == "OK"


def test_a_jid_is_never_broken(wire, run, monkeypatch):
    jid = "a1b2c3d4e5f6a7b8c9d0e1f2"
    wire.push(jid, args=["a rather long argument " * 4], jobtype="SendTheMonthlyReport")
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run("jobs")
    assert code == 0
    assert jid in out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" in out, "args are cut, and not spread over many lines"


def test_many_jobs_come_in_pages(wire, run):
    jobs = [{"jid": f"job-{number:05d}", "jobtype": "T", "args": [number]} for number in range(450)]
    wire.command(b"PUSHB " + json.dumps(jobs).encode())
    assert jids(run, "-n", "0") == [job["jid"] for job in jobs]
    assert len(jids(run, "-n", "250")) == 250
    assert jids(run, "--text", "[449]") == ["job-00449"]


def test_one_job_is_shown(filled, run):
    code, out, _ = run("jobs", "show", "failed-01")
    assert code == 0
    shown = json.loads(out)
    assert shown["place"] == "retries"
    assert shown["job"]["failure"]["errtype"] == "E1"
    assert lines(run("jobs", "show", "later-001", "--json")[1])[0]["place"] == "scheduled"
    assert run("jobs", "show", "nothing-1") == (1, "", "there is no job with jid nothing-1 on the server\n")
    filled.push("tracked-1", queue="other", custom={"track": 1})
    assert '"state":"enqueued"' in run("jobs", "show", "tracked-1")[1]


def test_a_job_that_python_cannot_hold_hides_no_other(wire, run):
    digits = b"9" * 5000
    odd = {"huge-0001": b"1e999", "long-0001": digits}
    for jid, number in odd.items():
        wire.command(b'PUSH {"jid":"%b","jobtype":"T","args":[%b, 0.10]}' % (jid.encode(), number))
    wire.command(b'PUSH {"jid":"mark-0001","jobtype":"T","args":[],"custom":{"x":1e999},"more":[1e999]}')
    wire.push("good-0001")
    every = [*odd, "mark-0001", "good-0001"]
    code, out, err = run("jobs")
    assert (code, err) == (0, "")
    assert [jid for jid in every if jid in out] == every
    assert "[1e999, 0.10]" in out
    code, out, err = run("jobs", "--json")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == len(every)
    assert '"args":[1e999, 0.10]' in out
    assert digits.decode() in out
    assert '"custom":{"x":1e999}' in out
    for jid in every:
        assert run("jobs", "show", jid)[::2] == (0, "")
    assert "1e999" in run("jobs", "show", "mark-0001")[1]


def test_jobs_are_requeued_killed_and_deleted(filled, run):
    assert run("jobs", "requeue", "failed-01", "--in", "retries")[:2] == (
        0,
        "requeued, as far as they are there: failed-01\n",
    )
    assert filled.fetch("work")["jid"] == "failed-01"
    assert run("jobs", "kill", "--in", "retries", "--error", "E2", "--yes")[:2] == (0, "killed: 1 job of retries\n")
    assert sets(filled)["dead"] == 2
    assert run("jobs", "delete", "--in", "dead", "--all", "--dry-run")[:2] == (0, "2 jobs of dead would be deleted\n")
    assert run("jobs", "delete", "--in", "dead", "--all")[0] == 2
    assert sets(filled)["dead"] == 2
    assert run("jobs", "delete", "--in", "dead", "--all", "--yes")[:2] == (0, "deleted: 2 jobs of dead\n")
    assert sets(filled)["dead"] == 0
    assert (
        run("jobs", "delete", "--in", "scheduled", "-q", "mail", "--text", "needle", "-y")[1]
        == "deleted: 1 job of scheduled\n"
    )
    assert jids(run, "--in", "scheduled") == ["later-002"]
    assert run("jobs", "delete", "--in", "ready", "-q", "mail", "-t", "A", "-y")[1] == "deleted: 2 jobs of queue:mail\n"
    assert jids(run, "--in", "ready", "-q", "mail") == ["ready-000"]
    assert run("jobs", "kill", "ready-000", "--in", "ready", "-q", "mail")[0] == 0
    assert jids(run, "--in", "dead") == ["ready-000"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["requeue", "--in", "dead"], "say which jobs are meant: "),
        (["delete", "--in", "ready", "-q", "mail"], "say which jobs are meant: "),
        (["requeue", "--all"], "say with --in where the jobs are: scheduled, retries or dead"),
        (["requeue", "x", "--in", "ready"], "say with --in where the jobs are: scheduled, retries or dead"),
        (["delete", "--all", "--in", "leased"], "say with --in where the jobs are: scheduled, retries, dead, or ready"),
        (["kill", "--all", "--in", "ready"], "jobs that are ready stand in a queue: say --queue"),
        (["kill", "some-jid1", "--type", "T", "--in", "dead"], "name jids, or choose by filters, not both"),
        (["list", "--limit", "-1"], "--limit must be 0 or more, not -1"),
        (["list", "--since", "soon"], "--since must be a time"),
        (["list", "--in", "limbo"], 'Invalid value "limbo" for --in.'),
    ],
)
def test_what_is_meant_must_be_said(filled, run, words, said):
    before = sets(filled)
    code, out, err = run("jobs", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"lineshaft: {said}")
    assert sets(filled) == before


# Workers


def test_workers_are_listed_and_told(wire, run):
    code, out, _ = run("workers", "--json")
    (row,) = lines(out)
    assert (code, row["wid"], row["hostname"], row["pid"], row["state"]) == (0, "w-1", "box", 12345, "running")
    assert "12345" in run("workers", "list")[1]
    assert run("workers", "quiet", "w-1") == (0, "told to go quiet: w-1\n", "")
    assert wire.command(b'BEAT {"wid":"w-1"}') == b'{"state":"quiet"}'
    assert run("workers", "terminate", "--all") == (0, "told to terminate: all workers\n", "")
    assert wire.command(b'BEAT {"wid":"w-1"}') == b'{"state":"terminate"}'
    assert run("workers", "quiet")[0] == 2
    assert run("workers", "quiet", "w-1", "--all")[0] == 2
    assert run("workers", "quiet", "nobody") == (1, "", "lineshaft: the server refused: unknown worker nobody\n")


# Batches and periodic jobs


def test_a_batch_is_shown(wire, run):
    bid = wire.command(b'BATCH NEW {"description":"a mailing","success":{"jobtype":"Done","args":[]}}').decode()
    for number in range(3):
        wire.push(f"member-0{number}", custom={"bid": bid})
    wire.command(f"BATCH COMMIT {bid}".encode())
    wire.ack(wire.fetch()["jid"])
    code, out, _ = run("batch", "status", bid, "--json")
    assert (code, json.loads(out)["total"], json.loads(out)["pending"]) == (0, 3, 2)
    code, out, _ = run("batch", "status", bid)
    assert code == 0
    assert "a mailing" in out
    assert re.search(r"still to run +│ 2 ", out)
    assert re.search(r"success callback +│ waits ", out)
    assert run("batch", "status", "b-none") == (1, "", "lineshaft: the server refused: no such batch b-none\n")


@pytest.fixture(scope="module")
def periodic(tmp_path_factory):
    """A server with a job that is never due while the test runs."""
    entry = '[[cron]]\nname = "yearly"\nschedule = "0 0 29 2 *"\ntz = "Europe/Madrid"\n[cron.job]\ntype = "T"\n'
    with ServerProcess(tmp_path_factory.mktemp("periodic"), entry) as running:
        yield running


def test_periodic_jobs_are_listed_run_and_paused(periodic, run, monkeypatch):
    monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
    monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{periodic.port}")
    monkeypatch.setenv("COLUMNS", "240")
    (row,) = lines(run("cron", "--json")[1])
    assert (row["name"], row["paused"], row["last_run"]) == ("yearly", False, None)
    assert run("cron", "run", "yearly") == (0, "pushed now: yearly\n", "")
    assert run("cron", "pause", "yearly") == (0, "paused: yearly\n", "")
    code, out, _ = run("cron")
    assert code == 0
    for word in ("0 0 29 2 *", "Europe/Madrid", "paused", " ago"):
        assert word in out
    assert run("cron", "resume", "yearly")[0] == 0
    assert not lines(run("cron", "list", "--json")[1])[0]["paused"]
    assert run("cron", "run", "none")[0] == 1
    with WireClient(periodic.port) as client:
        assert client.fetch()["jobtype"] == "T"


# Top


def test_top_as_lines_and_as_a_screen(filled, run):
    code, out, _ = run("top", "--count", "2", "--every", "0.1", "--json")
    first, second = lines(out)
    assert code == 0
    assert first["processed_rate"] is None
    assert second["processed_rate"] == 0
    assert second["sets"]["retries"] == 2
    assert [row["name"] for row in second["queues"]] == ["mail", "other", "work"]
    code, out, _ = run("top", "-c", "1")
    assert code == 0
    for word in ("per second", "enqueued 3", "mail", "w-1", "Lineshaft"):
        assert word in out
    assert run("top", "--every", "0")[0] == 2
    assert filled.ack("held-0001") == "OK"


def test_top_counts_what_does_not_fit():
    queue = {"size": 1, "latency": 1, "paused": False, "pushed": 1, "processed": 0, "failed": 0}
    sample = Sample("", {}, {}, 0, 0, 0, None, None, None, [{"name": f"q{n}", **queue} for n in range(50)], [])
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(draw(sample, 24))
    assert "Queues (5 of 50)" in console.export_text()
    console.print(draw("no server answers", 24))
    assert "trying again" in console.export_text()


def test_top_waits_for_a_server_that_goes_away(tmp_path):
    with ServerProcess(tmp_path) as own:
        command = [sys.executable, "-m", "lineshaft", "top", "--json", "--every", "0.2"]
        environment = {**own.environment, "FAKTORY_URL": f"tcp://127.0.0.1:{own.port}"}
        environment.pop("FAKTORY_PROVIDER", None)
        watching = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        assert watching.stdout is not None
        try:
            assert json.loads(watching.stdout.readline())["server"]["uptime"] >= 0
            own.kill()
            time.sleep(0.5)
            own.start()
            read = threading.Event()
            with WireClient(own.port) as client:
                client.push("after-001", queue="afterwards")
            while not read.is_set():
                if "afterwards" in watching.stdout.readline():
                    read.set()
        finally:
            watching.kill()
            watching.wait()
            watching.stdout.close()


# The rest


def test_a_server_that_does_not_know_the_verb(wire, run, monkeypatch):
    def unknown(*_):
        raise Refusal("unknown command INSPECT")

    monkeypatch.setattr("lineshaft.client.Client.command", unknown)
    for words in (["queues"], ["jobs"], ["workers"], ["jobs", "delete", "--in", "dead", "--text", "x"]):
        code, _, err = run(*words)
        assert code == 2
        assert "this server does not know how: unknown command INSPECT" in err
    with pytest.raises(WireError):
        wire.command(b"NOSUCH")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run, shell, tmp_path):
    code, out, _ = run("completion", shell)
    assert code == 0
    for word in ("import-faktory", "requeue", "dry-run", "terminate"):
        assert word in out
    if shell == "bash":
        (tmp_path / "script").write_text(out + "\ncomplete -p lineshaft\n")
        done = subprocess.run(["bash", str(tmp_path / "script")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "lineshaft" in done.stdout


@pytest.mark.parametrize("words", [["queues"], ["jobs"], ["workers"], ["top"], ["batch", "status", "b-1"], ["cron"]])
def test_no_server(run, monkeypatch, words):
    monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
    monkeypatch.setenv("FAKTORY_URL", "tcp://127.0.0.1:1")
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert err.startswith("lineshaft: no server answers at tcp://127.0.0.1:1")


def test_figures_in_words():
    sizes = {0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 69_561_654: "69.6 MB", 2 * 10**9: "2.0 GB"}
    assert {count: in_bytes(count) for count in sizes} == sizes
    assert [in_seconds(n) for n in (0, 1.25, 61, 3600, 90_061, -1)] == ["0.0s", "1.2s", "1m1s", "1h", "1d1h", "0.0s"]
    assert [plural(n, "job") for n in (0, 1, 2000)] == ["0 jobs", "1 job", "2,000 jobs"]
    now = 1_764_000_000_000
    assert between("2025-11-24T15:59:00Z", now) == "1m ago"
    assert between("2025-11-24T17:00:00Z", now) == "in 1h"
    assert between(None) == ""
    assert relative_instant("--since", "2h", now) == "2025-11-24T14:00:00.000+00:00"
    assert relative_instant("--since", "2026-01-31", now) == "2026-01-31T00:00:00+00:00"
    with pytest.raises(UsageError):
        relative_instant("--since", "99999999999999d", now)
