"""`lineshaft doctor` on machines that are well and on some that are not; `lineshaft bench` on a real server."""

import json
import os
import resource
from pathlib import Path

import pytest

from lineshaft.cli.doctor import SLOW_SYNC_MS, SYNCS, sync_milliseconds
from lineshaft.cli.main import run_command
from lineshaft.store.rocks import RocksStore
from processes import ServerProcess
from wire_client import WireClient


@pytest.fixture
def examined(tmp_path, monkeypatch, capsys):
    """What doctor finds with a configuration: exit code, and the findings by what they are about."""
    monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
    monkeypatch.delenv("FAKTORY_URL", raising=False)
    monkeypatch.setattr("lineshaft.client.url.DEFAULT_URL", "tcp://127.0.0.1:1")
    for name in ("FAKTORY_PASSWORD", "FAKTORY_ENV", "FAKTORY_SKIP_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    # Whether a machine is well is not to depend on how busy its disk is while the tests run.
    monkeypatch.setattr("lineshaft.cli.doctor.SLOW_SYNC_MS", 60_000.0)
    (tmp_path / "conf.d").mkdir()

    def examine(config="", *words, data=tmp_path / "data"):
        (tmp_path / "conf.d" / "a.toml").write_text(config)
        code = run_command(["doctor", "-c", str(tmp_path), "-d", str(data), "--json", *words])
        found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return code, {finding["what"]: finding for finding in found}

    return examine


def test_a_machine_that_is_well(examined, tmp_path):
    before = sorted(os.listdir(tmp_path))
    code, found = examined()
    assert code == 0
    assert {name for name, finding in found.items() if finding["verdict"] == "bad"} == set()
    assert set(found) == {
        "versions",
        "configuration",
        "password",
        "open files",
        "memory",
        "data",
        "disk speed",
        "server",
    }
    assert f"slowest of {SYNCS}" in found["disk speed"]["found"]
    assert found["server"]["verdict"] == "note"
    assert "no server answers at tcp://127.0.0.1:1" in found["server"]["found"]
    assert sorted(os.listdir(tmp_path)) == before, "it leaves nothing behind"


def test_in_words(examined, tmp_path, capsys):
    examined()
    assert run_command(["doctor", "-c", str(tmp_path), "-d", str(tmp_path / "data")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("good  versions       Python 3.")
    assert "good  data           " in out


def test_a_configuration_that_cannot_be(examined):
    code, found = examined("[storage]\nsink = 1\n")
    assert code == 1
    assert found["configuration"]["verdict"] == "bad"
    assert "storage.sink is not a key" in found["configuration"]["found"]
    assert "data" not in found


@pytest.mark.parametrize(
    ("config", "verdict"),
    [
        ('[faktory]\nbinding = ":7419"\n', "bad"),
        ('[faktory]\nbinding = ":7419"\npassword = "x"\n', "note"),
        ('[faktory]\npassword = "x"\n', "good"),
    ],
)
def test_who_may_connect(examined, config, verdict):
    code, found = examined(config)
    assert found["password"]["verdict"] == verdict
    assert code == (verdict == "bad")


def test_too_few_open_files(examined):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    code, found = examined(f"[server]\nconnections = {min(hard, 999_000) + 1}\n")
    assert (code, found["open files"]["verdict"]) == (1, "bad")
    assert "LimitNOFILE=" in found["open files"]["advice"]


def test_more_memory_than_there_is(examined):
    code, found = examined('[storage]\nmemory = "1TiB"\n')
    assert (code, found["memory"]["verdict"]) == (1, "bad")


def test_a_disk_that_is_nearly_full(examined):
    code, found = examined('[storage]\nmin_free = "1000TB"\n')
    assert (code, found["data"]["verdict"]) == (1, "bad")
    assert "make room" in found["data"]["advice"]


def test_a_directory_that_cannot_be_written(examined):
    data = Path("/proc/lineshaft")
    code, found = examined(data=data)
    assert (code, found["data"]["verdict"]) == (1, "bad")
    assert "disk speed" not in found


@pytest.mark.parametrize(
    ("step", "verdict", "sync"), [(0.05, "bad", "always"), (0.05, "good", "never"), (0.0, "note", "always")]
)
def test_a_disk_that_is_slow_or_too_quick(examined, monkeypatch, step, verdict, sync):
    monkeypatch.setattr("lineshaft.cli.doctor.SLOW_SYNC_MS", SLOW_SYNC_MS)
    monkeypatch.setattr("lineshaft.cli.doctor.sync_milliseconds", lambda *_: [step * 1000] * SYNCS)
    code, found = examined(f'[storage]\nsync = "{sync}"\n')
    assert found["disk speed"]["verdict"] == verdict
    assert code == (verdict == "bad")


def test_the_disk_is_really_measured(tmp_path):
    ticks = iter(range(100))
    assert sync_milliseconds(tmp_path, 3, lambda: next(ticks)) == [1000.0] * 3
    assert os.listdir(tmp_path) == []


def test_a_running_server_and_a_load_on_it(examined, tmp_path, monkeypatch, capsys):
    with ServerProcess(tmp_path / "server") as server:
        monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{server.port}")
        _, found = examined()
        assert found["server"]["verdict"] == "good"
        assert f"the running server has its data in {server.data}; " in found["data of server"]["found"]
        assert "data of server" not in examined(data=server.data)[1]
        # The machine may be away for as long, but not every time.
        for _ in range(5):
            assert run_command(["bench", "-c", "3", "-p", "4", "-s", "0.3", "--json"]) == 0
            figures = json.loads(capsys.readouterr().out)
            if figures["jobs"] >= 12:
                break
        assert figures["jobs"] >= 12
        assert figures["push_ms_99"] >= figures["push_ms_median"] > 0
        assert run_command(["bench", "-s", "0.2"]) == 0
        assert " jobs/s: " in capsys.readouterr().out
        with WireClient(server.port) as client:
            info = client.info()["faktory"]
            assert info["queues"] == {}, "its queue is gone"
            assert info["total_processed"] >= figures["jobs"]
        assert run_command(["bench", "-c", "0"]) == 2
        assert run_command(["bench", "--size", "-1"]) == 2


def test_a_server_that_is_named_must_be_there_and_let_us_in(examined, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKTORY_URL", "tcp://127.0.0.1:1")
    code, found = examined()
    assert (code, found["server"]["verdict"]) == (1, "bad")
    with ServerProcess(tmp_path / "server", environment={"FAKTORY_PASSWORD": "right"}) as server:
        monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{server.port}")
        code, found = examined()
        assert (code, found["server"]["verdict"]) == (1, "bad")
        assert "asks for a password: set FAKTORY_URL=" in found["server"]["found"]


def test_check_says_that_the_server_has_its_data_elsewhere(tmp_path, monkeypatch, capsys):
    RocksStore(tmp_path / ".lineshaft" / "data").close()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FAKTORY_PROVIDER", "FAKTORY_ENV"):
        monkeypatch.delenv(name, raising=False)
    with ServerProcess(tmp_path / "server") as server:
        monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{server.port}")
        assert run_command(["check"]) == 0
        assert f"the running server has its data in {server.data}" in capsys.readouterr().err
        assert run_command(["check", "-d", str(tmp_path / ".lineshaft" / "data")]) == 0
        assert capsys.readouterr().err == ""


def test_a_load_without_a_server(monkeypatch, capsys):
    monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
    monkeypatch.setenv("FAKTORY_URL", "tcp://127.0.0.1:1")
    assert run_command(["bench", "-s", "0.2"]) == 1
    assert "no server answers" in capsys.readouterr().err
