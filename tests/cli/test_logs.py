"""The log as lines for people and as JSON lines, of a real server and of what goes wrong."""

import json
import logging
import os
import signal
import subprocess
import sys

from acceptance.clients.programs import wait_until
from lineshaft.cli.logs import JsonLines
from processes import ServerProcess


def test_a_server_that_logs_json(tmp_path):
    with ServerProcess(tmp_path, '[log]\nformat = "json"\n') as server:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the configuration was reloaded" in server.log.read_text(), "the reload")
        server.stop()
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (reloaded,) = [line for line in lines if line["message"] == "the configuration was reloaded"]
    assert (reloaded["level"], reloaded["logger"]) == ("info", "lineshaft.daemon")
    assert reloaded["at"].endswith("Z")


def test_the_flag_wins(tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text('[log]\nformat = "json"\nlevel = "error"\n')
    command = [sys.executable, "-m", "lineshaft", "serve", "-b", "127.0.0.1:0", "-w", ":0", "-c", str(tmp_path)]
    command += ["-d", str(tmp_path / "data"), "--log-format", "console", "-l", "info"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert running.stdout.readline().startswith("Lineshaft ")
        wait_until((tmp_path / "data" / "CURRENT").exists, "the store")
        running.send_signal(signal.SIGHUP)
        assert " INFO lineshaft.daemon: the configuration was reloaded" in running.stderr.readline()
    finally:
        running.kill()
        running.communicate()


def record(level, message, *arguments, exc_info=None):
    return logging.LogRecord("lineshaft.x", level, "x.py", 1, message, arguments, exc_info)


def test_one_line_whatever_is_in_it():
    said = JsonLines().format(record(logging.WARNING, "a %s\nb", 'quote " and é'))
    assert "\n" not in said
    assert json.loads(said)["message"] == 'a quote " and é\nb'
    assert json.loads(said)["level"] == "warn"
    assert "error" not in json.loads(said)
    try:
        raise ZeroDivisionError("as ordered")
    except ZeroDivisionError:
        said = JsonLines().format(record(logging.ERROR, "it broke", exc_info=sys.exc_info()))
    assert "\n" not in said
    assert "ZeroDivisionError: as ordered" in json.loads(said)["error"]
