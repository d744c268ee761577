"""Without a password the pages answer to names that nobody else can have (DNS rebinding)."""

import socket
from pathlib import Path

import pytest

from browser.stage import Stage, staged
from lineshaft.config import Secret
from lineshaft.config.model import Web
from lineshaft.web.access.hosts import is_ours
from web.asking import ask


@pytest.mark.parametrize(
    "host",
    [None, "localhost", "localhost:7420", "LocalHost.", "127.0.0.1:7420", "[::1]:7420", "10.1.2.3", "jobs:7420",
     "a.localhost:1", socket.gethostname(), "jobs.example.com", "JOBS.example.com:443"],
)  # fmt: skip
def test_ours(host: str | None) -> None:
    assert is_ours(host, {"jobs.example.com"})


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:7420", "127.0.0.1.evil.example", "localhost.evil.example",
     "jobs.example.com.evil.example", "[::1].evil.example", "evil.example:80:80", "127.0.0.1:x", "a b.c"],
)  # fmt: skip
def test_not_ours(host: str) -> None:
    assert not is_ours(host, {"jobs.example.com"})


def test_another_name_is_turned_away(stage: Stage) -> None:
    for path in ("/", "/api/v1/overview", "/metrics", "/live", "/stats"):
        answer = ask(stage.web_port, path, Host="evil.example")
        assert answer.status == 421, path
        assert "hosts" in answer.text
    rebound = ask(
        stage.web_port, "/queues/x", form={"action": "delete"}, Host="evil.example", Origin="http://evil.example"
    )
    assert rebound.status == 421
    assert ask(stage.web_port, "/health", Host="evil.example").status == 200
    assert ask(stage.web_port, "/", Host="localhost").status == 200


def test_with_a_password_any_name_will_do(tmp_path: Path) -> None:
    with staged(tmp_path, web=Web(password=Secret("s"))) as guarded:
        answer = ask(guarded.web_port, "/", Host="jobs.example.com", Authorization="Basic YTpz")
        assert answer.status == 200


def test_names_of_the_configuration(tmp_path: Path) -> None:
    with staged(tmp_path, web=Web(hosts=("Jobs.Example.com",))) as open_to_all:
        assert ask(open_to_all.web_port, "/", Host="jobs.example.com").status == 200
        assert ask(open_to_all.web_port, "/", Host="example.com").status == 421
