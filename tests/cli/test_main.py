"""The entry point: help, version, exit codes, one line for what went wrong, and what is not imported."""

import io
import subprocess
import sys

import pytest

from lineshaft import __version__
from lineshaft.cli.app import COMMANDS
from lineshaft.cli.main import run_command

NOBODY = "tcp://:hunter2@127.0.0.1:1"


@pytest.fixture(autouse=True)
def a_server_that_is_not_there(monkeypatch):
    monkeypatch.delenv("FAKTORY_PROVIDER", raising=False)
    monkeypatch.setenv("FAKTORY_URL", NOBODY)


def failure(capsys, code, *words):
    """The line on stderr of a command that fails with `code`, without `lineshaft: ` and newline."""
    assert run_command(words) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("lineshaft: ")
    assert said.err.count("\n") == 1
    return said.err.removeprefix("lineshaft: ").rstrip("\n")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(capsys, words):
    assert run_command(words) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Usage: lineshaft COMMAND")
    for command in COMMANDS:
        assert f" {command} " in said.out
    assert said.err == ""


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (
            "serve",
            [
                "--binding -b",
                "--web -w",
                "--data -d",
                "--config -c",
                "--environment -e",
                "--log-level -l",
                "--log-format",
                "--ephemeral",
            ],
        ),
        (
            "push",
            ["JOBTYPE", "ARGS", "--queue", "--at", "--priority", "--custom", "--retry", "--reserve-for", "--jid"],
        ),
        ("info", ["--json"]),
        ("top", ["--every -n", "--count -c", "--json"]),
        ("queues", ["list", "pause", "resume", "remove"]),
        (
            "jobs",
            ["list", "show", "requeue", "kill", "delete", "--in -i", "--queue -q", "--type -t", "--text", "--error"],
        ),
        ("workers", ["list", "quiet", "terminate"]),
        ("batch", ["status"]),
        ("cron", ["list", "run", "pause", "resume"]),
        ("doctor", ["--data -d", "--config -c", "--environment -e", "--json"]),
        ("bench", ["--connections -c", "--in-flight -p", "--seconds -s", "--size", "--json"]),
        ("completion", ["SHELL"]),
        ("backup", ["DIR", "--json"]),
        ("restore", ["DIR", "--data -d", "--environment -e", "--no-check", "--json"]),
        ("export", ["--data -d", "--environment -e", "--output -o"]),
        ("import", ["FILE", "--json"]),
        ("import-faktory", ["URL", "--dry-run", "--only", "--no-marks", "--json"]),
        ("check", ["--data -d", "--environment -e", "--salvage", "--json"]),
        ("flush", ["--yes -y"]),
    ],
)
def test_each_command_explains_itself(capsys, command, flags):
    assert run_command([command, "--help"]) == 0
    said = capsys.readouterr().out
    for flag in flags:
        assert flag in said
    assert "--no-" not in said.replace("--no-check", "").replace("--no-marks", "")


@pytest.mark.parametrize("words", [["-v"], ["--version"], ["serve", "-v"], ["serve", "--version"]])
def test_version(capsys, words):
    assert run_command(words) == 0
    assert capsys.readouterr().out == f"lineshaft {__version__}\n"


@pytest.mark.parametrize(
    ("words", "begins"),
    [
        (["bake"], 'Unknown command "bake".'),
        (["serve", "--nope"], "Unknown option: --nope."),
        (["serve", "-e", "prod"], 'Invalid value "prod" for -e.'),
        (["serve", "-b"], 'Command "serve" parameter -b requires an argument.'),
        (["push"], 'Command "push" parameter JOBTYPE requires an argument.'),
        (["push", "T", "--retry", "x"], 'Invalid value for --retry: unable to convert "x" into int.'),
    ],
)
def test_wrong_words_are_usage_errors(capsys, words, begins):
    said = failure(capsys, 2, *words)
    assert said.startswith(begins)
    command = "" if words[0] == "bake" else f"{words[0]} "
    assert said.endswith(f"(see: lineshaft {command}--help)")


@pytest.mark.parametrize(
    ("words", "help"), [("check PATH", "check"), ("jobs show", "jobs show"), ("jobs nope", "jobs")]
)
def test_wrong_words_lead_to_the_help_of_their_command(capsys, words, help):
    assert failure(capsys, 2, *words.split()).endswith(f"(see: lineshaft {help} --help)")


def test_a_backup_needs_a_name(capsys):
    assert failure(capsys, 2, "backup", "").startswith("DIR is empty (from a shell variable that is not set?)")


def test_a_configuration_that_cannot_be_is_a_usage_error(capsys, tmp_path):
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text("[storage]\nsink = 1\n")
    said = failure(capsys, 2, "serve", "-c", str(tmp_path), "-d", str(tmp_path / "data"))
    assert said.startswith(f"{tmp_path}/conf.d/a.toml: storage.sink is not a key;")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("words", [["info"], ["push", "T"], ["flush", "--yes"]])
def test_a_missing_server_is_told_with_what_to_do(capsys, words):
    assert failure(capsys, 1, *words) == (
        "no server answers at tcp://127.0.0.1:1: start one with `lineshaft serve`, or set FAKTORY_URL"
    )


def test_a_url_that_is_none_is_a_usage_error(capsys, monkeypatch):
    monkeypatch.setenv("FAKTORY_URL", "http://:hunter2@localhost")
    said = failure(capsys, 2, "info")
    assert "tcp://" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["T", "hello"], "ARGS must be JSON (a string needs its own quotes: '\"text\"'), not hello"),
        (["T", "--custom", "[]"], "--custom must be a JSON object, not []"),
        (["T", "--priority", "0"], "--priority must be from 1 to 9, 9 first, not 0"),
    ],
)
def test_a_job_that_cannot_be_is_not_sent(capsys, words, said):
    assert failure(capsys, 2, "push", *words) == said


def test_flush_asks_nobody_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert failure(capsys, 2, "flush") == (
        "this deletes every job, queue and counter on tcp://127.0.0.1:1, and there is no terminal to ask on: add --yes"
    )


def python(code):
    """What a fresh interpreter prints for `code`, and its exit code."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr, done.returncode


def test_importing_the_entry_point_imports_little():
    said, code = python(
        "import sys, lineshaft.cli.main\n"
        "heavy = 'rocksdict uvloop rich cyclopts msgspec asyncio starlette uvicorn'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert (said, code) == ("[]\n", 0)


def test_a_command_does_not_import_the_server_or_the_others():
    said, code = python(
        "import sys\nfrom lineshaft.cli.main import run_command\nrun_command(['push', 'T', 'x'])\n"
        "heavy = 'rocksdict uvloop rich asyncio starlette uvicorn lineshaft.cli.serve lineshaft.engine'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    assert said.startswith("[]\n")
    assert code == 0


def without(module):
    """An interpreter in which a module is not installed, and a runner of commands."""
    return (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from lineshaft.cli.main import run_command\n"
    )


def test_without_the_extra_the_command_line_says_what_to_install():
    said, code = python(without("cyclopts") + "sys.exit(run_command(['info']))")
    assert (said, code) == ("lineshaft: the command line is part of the server: pip install 'lineshaft[server]'\n", 1)


def test_without_the_store_the_server_says_what_to_install(tmp_path):
    words = ["serve", "-c", str(tmp_path), "-d", str(tmp_path)]
    said, code = python(without("rocksdict") + f"sys.exit(run_command({words!r}))")
    assert (said, code) == (
        "lineshaft: the server needs rocksdict, which is not installed: pip install 'lineshaft[server]'\n",
        2,
    )
