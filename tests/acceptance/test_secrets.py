"""Nothing secret leaves a real server: no password and nothing of a job's content is in its log, pages or refusals.

The run has a bit of everything: good and bad logins on both ports, jobs of every kind, commands that are refused,
bulk actions, a reload that fails and one that does not.
"""

import base64
import html
import json
import os
import signal
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from acceptance.clients.programs import wait_until
from lineshaft.protocol.handshake import password_hash
from processes import ServerProcess
from wire_client import WireClient, WireError

SECRETS = {name: f"{name}-s3cr3t" for name in ("master", "mailer", "pages", "token")}
#: In the arguments, results, errors and filters of every job.
CONTENT = "c0nt3nt-of-a-job"
CONFIG = f"""
[faktory]
password = "{SECRETS["master"]}"
[auth.users.mailer]
password = "{SECRETS["mailer"]}"
may = ["push", "work"]
queues = ["mail"]
[web.users.ana]
password = "{SECRETS["pages"]}"
role = "admin"
[api.tokens.ci]
token = "{SECRETS["token"]}"
scopes = ["push", "read", "admin"]
"""


def enter(server: ServerProcess, username: str | None, password: str) -> WireClient:
    wire = WireClient(server.port, hello=None)
    asked = json.loads(wire.greeting.removeprefix(b"+HI "))
    pwdhash = password_hash(password, asked["s"], asked["i"])
    hello = {"v": 2, "wid": f"w-{username}", "username": username, "pwdhash": pwdhash}
    try:
        wire.command(b"HELLO " + json.dumps(hello).encode())
    except WireError:
        wire.close()
        raise
    return wire


def ask(server: ServerProcess, path: str, auth: str, data: bytes | None = None, kind: str = "json") -> str:
    """A page or an answer of the API, whatever its status."""
    headers = {"Authorization": auth, "Content-Type": f"application/{kind}"}
    request = urllib.request.Request(f"http://127.0.0.1:{server.web_port}{path}", data, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def job(jid: str, queue: str = "mail", **custom: Any) -> str:
    fields = {"jobtype": "T", "args": [CONTENT], "queue": queue, "custom": {"note": CONTENT, **custom}}
    return json.dumps({"jid": jid, **fields})


def talk(server: ServerProcess) -> None:
    """Good and bad commands of all kinds."""
    with enter(server, "mailer", SECRETS["mailer"]) as wire:
        lines = [
            "PUSH " + job("secret-001", track=1),
            "PUSH " + job("secret-002", bid="b-no-such-batch"),
            "PUSH " + job("secret-003", "bills"),
            "PUSH " + job("secret-004", unique_for=60),
            "PUSH " + job("secret-005", unique_for=60),
            "PUSH " + job("secret-006")[:-5],
            "PUSHB [" + job("secret-007") + "," + job("short") + "]",
            f'PUSH {{"jid":"secret-008","jobtype":"T","args":"{CONTENT}"}}',
            f"{CONTENT} what is this",
            f'BATCH NEW {{"description":"{CONTENT}","success":{job("callback-1")}}}',
            "FETCH mail",
            f'TRACK SET {{"jid":"secret-001","percent":200,"desc":"{CONTENT}"}}',
            f'ACK {{"jid":"secret-001","result":"{CONTENT}"}}',
            "FETCH mail",
            f'FAIL {{"jid":"secret-002","message":"{CONTENT}","errtype":"{CONTENT}","backtrace":["{CONTENT}"]}}',
            f'FAIL {{"jid":"secret-002","message":{CONTENT}}}',
        ]
        for line in lines:
            with suppress(WireError):
                wire.command(line.encode())
    with enter(server, None, SECRETS["master"]) as wire:
        for line in (
            f'MUTATE {{"cmd":"kill","target":"retries","filter":{{"regexp":"*{CONTENT}*"}}}}',
            f'MUTATE {{"cmd":"kill","target":"scheduled","filter":{{"text":"{CONTENT}"}}}}',
            f'INSPECT {{"what":"jobs","place":"dead","text":"{CONTENT}"}}',
        ):
            wire.command(line.encode())
    for username, password in (("mailer", "wrong"), ("mailer", SECRETS["master"]), (SECRETS["mailer"], "x")):
        with suppress(WireError):
            enter(server, username, password)


def browse(server: ServerProcess) -> list[str]:
    """Pages, with right and wrong passwords; returns those that show no job."""
    ana, token = basic("ana", SECRETS["pages"]), f"Bearer {SECRETS['token']}"
    ask(server, "/api/v1/jobs", token, job("api-000001").encode())
    ask(server, "/api/v1/jobs", token, job("api-000002").encode()[:-7])
    ask(server, "/api/v1/jobs", "Bearer wrong" + SECRETS["token"], job("api-000003").encode())
    ask(server, "/", basic("ana", SECRETS["pages"] + "x"))
    ask(server, f"/queues/mail?text={CONTENT}", ana)
    ask(server, "/morgue", ana, f"action=delete&all=1&text={CONTENT}".encode(), "x-www-form-urlencoded")
    ask(server, "/queues/mail", ana, f"action={CONTENT}".encode(), "x-www-form-urlencoded")
    return [ask(server, path, ana) for path in ("/", "/server", "/stats", "/health", "/busy")]


def reload(server: ServerProcess, text: str, told: str) -> None:
    (server.config / "conf.d" / "test.toml").write_text(text)
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGHUP)
    wait_until(lambda: told in server.log.read_text(), told)


def test_nothing_secret_is_told(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, CONFIG, web=True) as server:
        talk(server)
        pages = browse(server)
        broken = CONFIG.replace('"pages-s3cr3t"', '"pages-s3cr3t')
        reload(server, broken, "not reloaded")
        reload(server, CONFIG.replace("[auth.users.mailer]", "[auth.users.mailer]\nmayy = 1"), "mayy")
        reload(server, CONFIG.replace('"mailer-s3cr3t"', '["mailer-s3cr3t"]'), "auth.users.mailer.password must be")
        reload(server, CONFIG + "[server]\nconnections = 77\n", "the configuration was reloaded")
        assert server.stop() == 0
    log = server.log.read_text()
    for part in ("job 'secret-002' names the batch", "not reloaded", "server.connections"):
        assert part in log, "the run was meant to be logged"
    for secret in (*SECRETS.values(), *(value[:8] for value in SECRETS.values() if len(value) > 12), CONTENT):
        assert secret not in log, [line for line in log.splitlines() if secret in line]
    assert "Traceback" not in log
    for page in pages:
        for secret in (*SECRETS.values(), "$argon2"):
            assert secret not in page
    assert '["push", "work"]' in html.unescape(pages[1])
