"""Users of the job port on a real server, with real clients: those that send a user name, and those that cannot."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from acceptance.clients.programs import CLIENTS, Client, a_job, wait_until
from lineshaft.client import Client as OwnClient
from lineshaft.client import job_of
from lineshaft.errors import LineshaftError, Refusal
from lineshaft.protocol.handshake import password_hash
from processes import ServerProcess
from wire_client import WireClient, WireError

pytestmark = pytest.mark.timeout(600)

MASTER = "of-all"
USERS = """
[auth.users.mailer]
password = "mailer-pass"
may = ["push"]
queues = ["mail.*"]
[auth.users.reader]
password = "%s"
may = ["work"]
"""


def config(reader: str) -> str:
    return f'[faktory]\npassword = "{MASTER}"\n{USERS % reader}'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("users"), config("reader-pass")) as server:
        yield server


def url(server: ServerProcess, login: str) -> dict[str, str]:
    return {"FAKTORY_URL": f"tcp://{login}@localhost:{server.port}"}


def client_named(name: str) -> Client:
    chosen = next(client for client in CLIENTS if client.name == name)
    chosen.prepare()
    return chosen


def test_go_s_client_sends_its_user_name(server: ServerProcess) -> None:
    go = client_named("faktory.go")
    mailer = url(server, "mailer:mailer-pass")
    assert go.run(mailer, "push", {"jobs": [a_job("go-000001", queue="mail.out")]}) == {"pushed": 1}
    refused = go.try_run(mailer, "push", {"jobs": [a_job("go-000002", queue="bills")]})
    assert refused.returncode != 0
    assert "user mailer may not use the queue bills" in refused.stderr
    for login in ("mailer:reader-pass", "mailer:of-all", "nobody:mailer-pass", ":mailer-pass"):
        done = go.try_run(url(server, login), "push", {"jobs": [a_job("go-000003", queue="mail.out")]})
        assert done.returncode != 0
        assert "password" in done.stderr.lower()


def test_a_client_that_cannot_send_one_has_the_password_of_all(server: ServerProcess) -> None:
    pyfaktory = client_named("pyfaktory")
    environment = url(server, f":{MASTER}")
    assert pyfaktory.run(environment, "push", {"jobs": [a_job("py-000001", queue="bills")]}) == {"pushed": 1}
    assert pyfaktory.try_run(url(server, ":mailer-pass"), "push", {"jobs": [a_job("py-000002")]}).returncode != 0


def test_our_own_client_sends_it(server: ServerProcess) -> None:
    with OwnClient(url(server, "mailer:mailer-pass")["FAKTORY_URL"]) as client:
        client.push(job_of("Mail").using(queue="mail.own"))
        with pytest.raises(Refusal, match="user mailer may not use the queue bills"):
            client.push(job_of("Mail").using(queue="bills"))
    with (
        pytest.raises(LineshaftError, match="Invalid password"),
        OwnClient(url(server, "mailer:wrong")["FAKTORY_URL"]) as client,
    ):
        client.push(job_of("Mail").using(queue="mail.own"))


def enter(server: ServerProcess, hello: dict[str, object], password: str) -> WireClient:
    """As clients whose libraries are not here say it."""
    wire = WireClient(server.port, hello=None)
    asked = json.loads(wire.greeting.removeprefix(b"+HI "))
    hello = {**hello, "pwdhash": password_hash(password, asked["s"], asked["i"])}
    try:
        wire.command(b"HELLO " + json.dumps(hello).encode())
    except WireError:
        wire.close()
        raise
    return wire


def test_ruby_s_recorded_hello(server: ServerProcess) -> None:
    ruby = {"wid": "", "hostname": "vm", "pid": 7188, "labels": ["ruby-3.1.7"], "username": "mailer", "v": 2}
    with enter(server, ruby, "mailer-pass") as wire:
        assert wire.push("ruby-00001", queue="mail.out") == "OK"
        with pytest.raises(WireError, match="user mailer may not FETCH"):
            wire.fetch("mail.out")
    with enter(server, {**ruby, "username": None}, MASTER) as wire:
        assert wire.push("ruby-00002", queue="bills") == "OK"


def test_a_hangup_takes_other_users_into_effect(server: ServerProcess) -> None:
    file = server.config / "conf.d" / "test.toml"
    with enter(server, {"v": 2, "username": "reader"}, "reader-pass") as wire:
        assert wire.command(b'ACK {"jid":"never-was"}') == "OK"
        try:
            file.write_text(config("another-pass"))
            assert server.process is not None
            os.kill(server.process.pid, signal.SIGHUP)
            wait_until(lambda: "reloaded" in server.log.read_text(), "the reload")
            with pytest.raises((EOFError, OSError)):
                wire.command(b'ACK {"jid":"never-was"}')
            with pytest.raises(WireError, match="Invalid password"):
                enter(server, {"v": 2, "username": "reader"}, "reader-pass")
            enter(server, {"v": 2, "username": "reader"}, "another-pass").close()
        finally:
            file.write_text(config("reader-pass"))
            os.kill(server.process.pid, signal.SIGHUP)
            wait_until(lambda: server.log.read_text().count("reloaded") == 2, "the reload")
