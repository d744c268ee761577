"""Every example, as its reader would run it."""

import asyncio
import json
import shutil
import signal
import socket
import sqlite3
import urllib.request
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from docs.pages import blocks, read
from examples.conftest import EXAMPLES, Play, until
from lineshaft.client import AsyncClient, Client, job_of
from processes import free_port


def test_the_script(play: Play, client: Client) -> None:
    with play.running("-m", "lineshaft", "work", "script", "--concurrency", "5"):
        until(lambda: client.info()["faktory"]["tasks"]["Workers"]["size"] == 1)
        assert play.run("script.py") == "May is complete\n"


@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_a_web_application(play: Play, framework: str) -> None:
    port = free_port()
    command = ["-m", "uvicorn", f"{framework}_app:app", "--port", str(port), "--log-level", "warning"]

    def ask(path: str, method: str) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
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


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's database with its tables, made once."""
    where = tmp_path_factory.mktemp("shop")
    play = Play("tcp://127.0.0.1:1", where)
    play.folder = EXAMPLES / "django"
    play.run("manage.py", "migrate")
    return where / "shop.sqlite3"


@pytest.fixture
def shop(play: Play, migrated: Path) -> Play:
    """The Django project of examples/django/README.md, ready to run."""
    play.folder = EXAMPLES / "django"
    shutil.copyfile(migrated, play.environment["SHOP_DATABASE"])
    return play


def in_django(play: Play, code: str) -> str:
    head = "import os, django\nos.environ['DJANGO_SETTINGS_MODULE'] = 'settings'\ndjango.setup()\n"
    return play.run("-c", head + code)


def test_django(shop: Play, client: Client) -> None:
    assert shop.run("manage.py", "makemigrations", "--check", "--dry-run") == "No changes detected\n"
    assert shop.run("manage.py", "order", "ada@example.org") == "order 1\n"
    assert client.info()["faktory"]["queues"] == {}, "nothing is pushed before the relay runs"
    shop.run("manage.py", "relay", "--once")
    shop.run("manage.py", "relay", "--once")
    assert client.info()["faktory"]["queues"] == {"default": 1}
    with shop.running("manage.py", "work", "shop.jobs", "--concurrency", "2"):
        until(lambda: client.info()["faktory"]["total_processed"] == 1)
        # In a process of its own, which has Django set up too.
        assert client.push(job_of("count_confirmed").using(track=True)).wait(60) == 1
    with sqlite3.connect(shop.environment["SHOP_DATABASE"]) as database:
        assert database.execute("select address, confirmed from shop_order").fetchall() == [("ada@example.org", 1)]
        assert database.execute("select count(*) from outbox_outboxjob").fetchall() == [(0,)]
    database.close()


#: What a view has around the page's first two blocks.
AROUND = """
from django.db import transaction
from lineshaft import Client
from outbox.push import push_in_transaction, relay
from shop.jobs import confirm
from shop.models import Order
client, address = Client(), "ada@example.org"
order = Order.objects.create(address=address)
"""


def test_the_blocks_of_the_page(shop: Play, client: Client) -> None:
    in_a_view, with_outbox, lifespan = [
        block.text for block in blocks(read("docs/howto/python-frameworks.md"), "python")
    ]
    in_django(shop, AROUND + in_a_view + with_outbox + "print(relay())\n")
    jobs = [client.fetch("default") for _ in range(2)]
    assert [job["args"] for job in jobs if job] == [[1], [2]]

    names: dict[str, Any] = {"asynccontextmanager": asynccontextmanager, "AsyncClient": partial(AsyncClient, shop.url)}
    exec(lifespan, names)

    async def live() -> Any:
        async with names["lifespan"](None) as state:
            return await state["jobs"].info()

    assert asyncio.run(live())["faktory"]["queues"] == {"default": 0}


def test_a_worker_sets_django_up_by_itself(play: Play) -> None:
    play.folder = EXAMPLES / "django"
    code = "from lineshaft.worker.find import find_jobs; print([*find_jobs('shop.jobs')[0].functions])"
    play.environment["DJANGO_SETTINGS_MODULE"] = "settings"
    assert play.run("-c", code) == "['confirm', 'count_confirmed']\n"
    # Without it the models cannot be imported, and Django says why.
    play.environment["DJANGO_SETTINGS_MODULE"] = ""
    play.run("-c", code, code=1)


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


def test_django_pushes_nothing_that_was_rolled_back(shop: Play, client: Client) -> None:
    assert in_django(shop, ROLLBACK) == "before\n"
    shop.run("manage.py", "relay", "--once")
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


def test_a_job_that_is_refused_does_not_stop_the_others(shop: Play, client: Client) -> None:
    counts, refusals = in_django(shop, REFUSED).splitlines()
    assert counts == "4 0"
    assert refusals == "['queue names must match [a-zA-Z0-9._-]+ and have at most 255 characters']"
    assert client.info()["faktory"]["queues"] == {"default": 2}


def test_a_server_that_is_away_loses_nothing(shop: Play) -> None:
    shop.run("manage.py", "order", "ada@example.org")
    url, shop.environment["FAKTORY_URL"] = shop.environment["FAKTORY_URL"], "tcp://127.0.0.1:1"
    shop.run("manage.py", "relay", "--once", code=1)
    shop.environment["FAKTORY_URL"] = url
    shop.run("manage.py", "relay", "--once")
    with Client(url) as client:
        assert client.info()["faktory"]["queues"] == {"default": 1}
