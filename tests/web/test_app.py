"""The web application in a real server: what it shows, what it refuses, whom it asks for a password."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from processes import ServerProcess
from wire_client import WireClient


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("web"), web=True) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    config = '[faktory]\npassword = "wire"\n[web]\npassword = "page"\n'
    with ServerProcess(tmp_path_factory.mktemp("guarded"), config, web=True) as running:
        yield running


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:  # type: ignore[override]
        return None


def ask(server: ServerProcess, path: str, *, form: str | None = None, **headers: str) -> tuple[int, bytes]:
    data = form.encode() if form is not None else None
    request = urllib.request.Request(f"http://127.0.0.1:{server.web_port}{path}", data, headers)
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()


def test_stats_is_what_info_gives(server: ServerProcess) -> None:
    status, body = ask(server, "/stats")
    assert status == 200
    with WireClient(server.port) as client:
        assert json.loads(body).keys() == client.info().keys()


def test_health_is_small(server: ServerProcess) -> None:
    status, body = ask(server, "/health")
    assert status == 200
    assert json.loads(body).keys() == {"now", "server"}


def test_a_worker_is_quieted_and_terminated(server: ServerProcess) -> None:
    with WireClient(server.port, {"v": 2, "wid": "web-w1", "hostname": "h", "pid": 1, "labels": []}) as worker:
        assert worker.command(b'BEAT {"wid":"web-w1"}') == "OK"
        status, _ = ask(server, "/busy", form="signal=quiet&wid=web-w1")
        assert status == 302
        assert worker.command(b'BEAT {"wid":"web-w1"}') == b'{"state":"quiet"}'
        assert ask(server, "/busy", form="signal=terminate&wid=all")[0] == 302
        assert worker.command(b'BEAT {"wid":"web-w1"}') == b'{"state":"terminate"}'
        ask(server, "/busy", form="signal=quiet&wid=web-w1")
        assert worker.command(b'BEAT {"wid":"web-w1"}') == b'{"state":"terminate"}', "a state never goes back"


@pytest.mark.parametrize("form", ["", "signal=quiet", "signal=dance&wid=all", "wid=all"])
def test_a_bad_form_is_refused(server: ServerProcess, form: str) -> None:
    assert ask(server, "/busy", form=form)[0] == 400


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_sites_form_is_refused(server: ServerProcess, headers: dict[str, str]) -> None:
    assert ask(server, "/busy", form="signal=quiet&wid=all", **headers)[0] == 403


def test_the_page_has_its_own_password(guarded: ServerProcess) -> None:
    assert ask(guarded, "/stats")[0] == 401
    assert ask(guarded, "/stats", Authorization=basic("wire"))[0] == 401
    assert ask(guarded, "/stats", Authorization="Basic ???")[0] == 401
    assert ask(guarded, "/stats", Authorization=basic("page"))[0] == 200
    assert ask(guarded, "/busy", form="signal=quiet&wid=all")[0] == 401
    assert ask(guarded, "/health")[0] == 200, "a load balancer knows no password"
