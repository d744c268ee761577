"""docs/howto/periodic.md: its example is a configuration, and the server does with it what the page says."""

import signal
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from docs.pages import blocks, read, section, table
from harness import Harness
from lineshaft.config import Config, Flags, load_config
from lineshaft.engine.agenda.run import run_jid
from lineshaft.schedule import Schedule
from lineshaft.settings import engine_settings
from processes import ServerProcess
from wire_client import WireClient

PAGE = read("docs/howto/periodic.md")
EXAMPLE = blocks(PAGE, "toml")[0].text


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "cron.toml").write_text(EXAMPLE)
    return load_config(Flags(config=str(tmp_path)), {"HOME": str(tmp_path)})


def test_the_example(config: Config) -> None:
    nightly, poll, cleanup = config.cron
    assert (nightly.identity, nightly.catch_up, nightly.job.reserve_for_seconds) == ("nightly-report", "once", 7200)
    assert nightly.job.args == ["daily", {"format": "pdf"}]
    assert (poll.schedule, poll.job.retry) == ("*/10 * * * * *", 0)
    assert cleanup.job.jobtype == "Cleanup"


def test_the_jid_and_the_night_that_is_longer(config: Config) -> None:
    nightly = config.cron[0]
    due = Schedule(nightly.schedule, nightly.tz).next(1_792_843_200_000)
    assert due is not None
    assert f"`{run_jid(nightly.identity, due)}`" in PAGE


def test_no_two_at_the_same_time(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "cron.toml").write_text(blocks(PAGE, "toml")[1].text)
    rules = engine_settings(load_config(Flags(config=str(tmp_path)), {"HOME": str(tmp_path)}))
    box = Harness(rules=rules)
    box.advance(600)
    (shown,) = box.connect().ask_json("CRON LIST")
    assert (shown["runs"], shown["skipped"]) == (1, 1)


def test_a_pause_as_the_page_has_it(config: Config) -> None:
    peer = Harness(rules=engine_settings(config)).connect()
    command, reply = blocks(PAGE, "")[0].text.splitlines()
    assert peer.ask(command) == reply.encode() + b"\r\n"
    assert {each["name"]: each["paused"] for each in peer.ask_json("CRON LIST")}["nightly-report"]


def test_what_each_field_may_be() -> None:
    rows = table(section(PAGE, "Schedules"), head="Field")
    assert [cells[0].removesuffix(" (optional)") for cells in rows] == [
        "second",
        "minute",
        "hour",
        "day",
        "month",
        "weekday",
    ]
    for expression in [
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 * * 5L",
        "0 0 * * MON#2",
        "0 0 1 JAN-DEC SUN-SAT",
        "0 0 1,15 * 0,7",
    ]:
        assert Schedule(expression)


def test_a_running_server(tmp_path: Path) -> None:
    poll = EXAMPLE.replace("*/10", "*")
    with ServerProcess(tmp_path, poll) as server, WireClient(server.port) as wire:
        assert server.process is not None
        jobs = []
        # On the hour there is one of the hourly jobs, too.
        wait_until(
            lambda: (job := wire.fetch()) is not None and job["jobtype"] == "Poll" and not jobs.append(job), "a poll"
        )
        assert jobs[0]["jid"].startswith("cron-")
        file = server.config / "conf.d" / "test.toml"
        log = server.log.read_text

        file.write_text(poll.replace("@hourly", "@often"))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded" in log(), "a refused reload")
        assert f"{file}: cron[3].schedule must be " in log()

        file.write_text(poll.replace("Poll", "Other"))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: (job := wire.fetch()) is not None and job["jobtype"] == "Other", "the changed job")
        assert server.stop() == 0
