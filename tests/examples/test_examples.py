"""Every example, as its reader would run it."""

import json
import signal
import socket
import sqlite3
import urllib.request
from contextlib import suppress
from typing import Any

from examples.conftest import EXAMPLES, Play, until
from lineshaft.client import Client
from processes import free_port


def test_the_script(play: Play, client: Client) -> None:
    with play.running("-m", "lineshaft", "work", "script", "--concurrency", "5"):
        until(lambda: client.info()["faktory"]["tasks"]["Workers"]["size"] == 1)
        assert play.run("script.py") == "May is complete\n"


def test_starlette(play: Play) -> None:
    port = free_port()
    command = ["-m", "uvicorn", "starlette_app:app", "--port", str(port), "--log-level", "warning"]

    def ask(path: str, method: str) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def is_up() -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    with play.running(*command, ends_with=(0, -signal.SIGTERM)):
        until(is_up)
        jid = ask("/shout/hello", "POST")["jid"]
        until(lambda: ask(f"/jobs/{jid}", "GET") == {"state": "success", "result": "HELLO"})


def in_django(play: Play, code: str) -> str:
    head = "import os, django\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\ndjango.setup()\n"
    return play.run("-c", head + code)


def test_django(play: Play, client: Client) -> None:
    play.folder = EXAMPLES / "django"
    play.run("manage.py", "migrate")
    assert play.run("manage.py", "makemigrations", "--check", "--dry-run") == "No changes detected\n"
    assert play.run("manage.py", "order", "ada@example.org") == "order 1\n"
    assert client.info()["faktory"]["queues"] == {}, "nothing is pushed before the relay runs"
    play.run("manage.py", "relay", "--once")
    play.run("manage.py", "relay", "--once")
    assert client.info()["faktory"]["queues"] == {"default": 1}
    with play.running("manage.py", "work", "shop.jobs", "--concurrency", "2"):
        until(lambda: client.info()["faktory"]["total_processed"] == 1)
    with sqlite3.connect(play.environment["SHOP_DATABASE"]) as database:
        assert database.execute("select address, confirmed from shop_order").fetchall() == [("ada@example.org", 1)]
        assert database.execute("select count(*) from outbox_outboxjob").fetchall() == [(0,)]
    database.close()


ROLLBACK = """
from django.db import transaction
from outbox.push import push_in_transaction, push_on_commit
from shop.jobs import confirm
for push in (push_in_transaction, push_on_commit):
    try:
        with transaction.atomic():
            push(confirm.job(1))
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
with transaction.atomic():
    push_on_commit(confirm.job(2))
    print("before")
"""


def test_django_pushes_nothing_that_was_rolled_back(play: Play, client: Client) -> None:
    play.folder = EXAMPLES / "django"
    play.run("manage.py", "migrate")
    assert in_django(play, ROLLBACK) == "before\n"
    play.run("manage.py", "relay", "--once")
    job = client.fetch("default")
    assert job is not None
    assert job["args"] == [2]
    assert client.info()["faktory"]["queues"] == {"default": 0}


REFUSED = """
from outbox.models import OutboxJob
from outbox.push import push_in_transaction, relay
from shop.jobs import confirm
push_in_transaction(confirm.job(1).using(unique_for=60))
push_in_transaction(confirm.job(1).using(unique_for=60))
push_in_transaction(confirm.job(2).using(queue="no queue"))
push_in_transaction(confirm.job(3))
print(relay(), relay())
print(list(OutboxJob.objects.values_list("refusal", flat=True)))
"""


def test_a_job_that_is_refused_does_not_stop_the_others(play: Play, client: Client) -> None:
    play.folder = EXAMPLES / "django"
    play.run("manage.py", "migrate")
    counts, refusals = in_django(play, REFUSED).splitlines()
    assert counts == "4 0"
    assert refusals == "['queue names must match [a-zA-Z0-9._-]+ and have at most 255 characters']"
    assert client.info()["faktory"]["queues"] == {"default": 2}


def test_a_server_that_is_away_loses_nothing(play: Play) -> None:
    play.folder = EXAMPLES / "django"
    play.run("manage.py", "migrate")
    play.run("manage.py", "order", "ada@example.org")
    url, play.environment["FAKTORY_URL"] = play.environment["FAKTORY_URL"], "tcp://127.0.0.1:1"
    play.run("manage.py", "relay", "--once", code=1)
    play.environment["FAKTORY_URL"] = url
    play.run("manage.py", "relay", "--once")
    with Client(url) as client:
        assert client.info()["faktory"]["queues"] == {"default": 1}
