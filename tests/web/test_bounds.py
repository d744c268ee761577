"""What visitors of the pages can make grow has an end: each limit is reached here, and told to who meets it."""

import socket
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path

import pytest

from acceptance.clients.programs import wait_until
from browser.stage import Stage, staged
from lineshaft.config import Secret
from lineshaft.config.model import Web
from lineshaft.config.tables import keys_of
from lineshaft.web import connection as lines
from lineshaft.web.access import security
from lineshaft.web.figures.pulse import MOST_WATCHERS
from lineshaft.web.pages.exports import MOST_EXPORTS
from lineshaft.web.pages.streams import MOST_STREAMS
from web.asking import ask

ASK = b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"
ASK_HEALTH = ASK.replace(b"/stats", b"/health/live")


def knock(stage: Stage) -> socket.socket:
    return socket.create_connection(("127.0.0.1", stage.web_port), timeout=30)


def status(connection: socket.socket) -> int:
    """Ask, and read the whole answer."""
    connection.sendall(ASK)
    answer = HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def rest(connection: socket.socket) -> bytes:
    """What comes until the other end closes."""
    received = b""
    while data := connection.recv(4096):
        received += data
    return received


def test_one_too_many(tmp_path: Path) -> None:
    with staged(tmp_path, web=Web(connections=2)) as stage, knock(stage) as first, knock(stage) as second:
        assert status(first) == 200
        assert status(second) == 200
        with knock(stage) as third:
            third.sendall(ASK)
            refused = rest(third)
        assert refused.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 5\r\n" in refused
        assert refused.endswith(b"\r\n\r\ntoo many connections to this server: try again later\n")
        assert status(first) == 200, "who is there is served as before"
        with knock(stage) as silent:
            assert rest(silent) == b"", "one that says nothing is closed"
        with knock(stage) as probe:
            probe.sendall(2 * ASK_HEALTH)
            alive = rest(probe)
        assert alive.startswith(b"HTTP/1.1 200 OK\r\n"), "nobody is to restart a server because it is much asked"
        assert alive.count(b"HTTP/1.1") == 1, "once, and it is closed"
        second.sendall(ASK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        rest(second)
        with knock(stage) as fourth:
            assert status(fourth) == 200


def test_one_that_asks_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "ASK_SECONDS", 0.5)
    with staged(tmp_path) as stage:
        with knock(stage) as silent:
            assert rest(silent) == b""
        with knock(stage) as slow:
            slow.sendall(ASK[:20])
            assert rest(slow) == b""
        with knock(stage) as again:
            assert status(again) == 200
            again.sendall(ASK[:20])
            assert rest(again) == b"", "the second request has as much time as the first"


@pytest.mark.parametrize("asked", [2000, 30], ids=["more than is taken on its way", "less"])
def test_one_that_reads_nothing_loses_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int) -> None:
    monkeypatch.setattr(lines, "READ_SECONDS", 0.1)
    monkeypatch.setattr(lines, "ASK_SECONDS", 0.2)
    with staged(tmp_path, web=Web(connections=1)) as stage, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect(("127.0.0.1", stage.web_port))
        with suppress(ConnectionError):
            deaf.sendall(asked * ASK.replace(b"/stats", b"/static/app.css"))
        wait_until(lambda: is_let_in(stage), "it keeps its place")


def is_let_in(stage: Stage) -> bool:
    with knock(stage) as other:
        return status(other) == 200


def test_streams_leave_room_for_operators() -> None:
    kind = keys_of(Web)["connections"].kind
    streams = MOST_WATCHERS + MOST_STREAMS + MOST_EXPORTS
    assert kind.read(600) - streams >= 50
    assert kind.allowed == "a whole number from 600 to 1000000"


def test_event_streams(stage: Stage) -> None:
    stage.site.pulse.watchers, stage.site.streams = MOST_WATCHERS, MOST_STREAMS
    try:
        watching, searching = ask(stage.web_port, "/live"), ask(stage.web_port, "/retries?stream=1")
    finally:
        stage.site.pulse.watchers = stage.site.streams = 0
    assert (watching.status, watching.text) == (503, "too many are watching")
    assert (searching.status, searching.text) == (503, "too many searches at once")


def test_a_form_that_is_too_long(stage: Stage) -> None:
    answer = ask(stage.web_port, "/retries", form={"action": "retry", "jid": "x" * (2 << 20)})
    assert answer.status == 400
    assert "a form has at most 2 MiB" in answer.text


def test_guesses_that_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "MOST_WAITING", 0)
    with staged(tmp_path, web=Web(password=Secret("right"))) as stage:
        assert ask(stage.web_port, "/", Authorization="Basic d3Jvbmc6d3Jvbmc=").status == 429
