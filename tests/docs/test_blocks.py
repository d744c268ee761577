"""Every block of code of every page is run, or checked against the thing itself, or listed here with the reason.

`RUN_ELSEWHERE` are those that a test of their own runs: by page and language, how many there are, so that a new one is
not taken for run because others of its kind are. `EXEMPT` are those that nothing runs. What is in neither is run by the
tests of this file and of `test_block_programs.py`; a block of a language that neither knows fails.
"""

import fnmatch
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cluster.box import Box
from docs.pages import ROOT, Block, every_block, read
from harness import Harness, Peer
from lineshaft.cli.main import run_command
from lineshaft.client import Client
from lineshaft.cluster.status import status_of, summary_of
from lineshaft.config import Flags, load_config
from processes import ServerProcess

RUN_ELSEWHERE: Final = {
    # Played from the first block to the last, so that new ones are played too.
    ("README.md", "sh"): (3, "test_readme.py"),
    ("README.md", "python"): (2, "test_readme.py"),
    ("README.md", "js"): (1, "test_readme.py"),
    ("docs/tutorial.md", "sh"): (7, "test_python.py"),
    ("docs/tutorial.md", "python"): (4, "test_python.py"),
    ("docs/tutorial.md", "text"): (6, "test_python.py"),
    ("docs/howto/python-client.md", "python"): (9, "test_python.py"),
    ("docs/howto/python-client.md", "text"): (5, "test_python.py"),
    ("docs/howto/python-worker.md", "python"): (5, "test_python.py"),
    ("docs/howto/python-worker.md", "sh"): (1, "test_python.py"),
    ("docs/howto/python-testing.md", "python"): (2, "test_python.py"),
    ("docs/howto/python-testing.md", "sh"): (1, "test_python.py"),
    ("docs/howto/python-frameworks.md", "python"): (3, "../examples/test_examples.py"),
    # Its commands, one by one.
    ("examples/django/README.md", "sh"): (1, "../examples/test_examples.py"),
    ("docs/howto/backup.md", "sh"): (3, "test_howto_backup.py"),
    ("docs/howto/plugins.md", "python"): (1, "../test_plugins.py"),
    ("docs/howto/plugins.md", "toml"): (2, "../test_plugins.py"),
    ("docs/howto/batches.md", "go"): (1, "../acceptance/test_howto_batches.py"),
    ("docs/howto/batches.md", "rust"): (1, "../acceptance/test_howto_batches.py"),
    ("docs/howto/batches.md", "javascript"): (1, "../acceptance/test_howto_batches.py"),
    ("docs/howto/batches.md", "python"): (2, "../acceptance/test_howto_batches.py"),
    ("docs/howto/periodic.md", ""): (1, "test_periodic.py"),
    ("docs/howto/weights.md", ""): (1, "test_howto_throttles.py"),
    ("docs/howto/migrate-from-faktory.md", "sh"): (5, "test_howto_migrate.py"),
    ("docs/howto/migrate-from-faktory.md", "text"): (2, "test_howto_migrate.py"),
    ("docs/command-line.md", "text"): (1, "test_howto_backup.py"),
    ("docs/format.md", "hex"): (26, "test_format.py"),
    ("docs/format.md", "json"): (2, "test_format.py"),
    ("docs/lifecycle.md", "mermaid"): (1, "../engine/test_lifecycle.py"),
}

EXEMPT: Final = {
    (
        "docs/howto/*.md",
        "ruby",
    ): "the registry of Ruby's gems cannot be reached from where this is built: neither library"
    " nor server of ours is run by them; what the library sends is replayed from tests/wire/transcripts/clients",
    ("docs/howto/throttles.md", "sh"): "the same: a worker of Ruby's library",
    (
        "docs/howto/deploying.md",
        "sh",
    ): "they change the machine: accounts, units, a container engine, a cluster. The files"
    " that they install are checked by tests/deploy, the names in the commands by test_what_deploying_names",
    ("docs/howto/backup.md", "text"): "a line of a crontab: its two commands are the page's others",
    ("docs/decisions/README.md", ""): "a template of prose",
    ("docs/internals.md", ""): "pictures: layers (those are in pyproject.toml, and `make layers` holds them) and turns",
    ("docs/security.md", ""): "a picture",
    (
        "docs/howto/cluster.md",
        "",
    ): "a picture, what installs packages, and the configuration of NATS, which is not ours:"
    " the tests of tests/cluster start theirs with one of their own",
}

#: The languages of which every other block is run: by this file, or by `test_block_programs.py`.
RUN_HERE: Final = {"toml", "yaml", "json", "sh", "", "go", "rust", "javascript", "python"}


def is_exempt(page: str, language: str) -> bool:
    return any(fnmatch.fnmatch(page, pattern) and language == kind for pattern, kind in EXEMPT)


def rest(language: str) -> list[tuple[str, Block]]:
    """The blocks of a language that are to be run here."""
    return [
        (page, block)
        for page, block in every_block()
        if block.language == language and (page, language) not in RUN_ELSEWHERE and not is_exempt(page, language)
    ]


def names(value: Any) -> str:
    return value if isinstance(value, str) else ""


def test_no_block_is_left_out() -> None:
    found: dict[tuple[str, str], int] = {}
    for page, block in every_block():
        found[page, block.language] = found.get((page, block.language), 0) + 1
    for key, (number, where) in RUN_ELSEWHERE.items():
        assert found.get(key) == number, f"{key}: have {where} run the new ones, and count them here"
        text = (Path(__file__).parent / where).read_text("utf-8")
        assert key[0] in text or Path(key[0]).name in text, f"{where} does not speak of {key[0]}"
    unknown = {key for key in found if key not in RUN_ELSEWHERE and not is_exempt(*key) and key[1] not in RUN_HERE}
    assert not unknown, "run them, or say in EXEMPT why not"


def test_an_exemption_that_nothing_needs_goes() -> None:
    keys = {(page, block.language) for page, block in every_block()}
    idle = [one for one in EXEMPT if not any(fnmatch.fnmatch(page, one[0]) and kind == one[1] for page, kind in keys)]
    assert idle == []


# Configuration


@pytest.mark.parametrize(("page", "block"), rest("toml"), ids=names)
def test_a_configuration_can_be_loaded(page: str, block: Block, tmp_path: Path) -> None:
    del page
    (tmp_path / "conf.d").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("hushhush-hushhush-hushhush\n")
    text = re.sub(r'"/run/secrets/\w+"', f'"{secret}"', block.text)
    # What a reader is to put in the place of three dots.
    text = text.replace("p=4$...", "p=4$c2FsdHNhbHRzYWx0$" + "A" * 43).replace(
        '"sha256:6f2c..."', f'"sha256:{"0" * 64}"'
    )
    text = text.replace('"3f7a9c..."', '"3f7a9c' + "0" * 58 + '"')
    assert "..." not in text
    (tmp_path / "conf.d" / "page.toml").write_text(text)
    load_config(Flags(config=str(tmp_path)), {"HOME": str(tmp_path)})


@pytest.mark.parametrize(("page", "block"), rest("yaml"), ids=names)
def test_yaml_is_what_it_says(page: str, block: Block) -> None:
    assert page == "docs/howto/http-api.md"
    (job,) = yaml.safe_load(block.text)["scrape_configs"]
    assert job["job_name"] == "lineshaft"
    assert job["static_configs"][0]["targets"] == ["jobs.example.com:7420"]
    assert Path(job["authorization"]["credentials_file"]).is_absolute()


# The wire

JID = "job-00001"
FAIL_FIELDS = '{"jid":"job-00001","jobtype":"T","args":[],"custom":{"track":1}}'


def a_running_job(box: Harness) -> Peer:
    peer = box.connect('{"v":2,"wid":"worker-1","features":["cancel"]}')
    assert peer.ask(f"PUSH {FAIL_FIELDS}") == b"+OK\r\n"
    assert peer.ask_json("FETCH default")["jid"] == JID
    return peer


def shape(value: Any) -> Any:
    """What must be alike in a reply and its example: the names, and the kinds of values."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


#: What a page's conversations find on the server.
BEFORE: Final = {
    "docs/howto/batches.md": (),
    "docs/howto/cancelling.md": ("CANCEL",),
    "docs/howto/retries.md": (),
    "docs/howto/tracking.md": ('TRACK SET {"jid":"job-00001","percent":1,"desc":"page"}',),
}


@pytest.mark.parametrize(("page", "block"), [one for one in rest("") if one[0] in BEFORE], ids=names)
def test_a_conversation(page: str, block: Block) -> None:
    box = Harness()
    peer = a_running_job(box)
    for line in BEFORE[page]:
        peer.ask(line if "{" in line else f'{line} {{"jid":"{JID}"}}')
    bid = ""
    if page.endswith("batches.md") and "BATCH NEW" not in block.text:
        bid = peer.ask('BATCH NEW {"description":"import 42","success":{"jobtype":"a","args":[]}}').split()[1].decode()
        peer.ask("PUSH " + json.dumps({"jid": "job-00002", "jobtype": "i", "args": [], "custom": {"bid": bid}}))
    lines = block.text.splitlines()
    number = 0
    while lines:
        command = lines.pop(0)
        assert re.match(r"[A-Z]+ ", command), command
        number += 1
        jid = f"pushed-{number:02d}" if command.startswith("PUSH") else JID
        said = command.replace('"jid":"..."', f'"jid":"{jid}"').replace("GET JID", f"GET {JID}")
        said = re.sub(r"b-00000000a1k3v9qt", lambda _: bid, said)  # noqa: B023 - called at once
        reply = (box.connect(None) if command.startswith("HELLO") else peer).ask(said).decode()
        shown = lines.pop(0) if lines and not re.match(r"[A-Z]+ ", lines[0]) else None
        got = reply.splitlines()[-1]
        assert not got.startswith("-"), (command, reply)
        if shown is None:
            continue
        if shown.startswith("{"):
            assert shape(json.loads(got)) == shape(json.loads(shown)), (command, reply)
        elif shown.startswith("b-"):
            assert re.fullmatch(r"b-\w+", got)
            assert len(got) == len(shown)
            bid = got
        else:
            assert got == shown


def test_protocol_conversations() -> None:
    greetings, formula = [block.text for page, block in rest("") if page == "docs/protocol.md"]
    plain = Harness().connect(None).take().decode() or greeting(Harness())
    assert plain.split("\r\n")[0] == greetings.splitlines()[0].split("  ")[0]
    with_password = json.loads(greetings.splitlines()[1].split("  ")[0].removeprefix("+HI "))
    assert (with_password["v"], with_password["i"] >= 1, len(with_password["s"])) == (2, True, 16)
    assert " ".join(formula.split()) == "retry_count^4 + 15 + rand(0..29) * (retry_count + 1) seconds"


def greeting(box: Harness) -> str:
    peer = Peer(box)
    peer.session = box.server.accept(peer)
    box.settle()
    return peer.take().decode()


def test_protocol_replies() -> None:
    replies = [json.loads(block.text) for page, block in rest("json") if page == "docs/protocol.md"]
    info, member, backup, adopt = replies
    box = Harness()
    peer = box.connect()
    peer.ask('PUSH {"jid":"job-00001","jobtype":"T","args":[]}')
    assert shape(peer.ask_json("INFO")) == shape(info)
    nodes = Box("ab")
    leader = nodes.leader()
    nodes.advance(1)
    assert shape(summary_of(status_of("jobs", "a", leader.node, 0))) == shape(member["cluster"])
    job = {"jid": "job-00002", "jobtype": "T", "args": []}
    jobs = [job, {**job, "jid": "job-00001"}, {"jid": "job-00003", "args": []}, {"jid": "job-00004", "args": []}, job]
    adopted = peer.ask_json("ADOPT " + json.dumps([{"job": one} for one in jobs]))
    del adopted["refused"]["3"]
    assert adopted == adopt
    assert set(backup) == {"dir", "taken_at", "files", "bytes", "seconds"}


# Shells


@pytest.mark.parametrize(("page", "block"), [*rest("sh"), *rest("")], ids=names)
def test_a_target_of_make_exists(page: str, block: Block) -> None:
    lines = [line.partition("#")[0].strip() for line in block.text.splitlines()]
    # What comes from the system's packages is installed by whoever types it.
    lines = [line for line in lines if not line.startswith("apt install ")]
    if not all(line.startswith(("make", ".venv/bin/python bench/")) for line in lines):
        assert page in {*BEFORE, "docs/protocol.md", "docs/howto/http-api.md", "docs/command-line.md"}, page
        return
    for line in lines:
        if not line.startswith("make"):
            program, *words = shlex.split(line)
            assert program == ".venv/bin/python"
            usage = subprocess.run(
                [sys.executable, words[0], "--help"], cwd=ROOT, capture_output=True, text=True, check=True
            )
            flags = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert flags <= set(re.findall(r"--[\w-]+", usage.stdout)), line
            continue
        planned = subprocess.run([*shlex.split(line), "-n"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert planned.stdout or line == "make", line


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    token = '[api.tokens.shop]\ntoken = "a-token-of-some-length-a-token-of-some-length"\nscopes = ["push"]\n'
    with ServerProcess(tmp_path, token, web=True) as running:
        yield running
        assert running.stop() == 0


def test_what_the_command_line_shows(
    server: ServerProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As typed, but in this process: a shell would start Python anew for each line."""
    monkeypatch.setenv("FAKTORY_URL", f"tcp://127.0.0.1:{server.port}")
    blocks = [block.text for page, block in rest("sh") if page == "docs/command-line.md"]
    lines = [line for text in blocks for line in text.splitlines()]
    assert run_command(["push", "bounce", '"bounce"', "--queue", "mail"]) == 0
    for line in lines:
        command, pipe, filter_ = line.partition(" | ")
        command, to_file, file = command.partition(" > ")
        program, *words = shlex.split(command, comments=True)
        assert program == "lineshaft"
        # It asks before it changes something; here is nobody to answer.
        words += ["--yes"] if {"requeue", "delete"} & set(words) else []
        capsys.readouterr()
        assert run_command(words) == 0, line
        printed = capsys.readouterr().out
        if pipe:
            filtered = subprocess.run(
                shlex.split(filter_), input=printed, capture_output=True, text=True, check=True, timeout=20
            )
            assert "mail" not in filtered.stdout, "it does not wait for long"
        if to_file:
            assert Path(file.strip('"')).name in {"lineshaft", "_lineshaft", "lineshaft.fish"}
            assert "lineshaft" in printed
    with Client() as client:
        assert client.info()["faktory"]["queues"] == {"mail": 0}, "the last of them has deleted it"


def test_a_push_with_curl(server: ServerProcess) -> None:
    ((page, block),) = [one for one in rest("") if "curl" in one[1].text]
    assert page == "docs/howto/http-api.md"
    command, _, reply = block.text.removeprefix("$ ").partition("\n{")
    command = command.replace(":7420/", f":{server.web_port}/").replace("curl ", "curl --silent --show-error ", 1)
    environment = {"TOKEN": "a-token-of-some-length-a-token-of-some-length", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert shape(json.loads(done.stdout)) == shape(json.loads("{" + reply))


def test_what_deploying_names() -> None:
    text = read("docs/howto/deploying.md")
    named = re.findall(r"packaging/[\w./-]+", text)
    assert named
    assert [name for name in named if not (ROOT / name.rstrip("/.")).exists()] == []
    units = {path.name for path in (ROOT / "packaging" / "systemd").iterdir()}
    assert set(re.findall(r"lineshaft[\w-]*\.(?:service|timer)", text)) <= units
    manifest = list(yaml.safe_load_all(read("packaging/kubernetes/lineshaft.yaml")))
    secrets = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for document in manifest
        for container in document.get("spec", {}).get("template", {}).get("spec", {}).get("containers", [])
        for variable in container.get("env", [])
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    assert secrets <= set(re.findall(r"create secret generic (\S+)", text))
